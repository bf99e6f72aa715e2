#pragma once
// New tensors. torch's Python functions make them, so that an OutOfMemoryError stays one and torch chooses the strides.
// Small tensors use a faster function, because the call dominates their time; if that fails, Python's reports the error.
#include <algorithm>
#include <vector>

#include "cuda.h"
#include "tensor.h"

namespace mamba_stable {

constexpr std::int64_t few_elements = 1 << 18;

// Uses the function of torch.compile's generated code, which is fast for the same reason: no parsing, no dispatcher. It makes
// tensors on the current device. Returns an undefined tensor for any other device or any special case.
inline Tensor made_quickly(const IntArrayRef& sizes, const IntArrayRef& strides, const Tensor& beside, ScalarType type,
                           bool zeroed) {
  PyObject* dtype = torch.dtype_or_null(type);
  // A plain tensor with memory: not functorch's, not a fake tensor, not a subclass.
  const bool ordinary = PlainTensors::is_plain(beside.object()) && beside.has_own_memory();
  if (torch.empty_strided_cuda == nullptr || dtype == nullptr || !ordinary || !beside.is_cuda()) return {};
  if (product(sizes) > few_elements || current_device() != beside.device_index()) return {};
  const Ref arguments = checked(PyTuple_Pack(3, as_tuple(sizes).get(), as_tuple(strides).get(), dtype));
  Ref object(PyObject_Call(torch.empty_strided_cuda, arguments.get(), nullptr));
  if (!object) {
    PyErr_Clear();
    return {};
  }
  Tensor made = Tensor::made(std::move(object), sizes, strides, type, beside);
  if (zeroed && made.numel() > 0) {
    const std::size_t bytes = static_cast<std::size_t>(made.numel()) * made.element_size();
    C10_CUDA_CHECK(cudaMemsetAsync(made.data_ptr(), 0, bytes, current_stream().stream()));
  }
  return made;
}

inline Tensor made_like(PyObject* function, const Tensor& tensor, std::optional<ScalarType> type, bool zeroed) {
  if (tensor.is_contiguous()) {
    const ScalarType wanted = type.value_or(tensor.scalar_type());
    if (Tensor made = made_quickly(tensor.sizes(), tensor.strides(), tensor, wanted, zeroed); made.defined()) return made;
  }
  const PlainTensors scope(tensor.object());
  const Ref arguments = checked(PyTuple_Pack(1, tensor.object()));
  Ref keywords;
  if (type) {
    keywords = checked(PyDict_New());
    checked(PyDict_SetItemString(keywords.get(), "dtype", torch.dtype(*type)));
  }
  return Tensor::of(checked(PyObject_Call(function, arguments.get(), keywords.get())));
}

inline Tensor empty_like(const Tensor& tensor) { return made_like(torch.empty_like, tensor, std::nullopt, false); }
inline Tensor zeros_like(const Tensor& tensor, const TensorOptions& options = {}) {
  return made_like(torch.zeros_like, tensor, options.type, true);
}

inline Tensor made_of(PyObject* function, const IntArrayRef& sizes, const TensorOptions& options, bool zeroed) {
  const Tensor& beside = options.beside;
  if (!beside.defined() || !options.type) throw std::runtime_error("a new tensor needs a type and a device");
  std::vector<std::int64_t> strides(sizes.size(), 1);
  for (std::size_t i = sizes.size(); i-- > 1;) strides[i - 1] = strides[i] * std::max<std::int64_t>(sizes[i], 1);
  if (Tensor made = made_quickly(sizes, {strides.data(), strides.size()}, beside, *options.type, zeroed); made.defined()) {
    return made;
  }
  const PlainTensors scope(beside.object());
  const Ref arguments = checked(PyTuple_Pack(1, as_tuple(sizes).get()));
  const Ref keywords = checked(PyDict_New());
  checked(PyDict_SetItemString(keywords.get(), "dtype", torch.dtype(*options.type)));
  checked(PyDict_SetItemString(keywords.get(), "device", attribute(beside.object(), "device").get()));
  return Tensor::of(checked(PyObject_Call(function, arguments.get(), keywords.get())));
}

inline Tensor empty(const IntArrayRef& sizes, const TensorOptions& options) {
  return made_of(torch.empty, sizes, options, false);
}
inline Tensor zeros(const IntArrayRef& sizes, const TensorOptions& options) {
  return made_of(torch.zeros, sizes, options, true);
}

}  // namespace mamba_stable
