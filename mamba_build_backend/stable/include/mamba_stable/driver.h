#pragma once
// Check at import whether the driver supports the CUDA runtime that is linked in. Calls the one driver function that needs no
// context, so that the process can still fork afterwards.
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <string>

#include "python.h"

// The oldest CUDA version that the driver must support: the toolkit's major version, unless the build sets a newer one.
#ifndef MAMBA_STABLE_DRIVER
#define MAMBA_STABLE_DRIVER (CUDART_VERSION / 1000 * 1000)
#endif

namespace mamba_stable {

// Returns 1000 * major + 10 * minor; 0 without a driver.
inline int driver_version() {
  void* library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return 0;
  int version = 0;
  const auto ask = reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDriverGetVersion"));
  if (ask == nullptr || ask(&version) != 0) version = 0;
  dlclose(library);
  return version;
}

// NVIDIA's first driver for a CUDA version (CUDA Compatibility, "Minor version compatibility").
constexpr const char* driver_named(int version) {
  return version >= 13000 ? "580" : version >= 12040 ? "550" : version >= 12000 ? "525" : "450";
}

inline std::string shown_version(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Throws PythonError with an ImportError. Without a driver the import works, and a call reports the missing driver.
inline void check_driver(const char* module) {
  const int found = driver_version();
  if (found == 0 || found >= MAMBA_STABLE_DRIVER) return;
  const std::string text = std::string(module) + " needs an NVIDIA driver that supports CUDA " +
                           shown_version(MAMBA_STABLE_DRIVER) + " (" + driver_named(MAMBA_STABLE_DRIVER) +
                           " or newer), and this machine's driver supports CUDA " + shown_version(found) +
                           ".\n  fix:  nvidia-smi   (shows the driver; install a newer one, or a wheel built with an older CUDA)";
  PyErr_SetString(PyExc_ImportError, text.c_str());
  throw PythonError();
}

}  // namespace mamba_stable
