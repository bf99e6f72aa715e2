#pragma once
// What of Python's torch the binding uses, looked up once when the module is imported; and whether this torch fits.
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/version.h>

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "dlpack.h"
#include "python.h"

namespace mamba_stable {

using c10::ScalarType;

struct Torch {
  const dlpack::ExchangeApi* exchange = nullptr;
  PyObject *tensor = nullptr, *parameter = nullptr, *no_subclasses = nullptr, *cuda_device = nullptr;
  PyObject *empty_like = nullptr, *zeros_like = nullptr, *empty = nullptr, *zeros = nullptr;
  PyObject* empty_strided_cuda = nullptr;
  PyObject *deterministic = nullptr, *accelerator_error = nullptr;
  PyObject *float32 = nullptr, *float16 = nullptr, *bfloat16 = nullptr, *complex64 = nullptr, *int32 = nullptr;

  void load(const char* module);
  PyObject* dtype(ScalarType type) const;
  PyObject* dtype_or_null(ScalarType type) const;
};

inline Torch torch;  // lives as long as the process, like the module

// The build says for which torch and newer ones it is made, in torch's own encoding.
inline std::string oldest_torch() {
  return std::to_string(TORCH_TARGET_VERSION >> 56) + "." + std::to_string(TORCH_TARGET_VERSION >> 48 & 255);
}

[[noreturn]] inline void refuse(const char* module, const std::string& found, const std::string& fix) {
  const std::string text = std::string(module) + " needs torch " + oldest_torch() + " or newer, built for CUDA " +
                           std::to_string(CUDART_VERSION / 1000) + ", and " + found + ".\n  " + fix;
  PyErr_SetString(PyExc_ImportError, text.c_str());
  throw PythonError();
}

// Null where the capsule holds no table of the version that is known here.
inline const dlpack::ExchangeApi* exchange_api(PyObject* capsule) {
  auto* header = static_cast<const dlpack::Header*>(PyCapsule_GetPointer(capsule, dlpack::capsule_name));
  if (header == nullptr) PyErr_Clear();
  while (header != nullptr && header->major != dlpack::major_version) header = header->previous;
  auto* api = reinterpret_cast<const dlpack::ExchangeApi*>(header);
  return api != nullptr && api->view != nullptr && api->current_stream != nullptr ? api : nullptr;
}

inline void Torch::load(const char* module) {
  const std::string fitting = "'torch>=" + oldest_torch() + "'";
  const std::string newest = "type: python -m pip install " + fitting;
  Ref package(PyImport_ImportModule("torch"));
  if (!package) {
    if (!PyErr_ExceptionMatches(PyExc_ModuleNotFoundError)) throw PythonError();
    PyErr_Clear();
    refuse(module, "there is none", newest);
  }
  const auto get = [](const Ref& object, const char* name) { return attribute(object.get(), name).release(); };
  const std::string here = "torch " + as_text(attribute(package.get(), "__version__").get());
  const Ref cuda = attribute(attribute(package.get(), "version").get(), "cuda");
  const std::string backend = std::to_string(CUDART_VERSION / 1000) + std::to_string(CUDART_VERSION % 1000 / 10);
  const std::string other = "type: uv pip install --reinstall " + fitting + " --torch-backend=cu" + backend;
  if (cuda.get() == Py_None) refuse(module, here + " is here, a build without CUDA", other);
  const std::string built_for = as_text(cuda.get());
  if (std::stoi(built_for) != CUDART_VERSION / 1000) refuse(module, here + " is here, for CUDA " + built_for, other);

  tensor = get(package, "Tensor");
  const Ref capsule(PyObject_GetAttrString(tensor, "__dlpack_c_exchange_api__"));
  if (!capsule) {
    PyErr_Clear();
    refuse(module, here + " is here", newest);
  }
  exchange = exchange_api(capsule.get());
  if (exchange == nullptr) {
    refuse(module, here + " is here, which shares tensors in a way that this build does not know",
           "install a newer build of it, or an older torch");
  }
  parameter = get(attribute(package.get(), "nn"), "Parameter");
  cuda_device = get(attribute(package.get(), "cuda"), "device");
  empty_like = get(package, "empty_like");
  zeros_like = get(package, "zeros_like");
  empty = get(package, "empty");
  zeros = get(package, "zeros");
  deterministic = get(package, "are_deterministic_algorithms_enabled");
  accelerator_error = get(package, "AcceleratorError");
  float32 = get(package, "float32");
  float16 = get(package, "float16");
  bfloat16 = get(package, "bfloat16");
  complex64 = get(package, "complex64");
  int32 = get(package, "int32");
  // Names with an underscore may go: what they are for is done without them then.
  const auto optional = [](const char* module, const char* name) {
    const Ref holder(PyImport_ImportModule(module));
    PyObject* found = holder ? PyObject_GetAttrString(holder.get(), name) : nullptr;
    if (found == nullptr) PyErr_Clear();
    return found;
  };
  no_subclasses = optional("torch._C", "DisableTorchFunctionSubclass");
  empty_strided_cuda = optional("torch._C._dynamo.guards", "_empty_strided_cuda");
}

inline PyObject* Torch::dtype_or_null(ScalarType type) const {
  switch (type) {
    case ScalarType::Float: return float32;
    case ScalarType::Half: return float16;
    case ScalarType::BFloat16: return bfloat16;
    case ScalarType::ComplexFloat: return complex64;
    case ScalarType::Int: return int32;
    default: return nullptr;
  }
}

inline PyObject* Torch::dtype(ScalarType type) const {
  PyObject* found = dtype_or_null(type);
  if (found == nullptr) throw std::runtime_error(std::string("no tensors of type ") + c10::toString(type) + " are made here");
  return found;
}

}  // namespace mamba_stable
