#pragma once
// at::Tensor as far as upstream's bindings use it: a reference to the Python object, and a view of what it holds.
#include <algorithm>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "torch.h"

namespace mamba_stable {

// Borrowed, like torch's: of a tensor's own sizes, or of a list that lives as long as the expression.
class IntArrayRef {
 public:
  IntArrayRef(const std::int64_t* data, std::size_t size) : data_(data), size_(size) {}
  IntArrayRef(std::initializer_list<std::int64_t> list) : IntArrayRef(list.begin(), list.size()) {}

  std::size_t size() const { return size_; }
  const std::int64_t* begin() const { return data_; }
  const std::int64_t* end() const { return data_ + size_; }
  // torch reads past the end without a word; upstream takes sizes before it has checked how many there are.
  std::int64_t operator[](std::size_t index) const { return index < size_ ? data_[index] : 0; }
  bool operator==(const IntArrayRef& other) const {
    return size_ == other.size_ && std::equal(begin(), end(), other.begin());
  }

 private:
  const std::int64_t* data_;
  std::size_t size_;
};

inline std::int64_t product(const IntArrayRef& sizes) {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  return count;
}

inline Ref as_tuple(const IntArrayRef& values) {
  Ref tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(values.size())));
  for (std::size_t i = 0; i < values.size(); ++i) {
    checked(PyTuple_SetItem(tuple.get(), static_cast<Py_ssize_t>(i), integer(values[i]).release()));
  }
  return tuple;
}

struct Device;
struct TensorOptions;

// Subclasses of torch.Tensor reach upstream's C++ as plain tensors: their __torch_function__ is not asked.
class PlainTensors {
 public:
  explicit PlainTensors(PyObject* of) {
    if (torch.no_subclasses != nullptr && !is_plain(of)) scope_.enter(call(torch.no_subclasses));
  }

  static bool is_plain(PyObject* object) {
    auto* type = reinterpret_cast<PyObject*>(Py_TYPE(object));
    return type == torch.tensor || type == torch.parameter;
  }

 private:
  With scope_;
};

class Tensor {
 public:
  Tensor() = default;  // undefined; None in Python

  // Of an object that is a torch.Tensor. Throws PythonError.
  static Tensor of(Ref object) {
    Tensor made;
    made.object_ = std::move(object);
    made.look();
    return made;
  }

  bool defined() const { return static_cast<bool>(object_); }
  PyObject* object() const { return object_ ? object_.get() : Py_None; }

  std::int64_t dim() const { return view().ndim; }
  IntArrayRef sizes() const { return {view().shape, static_cast<std::size_t>(view().ndim)}; }
  IntArrayRef strides() const { return {view().strides, static_cast<std::size_t>(view().ndim)}; }
  std::int64_t size(std::int64_t index) const { return view().shape[wrapped(index)]; }
  std::int64_t stride(std::int64_t index) const {
    const std::size_t at = wrapped(index);
    if (view().strides == nullptr) method("stride");  // torch says why there are none
    return view().strides[at];
  }
  std::int64_t numel() const { return product(sizes()); }
  std::size_t element_size() const { return view().dtype.bits / 8; }
  bool is_contiguous() const {
    if (foreign_ != nullptr) return method("is_contiguous").get() == Py_True;
    if (numel() == 0) return true;
    std::int64_t expected = 1;
    for (std::int32_t i = view().ndim - 1; i >= 0; --i) {
      if (view().shape[i] != 1 && view().strides[i] != expected) return false;
      expected *= view().shape[i];
    }
    return true;
  }
  bool is_cuda() const { return view().device.type == dlpack::cuda; }
  ScalarType scalar_type() const { return type_; }
  ScalarType dtype() const { return type_; }
  bool has_own_memory() const { return foreign_ == nullptr; }
  std::int32_t device_type() const { return view().device.type; }
  std::int32_t device_index() const { return view().device.index; }
  Device device() const;
  TensorOptions options() const;

  void* data_ptr() const {
    if (foreign_ != nullptr) {
      // Not to be had by DLPack, so torch says why; where it gives an address after all, that is the one.
      const PlainTensors scope(object_.get());
      return PyLong_AsVoidPtr(method("data_ptr").get());
    }
    return static_cast<char*>(view().data) + view().byte_offset;
  }
  template <typename T>
  T* data_ptr() const {
    return static_cast<T*>(data_ptr());
  }

  Tensor to(ScalarType type) const { return type == type_ ? *this : of(method("to", torch.dtype(type))); }
  Tensor contiguous() const { return is_contiguous() ? *this : of(method("contiguous")); }
  Tensor transpose(std::int64_t one, std::int64_t other) const {
    return of(method("transpose", integer(one).get(), integer(other).get()));
  }
  Tensor sum(std::int64_t dim) const { return of(method("sum", integer(dim).get())); }
  Tensor sum(const IntArrayRef& dims) const { return of(method("sum", as_tuple(dims).get())); }
  const Tensor& add_(const Tensor& other) const {
    method("add_", other.object());
    return *this;
  }

