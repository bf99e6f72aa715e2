#pragma once
// What of Python's torch the binding uses, looked up once when the module is imported; and whether this torch fits.
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/version.h>

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <stdexcept>
#include <string>
#include <type_traits>

#include "dlpack.h"
#include "python.h"

// The oldest torch that publishes DLPack's exchange API.
#define MAMBA_STABLE_OLDEST_TORCH "2.10"

namespace mamba_stable {

using c10::ScalarType;

// torch's stable C functions (torch/csrc/inductor/aoti_torch/c/shim.h, torch/csrc/stable/c/shim.h), asked of the libtorch that
// is loaded. The last came with torch 2.14; without it the others are of no use here.
struct Shims {
  std::int32_t (*empty_strided)(std::int64_t dim, const std::int64_t* sizes, const std::int64_t* strides,
                                std::int32_t type, std::int32_t device_type, std::int32_t device_index,
                                void** out) = nullptr;
  std::int32_t (*zero)(void* tensor) = nullptr;
  std::int32_t (*free)(void* tensor) = nullptr;
  std::int32_t (*cpu)() = nullptr;
  std::int32_t (*cuda)() = nullptr;
  std::int32_t (*float32)() = nullptr;
  std::int32_t (*float16)() = nullptr;
  std::int32_t (*bfloat16)() = nullptr;
  std::int32_t (*complex64)() = nullptr;
  std::int32_t (*to_object)(void* tensor, void* type, void** out) = nullptr;

  bool complete() const { return to_object != nullptr; }
  std::int32_t type(ScalarType type) const {
    switch (type) {
      case ScalarType::Float: return float32();
      case ScalarType::Half: return float16();
      case ScalarType::BFloat16: return bfloat16();
      case ScalarType::ComplexFloat: return complex64();
      default: return -1;
    }
  }

  void load() {
    void* library = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) return;
    bool all = true;
    const auto find = [&](const char* name, auto& function) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
      all = all && function != nullptr;
    };
    find("aoti_torch_empty_strided", empty_strided);
    find("aoti_torch_zero_", zero);
    find("aoti_torch_delete_tensor_object", free);
    find("aoti_torch_device_type_cpu", cpu);
    find("aoti_torch_device_type_cuda", cuda);
    find("aoti_torch_dtype_float32", float32);
    find("aoti_torch_dtype_float16", float16);
    find("aoti_torch_dtype_bfloat16", bfloat16);
    find("aoti_torch_dtype_complex64", complex64);
    find("torch_tensor_to_pyobject", to_object);
    if (!all) to_object = nullptr;
    dlclose(library);  // torch itself keeps it
  }
};

struct Torch {
  Shims shims;
  const dlpack::ExchangeApi* exchange = nullptr;
  PyObject *tensor = nullptr, *parameter = nullptr, *no_subclasses = nullptr, *cuda_device = nullptr;
  PyObject *empty_like = nullptr, *zeros_like = nullptr, *empty = nullptr, *zeros = nullptr;
  PyObject *deterministic = nullptr, *accelerator_error = nullptr;
  PyObject *float32 = nullptr, *float16 = nullptr, *bfloat16 = nullptr, *complex64 = nullptr, *int32 = nullptr;
  // {"dtype": …}, ready to be passed
  PyObject *as_float32 = nullptr, *as_float16 = nullptr, *as_bfloat16 = nullptr, *as_complex64 = nullptr;

  void load(const char* module);
  PyObject* dtype(ScalarType type) const;
  PyObject* dtype_keyword(ScalarType type) const;
};

inline Torch torch;  // lives as long as the process, like the module

[[noreturn]] inline void refuse(const char* module, const std::string& found, const std::string& fix) {
  const std::string text = std::string(module) + " needs torch " MAMBA_STABLE_OLDEST_TORCH " or newer, built for CUDA " +
                           std::to_string(CUDART_VERSION / 1000) + ", and " + found + ".\n  type: " + fix;
  PyErr_SetString(PyExc_ImportError, text.c_str());
  throw PythonError();
}

