#pragma once
// The names of Python's torch that the binding uses, looked up once at import; and a check whether this torch fits.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "aoti.h"
#include "dlpack.h"
#include "numbers.h"
#include "python.h"

namespace mamba_stable {

using c10::ScalarType;

struct Torch {
  // How tensors are read: by this table, which torch has since 2.10; else by these functions, since 2.3; else by methods.
  const dlpack::ExchangeApi* exchange = nullptr;
  aoti::Api aoti;
  PyObject *data_ptr = nullptr, *stride = nullptr, *get_device = nullptr, *raw_stream = nullptr;
  PyObject *shape_name = nullptr, *dtype_name = nullptr, *is_cuda_name = nullptr, *cdata_name = nullptr;
  PyObject *tensor = nullptr, *parameter = nullptr, *no_subclasses = nullptr, *cuda_device = nullptr;
  PyObject *empty_like = nullptr, *zeros_like = nullptr, *empty = nullptr, *zeros = nullptr;
  PyObject* empty_strided_cuda = nullptr;
  PyObject *deterministic = nullptr, *accelerator_error = nullptr;
  PyObject *float32 = nullptr, *float16 = nullptr, *bfloat16 = nullptr, *complex64 = nullptr, *int32 = nullptr;

  void load(const char* module);
  PyObject* dtype(ScalarType type) const;
  PyObject* dtype_or_null(ScalarType type) const;
  ScalarType type_of(PyObject* dtype) const;