 private:
  struct Foreign {
    std::vector<std::int64_t> sizes, strides;
  };

  const dlpack::Tensor& view() const {
    if (!object_) throw std::runtime_error("an undefined tensor was used");
    return view_;
  }

  template <typename... Objects>
  Ref method(const char* name, Objects*... arguments) const {
    const PlainTensors scope(object_.get());
    return call(attribute(object_.get(), name).get(), arguments...);
  }

  void look() {
    if (PlainTensors::is_plain(object_.get())) {
      if (torch.exchange->view(object_.get(), &view_) == 0) {
        type_ = type_of(view_.dtype);
        return;
      }
      PyErr_Clear();
    }
    look_through_python();
  }

  // Tensors without memory of their own (meta, fake, functorch's), and subclasses, which may hold anything.
  void look_through_python() {
    const PlainTensors scope(object_.get());
    auto foreign = std::make_shared<Foreign>();
    const auto read = [](PyObject* sequence, std::vector<std::int64_t>& out) {
      const Py_ssize_t size = PySequence_Size(sequence);
      if (size < 0) throw PythonError();
      for (Py_ssize_t i = 0; i < size; ++i) out.push_back(as_integer(checked(PySequence_GetItem(sequence, i)).get()));
    };
    read(attribute(object_.get(), "shape").get(), foreign->sizes);
    const Ref strides(PyObject_CallMethod(object_.get(), "stride", nullptr));
    const bool strided = static_cast<bool>(strides);
    if (strided) {
      read(strides.get(), foreign->strides);
    } else {
      PyErr_Clear();  // sparse ones have none
    }
    const Ref device = attribute(object_.get(), "device");
    const Ref index = attribute(device.get(), "index");
    const bool on_cuda = attribute(object_.get(), "is_cuda").get() == Py_True;
    view_ = {};
    view_.device = {on_cuda ? dlpack::cuda : dlpack::cpu,
                    index.get() == Py_None ? 0 : static_cast<std::int32_t>(as_integer(index.get()))};
    view_.ndim = static_cast<std::int32_t>(foreign->sizes.size());
    view_.shape = foreign->sizes.data();
    view_.strides = strided ? foreign->strides.data() : nullptr;
    const Ref dtype = attribute(object_.get(), "dtype");
    for (const ScalarType type :
         {ScalarType::Float, ScalarType::Half, ScalarType::BFloat16, ScalarType::ComplexFloat, ScalarType::Int}) {
      if (dtype.get() == torch.dtype(type)) type_ = type;
    }
    foreign_ = std::move(foreign);
  }

  // Upstream compares types with these alone; any other is none of them.
  static ScalarType type_of(const dlpack::DataType& type) {
    if (type.lanes != 1) return ScalarType::Undefined;
    switch (type.code << 8 | type.bits) {
      case dlpack::floating << 8 | 32: return ScalarType::Float;
      case dlpack::floating << 8 | 16: return ScalarType::Half;
      case dlpack::brain_floating << 8 | 16: return ScalarType::BFloat16;
      case dlpack::complex << 8 | 64: return ScalarType::ComplexFloat;
      case dlpack::integer << 8 | 32: return ScalarType::Int;
      default: return ScalarType::Undefined;
    }
  }

  // c10::maybe_wrap_dim, whose c10::IndexError Python sees as IndexError.
  std::size_t wrapped(std::int64_t index) const {
    const std::int64_t count = dim();
    if (count == 0) {
      throw std::out_of_range("Dimension specified as " + std::to_string(index) + " but tensor has no dimensions");
    }
    if (index < -count || index >= count) {
      throw std::out_of_range("Dimension out of range (expected to be in range of [" + std::to_string(-count) + ", " +
                              std::to_string(count - 1) + "], but got " + std::to_string(index) + ")");
    }
    return static_cast<std::size_t>(index < 0 ? index + count : index);
  }

  Ref object_;
  dlpack::Tensor view_{};
  ScalarType type_ = ScalarType::Undefined;
  std::shared_ptr<const Foreign> foreign_;
};

struct Device {
  Tensor tensor;  // one that lies there: new ones are made beside it

  bool is_cuda() const { return tensor.is_cuda(); }
  std::int32_t index() const { return tensor.device_index(); }
};

struct TensorOptions {
  std::optional<ScalarType> type;
  Tensor beside;

  TensorOptions dtype(ScalarType wanted) const { return {wanted, beside}; }
  TensorOptions device(const Device& wanted) const { return {type, wanted.tensor}; }
};

inline Device Tensor::device() const { return {*this}; }
inline TensorOptions Tensor::options() const { return {type_, *this}; }

}  // namespace mamba_stable