inline const dlpack::ExchangeApi* exchange_api(PyObject* tensor_type) {
  Ref capsule(PyObject_GetAttrString(tensor_type, "__dlpack_c_exchange_api__"));
  if (!capsule) {
    PyErr_Clear();
    return nullptr;
  }
  auto* header = static_cast<const dlpack::Header*>(PyCapsule_GetPointer(capsule.get(), dlpack::capsule_name));
  if (header == nullptr) throw PythonError();
  while (header != nullptr && header->major != dlpack::major_version) header = header->previous;
  auto* api = reinterpret_cast<const dlpack::ExchangeApi*>(header);
  return api != nullptr && api->view != nullptr && api->current_stream != nullptr ? api : nullptr;
}

inline void Torch::load(const char* module) {
  const std::string newest = "python -m pip install 'torch>=" MAMBA_STABLE_OLDEST_TORCH "'";
  Ref package(PyImport_ImportModule("torch"));
  if (!package) {
    if (!PyErr_ExceptionMatches(PyExc_ModuleNotFoundError)) throw PythonError();
    PyErr_Clear();
    refuse(module, "there is none", newest);
  }
  const auto get = [](const Ref& object, const char* name) { return attribute(object.get(), name).release(); };
  const std::string here = "torch " + as_text(attribute(package.get(), "__version__").get());
  const Ref cuda = attribute(attribute(package.get(), "version").get(), "cuda");
  if (cuda.get() == Py_None) refuse(module, here + " is here, a build without CUDA", newest);
  const std::string built_for = as_text(cuda.get());
  if (std::stoi(built_for) != CUDART_VERSION / 1000) refuse(module, here + " is here, for CUDA " + built_for, newest);

  tensor = get(package, "Tensor");
  exchange = exchange_api(tensor);
  if (exchange == nullptr) refuse(module, here + " is here", newest);
  parameter = get(attribute(package.get(), "nn"), "Parameter");
  no_subclasses = get(attribute(package.get(), "_C"), "DisableTorchFunctionSubclass");
  cuda_device = get(attribute(package.get(), "cuda"), "device");
  empty_like = get(package, "empty_like");
  zeros_like = get(package, "zeros_like");
  empty = get(package, "empty");
  zeros = get(package, "zeros");
  deterministic = get(package, "are_deterministic_algorithms_enabled");
  accelerator_error = get(package, "AcceleratorError");
  int32 = get(package, "int32");
  const auto type = [&](const char* name, PyObject*& object, PyObject*& keyword) {
    object = get(package, name);
    keyword = checked(PyDict_New()).release();
    checked(PyDict_SetItemString(keyword, "dtype", object));
  };
  type("float32", float32, as_float32);
  type("float16", float16, as_float16);
  type("bfloat16", bfloat16, as_bfloat16);
  type("complex64", complex64, as_complex64);
  shims.load();
}

inline PyObject* Torch::dtype(ScalarType type) const {
  switch (type) {
    case ScalarType::Float: return float32;
    case ScalarType::Half: return float16;
    case ScalarType::BFloat16: return bfloat16;
    case ScalarType::ComplexFloat: return complex64;
    case ScalarType::Int: return int32;
    default: throw std::runtime_error(std::string("no tensors of type ") + c10::toString(type) + " are made here");
  }
}

inline PyObject* Torch::dtype_keyword(ScalarType type) const {
  switch (type) {
    case ScalarType::Float: return as_float32;
    case ScalarType::Half: return as_float16;
    case ScalarType::BFloat16: return as_bfloat16;
    case ScalarType::ComplexFloat: return as_complex64;
    default: throw std::runtime_error(std::string("no tensors of type ") + c10::toString(type) + " are made here");
  }
}

}  // namespace mamba_stable