 private:
  void check(const char* module, const Ref& package) const;
  void look_up(const Ref& package);
};

inline Torch torch;  // lives as long as the process, like the module

[[noreturn]] inline void refuse(const char* module, const std::string& found, const std::string& fix) {
  const std::string text = std::string(module) + " needs torch 2.0 or newer, built for CUDA, and " + found + ".\n  fix:  " + fix;
  PyErr_SetString(PyExc_ImportError, text.c_str());
  throw PythonError();
}

// The build to suggest for ROCm. The build of a released project defines the project's name.
#ifdef MAMBA_STABLE_PROJECT
#define MAMBA_STABLE_TEXT_OF(name) #name
#define MAMBA_STABLE_TEXT(name) MAMBA_STABLE_TEXT_OF(name)
#define MAMBA_STABLE_NAME MAMBA_STABLE_TEXT(MAMBA_STABLE_PROJECT)
constexpr const char* own_build =
    "python -m pip install --no-build-isolation --no-binary " MAMBA_STABLE_NAME " " MAMBA_STABLE_NAME
    "   (upstream's own build for ROCm)";
#else
constexpr const char* own_build = "use this package's own build for ROCm";
#endif

// Returns the current Python error in one line, and clears it.
inline std::string pending_error() {
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  const Ref held_type(type), held_value(value), held_traceback(traceback);
  const Ref name(type != nullptr ? PyObject_GetAttrString(type, "__name__") : nullptr);
  const Ref text(value != nullptr ? PyObject_Str(value) : nullptr);
  std::string said = name ? as_text(name.get()) : "an error";
  if (text) said += ": " + as_text(text.get());
  PyErr_Clear();
  return said.substr(0, said.find('\n'));
}

// Null if the table is missing or of an unknown version.
inline const dlpack::ExchangeApi* exchange_api(PyObject* tensor) {
  const Ref capsule(PyObject_GetAttrString(tensor, "__dlpack_c_exchange_api__"));
  const dlpack::Header* header = nullptr;
  if (capsule) header = static_cast<const dlpack::Header*>(PyCapsule_GetPointer(capsule.get(), dlpack::capsule_name));
  PyErr_Clear();
  while (header != nullptr && header->major != dlpack::major_version) header = header->previous;
  auto* api = reinterpret_cast<const dlpack::ExchangeApi*>(header);
  return api != nullptr && api->view != nullptr && api->current_stream != nullptr ? api : nullptr;
}

inline void Torch::load(const char* module) {
  const std::string install = "python -m pip install torch";
  const Ref package(PyImport_ImportModule("torch"));
  if (!package) {
    const bool none = PyErr_ExceptionMatches(PyExc_ModuleNotFoundError) != 0;
    const std::string said = pending_error();
    if (none && said.find("'torch'") != std::string::npos) refuse(module, "torch is not installed", install);
    refuse(module, "the installed torch cannot be imported: " + said, "python -c 'import torch'   (shows the whole error)");
  }
  check(module, package);
  try {
    look_up(package);
  } catch (PythonError& error) {
    error.restore();
    refuse(module, "the installed torch lacks a name: " + pending_error(), install + " --upgrade");
  }
}

inline void Torch::check(const char* module, const Ref& package) const {
  const Ref version(PyObject_GetAttrString(package.get(), "__version__"));
  if (!version) {
    PyErr_Clear();
    refuse(module, "the module torch here is not torch, or only a remnant of torch",
           "python -m pip install --force-reinstall torch");
  }
  const std::string here = "torch " + as_text(checked(PyObject_Str(version.get())).get()) + " is installed";
  if (here.compare(0, 8, "torch 1.") == 0 || here.compare(0, 8, "torch 0.") == 0) {
    refuse(module, here, "python -m pip install --upgrade torch");
  }
  const Ref versions = attribute(package.get(), "version");
  const Ref cuda(PyObject_GetAttrString(versions.get(), "cuda"));
  PyErr_Clear();
  if (cuda && cuda.get() != Py_None) return;
  const Ref hip(PyObject_GetAttrString(versions.get(), "hip"));
  PyErr_Clear();
  if (hip && hip.get() != Py_None) {
    refuse(module, here + ", a build for ROCm", own_build);
  }
  refuse(module, here + ", a build without CUDA", "uv pip install --reinstall torch --torch-backend=auto");
}

inline void Torch::look_up(const Ref& package) {
  const auto get = [](const Ref& object, const char* name) { return attribute(object.get(), name).release(); };
  tensor = get(package, "Tensor");
  // The tests set this variable to read tensors as with an older torch.
  const char* reading = std::getenv("MAMBA_STABLE_READING");
  const std::string by = reading != nullptr ? reading : "table";
  if (by == "table") exchange = exchange_api(tensor);
  if (exchange == nullptr && by != "methods") aoti.load();
  data_ptr = attribute(tensor, "data_ptr").release();
  stride = attribute(tensor, "stride").release();
  get_device = attribute(tensor, "get_device").release();
  shape_name = checked(PyUnicode_InternFromString("shape")).release();
  dtype_name = checked(PyUnicode_InternFromString("dtype")).release();
  is_cuda_name = checked(PyUnicode_InternFromString("is_cuda")).release();
  cdata_name = checked(PyUnicode_InternFromString("_cdata")).release();
  parameter = get(attribute(package.get(), "nn"), "Parameter");
  cuda_device = get(attribute(package.get(), "cuda"), "device");
  empty_like = get(package, "empty_like");
  zeros_like = get(package, "zeros_like");
  empty = get(package, "empty");
  zeros = get(package, "zeros");
  deterministic = get(package, "are_deterministic_algorithms_enabled");
  float32 = get(package, "float32");
  float16 = get(package, "float16");
  bfloat16 = get(package, "bfloat16");
  complex64 = get(package, "complex64");
  int32 = get(package, "int32");
  // torch may remove names with an underscore, and some names are new: the binding works without them.
  const auto optional = [](const char* module, const char* name) {
    const Ref holder(PyImport_ImportModule(module));
    PyObject* found = holder ? PyObject_GetAttrString(holder.get(), name) : nullptr;
    if (found == nullptr) PyErr_Clear();
    return found;
  };
  accelerator_error = optional("torch", "AcceleratorError");  // torch 2.8 and newer
  no_subclasses = optional("torch._C", "DisableTorchFunctionSubclass");
  if (no_subclasses == nullptr) no_subclasses = optional("torch._C", "DisableTorchFunction");  // its name in torch 2.0
  empty_strided_cuda = optional("torch._C._dynamo.guards", "_empty_strided_cuda");
  if (exchange == nullptr) raw_stream = get(attribute(package.get(), "_C"), "_cuda_getCurrentRawStream");
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

inline ScalarType Torch::type_of(PyObject* dtype) const {
  for (const ScalarType type :
       {ScalarType::Float, ScalarType::Half, ScalarType::BFloat16, ScalarType::ComplexFloat, ScalarType::Int}) {
    if (dtype == dtype_or_null(type)) return type;
  }
  return ScalarType::Undefined;
}

inline PyObject* Torch::dtype(ScalarType type) const {
  PyObject* found = dtype_or_null(type);
  if (found == nullptr) throw std::runtime_error(std::string("cannot make tensors of type ") + c10::toString(type));
  return found;
}

}  // namespace mamba_stable
