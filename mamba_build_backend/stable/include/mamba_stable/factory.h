#pragma once
// New tensors. torch's Python functions make them, so that an OutOfMemoryError stays one and strides are torch's choice.
// Small ones have shorter ways, since there the call is what takes the time; where such a way fails, Python's says why.
#include <algorithm>
#include <array>

#include "tensor.h"

namespace mamba_stable {

class Layout {
 public:
  explicit Layout(const Tensor& tensor)
      : Layout(tensor.sizes().begin(), tensor.strides().begin(), tensor.dim(), tensor.device_type(),
               tensor.device_index(), tensor.scalar_type()) {}

  // Contiguous. What has too many dimensions is left to Python.
  Layout(const IntArrayRef& sizes, std::int32_t device_type, std::int32_t device_index, ScalarType type)
      : Layout(sizes.begin(), nullptr, static_cast<std::int64_t>(sizes.size()), device_type, device_index, type) {}

  bool operator==(const Layout& other) const {
    return dim == other.dim && type == other.type && device_type == other.device_type &&
           device_index == other.device_index && sizes == other.sizes && strides == other.strides;
  }

  bool is_small() const {
    std::int64_t count = 1;
    for (std::int64_t i = 0; i < dim; ++i) count *= std::max<std::int64_t>(sizes[i], 1);
    return dim <= most_dimensions && count <= most_elements;
  }

  static constexpr std::int64_t most_dimensions = 5;
  static constexpr std::int64_t most_elements = 1 << 18;  // 2 MB of complex numbers: a block of torch's allocator
  std::int64_t dim;
  std::int32_t device_type, device_index;
  ScalarType type;
  std::array<std::int64_t, most_dimensions> sizes{}, strides{};

 private:
  Layout(const std::int64_t* from, const std::int64_t* steps, std::int64_t count, std::int32_t device_type,
         std::int32_t device_index, ScalarType type)
      : dim(count), device_type(device_type), device_index(device_index), type(type) {
    if (dim > most_dimensions) return;
    std::copy(from, from + dim, sizes.begin());
    if (steps != nullptr) {
      std::copy(steps, steps + dim, strides.begin());
      return;
    }
    std::int64_t step = 1;
    for (std::int64_t i = dim - 1; i >= 0; --i) {
      strides[i] = step;
      step *= std::max<std::int64_t>(sizes[i], 1);
    }
  }
};

// By torch's C functions, which have no arguments to parse; undefined where this torch lacks them, or where they fail.
inline Tensor made_by_shims(const Layout& layout, bool zeroed) {
  const Shims& shims = torch.shims;
  const std::int32_t type = shims.complete() && layout.is_small() ? shims.type(layout.type) : -1;
  if (type < 0) return {};
  const std::int32_t device = layout.device_type == dlpack::cuda ? shims.cuda() : shims.cpu();
  void* handle = nullptr;
  if (shims.empty_strided(layout.dim, layout.sizes.data(), layout.strides.data(), type, device, layout.device_index,
                          &handle) != 0) {
    return {};
  }
  void* object = nullptr;
  const bool made = (!zeroed || shims.zero(handle) == 0) && shims.to_object(handle, nullptr, &object) == 0;
  shims.free(handle);
  if (made && object != nullptr) return Tensor::of(Ref(static_cast<PyObject*>(object)));
  PyErr_Clear();
  return {};
}

// Plain and with memory: not one of functorch's, not a fake one, no subclass.
inline bool is_ordinary(PyObject* object, const Tensor& tensor) {
  return PlainTensors::is_plain(object) && tensor.has_own_memory();
}

inline Tensor made_like(PyObject* function, const Tensor& tensor, std::optional<ScalarType> type, bool zeroed) {
  if (is_ordinary(tensor.object(), tensor) && tensor.is_contiguous()) {
    Layout layout(tensor);
    layout.type = type.value_or(layout.type);
    if (Tensor made = made_by_shims(layout, zeroed); made.defined()) return made;
  }
  const PlainTensors scope(tensor.object());
  const Ref arguments = checked(PyTuple_Pack(1, tensor.object()));
  const bool other = type && *type != tensor.scalar_type();
  return Tensor::of(
      checked(PyObject_Call(function, arguments.get(), other ? torch.dtype_keyword(*type) : nullptr)));
}

inline Tensor empty_like(const Tensor& tensor) { return made_like(torch.empty_like, tensor, std::nullopt, false); }
inline Tensor zeros_like(const Tensor& tensor, const TensorOptions& options = {}) {
  return made_like(torch.zeros_like, tensor, options.type, true);
}

inline Tensor made_by_python(PyObject* function, const IntArrayRef& sizes, const TensorOptions& options) {
  const PlainTensors scope(options.beside.object());
  const Ref arguments = checked(PyTuple_Pack(1, as_tuple(sizes).get()));
  const Ref keywords = checked(PyDict_Copy(torch.dtype_keyword(*options.type)));
  checked(PyDict_SetItemString(keywords.get(), "device", attribute(options.beside.object(), "device").get()));
  return Tensor::of(checked(PyObject_Call(function, arguments.get(), keywords.get())));
}

inline Layout layout_of(const IntArrayRef& sizes, const TensorOptions& options) {
  if (!options.beside.defined() || !options.type) throw std::runtime_error("a new tensor needs a type and a device");
  return {sizes, options.beside.device_type(), options.beside.device_index(), *options.type};
}

inline Tensor zeros(const IntArrayRef& sizes, const TensorOptions& options) {
  const Layout layout = layout_of(sizes, options);
  if (is_ordinary(options.beside.object(), options.beside)) {
    if (Tensor made = made_by_shims(layout, true); made.defined()) return made;
  }
  return made_by_python(torch.zeros, sizes, options);
}

inline Tensor empty(const IntArrayRef& sizes, const TensorOptions& options) {
  const Layout layout = layout_of(sizes, options);
  if (!is_ordinary(options.beside.object(), options.beside) || !layout.is_small()) {
    return made_by_python(torch.empty, sizes, options);
  }
  if (Tensor made = made_by_shims(layout, false); made.defined()) return made;
  // Another one of the same shape is what empty_like makes in a third of the time that torch.empty takes. The pattern that
  // is kept for it has no memory.
  static std::optional<Layout> known;
  static Tensor pattern;
  if (!known || !(*known == layout)) {
    Tensor made = made_by_python(torch.empty, sizes, options);
    if (!is_ordinary(made.object(), made)) return made;
    call(attribute(call(attribute(made.object(), "untyped_storage").get()).get(), "resize_").get(), integer(0).get());
    pattern = made;
    known = layout;
  }
  return Tensor::of(checked(PyObject_Call(torch.empty_like, checked(PyTuple_Pack(1, pattern.object())).get(), nullptr)));
}

}  // namespace mamba_stable
