#pragma once
// C10_CUDA_CHECK for kernels and binding. The text comes from the loaded libtorch, at the time of the error: a binding that
// links libtorch could not report that it is the wrong one.
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace mamba_stable {

class CudaError : public std::runtime_error {
 public:
  CudaError(cudaError_t code, const std::string& text) : std::runtime_error(text), code(code) {}
  const cudaError_t code;
};

inline std::string cuda_error_text(cudaError_t code, const char* file, const char* function, std::uint32_t line) {
  // torch_c10_cuda_check_msg and _free_error_msg: C shims of torch's stable ABI (torch/csrc/stable/c/shim.h, from 2.10 on).
  using Check = std::int32_t (*)(std::int32_t, const char*, const char*, std::uint32_t, bool, char**);
  using Free = void (*)(char*);
  std::string text = std::string("CUDA error: ") + cudaGetErrorString(code);
  if (void* torch = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD)) {
    const auto check = reinterpret_cast<Check>(dlsym(torch, "torch_c10_cuda_check_msg"));
    const auto free = reinterpret_cast<Free>(dlsym(torch, "torch_c10_cuda_free_error_msg"));
    char* said = nullptr;
    if (check != nullptr && free != nullptr) check(static_cast<std::int32_t>(code), file, function, line, true, &said);
    if (said != nullptr) {
      text = said;
      free(said);
    }
    dlclose(torch);
  }
  return text;
}

// Names this GPU, and the GPUs that there is code for: "code for GPUs of compute capability 8.0, 9.0, and this GPU is 7.5".
inline std::string missing_code(std::initializer_list<int> codes) {
  int device = 0, major = 0, minor = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  std::string text = "\n  this build has code for GPUs of compute capability";
  const char* before = " ";
  for (const int code : codes) {
    text += before + std::to_string(code / 100) + "." + std::to_string(code % 100 / 10);
    before = ", ";
  }
  return text + ", and this GPU is " + std::to_string(major) + "." + std::to_string(minor) + "\n";
}

[[noreturn]] inline void throw_cuda_error(cudaError_t code, const char* file, const char* function, std::uint32_t line,
                                          std::initializer_list<int> codes) {
  std::string text = cuda_error_text(code, file, function, line);
  if (code == cudaErrorNoKernelImageForDevice && codes.size() > 0) text += missing_code(codes);
  (void)cudaGetLastError();  // as torch does: report the error once
  throw CudaError(code, text);
}

}  // namespace mamba_stable

// nvcc's list of the architectures of this file; g++ compiles no kernels.
#ifdef __CUDA_ARCH_LIST__
#define MAMBA_STABLE_CODES {__CUDA_ARCH_LIST__}
#else
#define MAMBA_STABLE_CODES {}
#endif

#define C10_CUDA_CHECK(expression)                                                                         \
  do {                                                                                                     \
    const cudaError_t mamba_stable_status = (expression);                                                  \
    if (mamba_stable_status != cudaSuccess) {                                                              \
      mamba_stable::throw_cuda_error(mamba_stable_status, __FILE__, __func__, __LINE__, MAMBA_STABLE_CODES); \
    }                                                                                                      \
  } while (0)

#define C10_CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())
