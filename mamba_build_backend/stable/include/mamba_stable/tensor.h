#pragma once
// The part of at::Tensor that upstream's bindings use: a reference to the Python object, and a view of its data.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "torch.h"

namespace mamba_stable {

// Borrowed, like torch's: points to a tensor's own sizes, or to a list that lives as long as the expression.
class IntArrayRef {
 public:
  IntArrayRef(const std::int64_t* data, std::size_t size) : data_(data), size_(size) {}
  IntArrayRef(std::initializer_list<std::int64_t> list) : IntArrayRef(list.begin(), list.size()) {}

  std::size_t size() const { return size_; }
  const std::int64_t* begin() const { return data_; }
  const std::int64_t* end() const { return data_ + size_; }
  // torch silently reads past the end; upstream reads sizes before it checks their number.
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

// Subclasses of torch.Tensor reach upstream's C++ as plain tensors: their __torch_function__ is not called.
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

  // Wraps a torch.Tensor. Throws PythonError.
  static Tensor of(Ref object) {
    Tensor made;
    made.object_ = std::move(object);
    made.look();
    return made;
  }

  // Wraps a tensor that was made here, with its own memory; only its address is not known yet.
  static Tensor made(Ref object, const IntArrayRef& sizes, const IntArrayRef& strides, ScalarType type, const Tensor& beside) {
    if (torch.exchange != nullptr || sizes.size() > most_dims) return of(std::move(object));
    Tensor made;
    made.object_ = std::move(object);
    made.data_ = PyLong_AsVoidPtr(call(torch.data_ptr, made.object_.get()).get());
    made.device_ = beside.device_;
    made.type_ = type;
    made.bits_ = bits_of(type);
    made.dims_ = static_cast<std::int32_t>(sizes.size());
    std::copy(sizes.begin(), sizes.end(), made.sizes_);
    std::copy(strides.begin(), strides.end(), made.strides_);
    return made;
  }

  bool defined() const { return static_cast<bool>(object_); }
  PyObject* object() const { return object_ ? object_.get() : Py_None; }

  std::int64_t dim() const { return known().dims_; }
  IntArrayRef sizes() const { return {known().sizes_at(), static_cast<std::size_t>(dims_)}; }
  IntArrayRef strides() const { return {known().strides_at(), static_cast<std::size_t>(dims_)}; }
  std::int64_t size(std::int64_t index) const { return sizes_at()[wrapped(index)]; }
  std::int64_t stride(std::int64_t index) const {
    const std::size_t at = wrapped(index);
    if (foreign_ != nullptr && !foreign_->strided) method("stride");  // torch says why there are none
    return strides_at()[at];
  }
  std::int64_t numel() const { return product(sizes()); }
  std::size_t element_size() const { return bits_ / 8; }
  bool is_contiguous() const {
    if (foreign_ != nullptr) return method("is_contiguous").get() == Py_True;
    if (numel() == 0) return true;
    std::int64_t expected = 1;
    for (std::int32_t i = dims_ - 1; i >= 0; --i) {
      if (sizes_[i] != 1 && strides_[i] != expected) return false;
      expected *= sizes_[i];
    }
    return true;
  }
  bool is_cuda() const { return known().device_.type == dlpack::cuda; }
  ScalarType scalar_type() const { return type_; }
  ScalarType dtype() const { return type_; }
  bool has_own_memory() const { return foreign_ == nullptr; }
  std::int32_t device_index() const { return known().device_.index; }
  // -1 for a CPU tensor, as in torch.
  std::int64_t get_device() const { return is_cuda() ? device_index() : -1; }
  Device device() const;
  TensorOptions options() const;

  void* data_ptr() const {
    if (foreign_ == nullptr) return known().data_;
    // Ask torch: it reports why there is no address, or returns one.
    const PlainTensors scope(object_.get());
    return PyLong_AsVoidPtr(method("data_ptr").get());
  }
  template <typename T>
  T* data_ptr() const {
    return static_cast<T*>(data_ptr());
  }

  Tensor to(ScalarType type) const { return type == type_ ? *this : of(method("to", torch.dtype(type))); }
  Tensor contiguous() const { return is_contiguous() ? *this : of(method("contiguous")); }
  Tensor clone() const { return of(method("clone")); }
  Tensor transpose(std::int64_t one, std::int64_t other) const {
    return of(method("transpose", integer(one).get(), integer(other).get()));
  }
  Tensor view(const IntArrayRef& sizes) const { return of(method("view", as_tuple(sizes).get())); }
  Tensor sum(std::int64_t dim) const { return of(method("sum", integer(dim).get())); }
  Tensor sum(const IntArrayRef& dims) const { return of(method("sum", as_tuple(dims).get())); }
  const Tensor& add_(const Tensor& other) const {
    method("add_", other.object());
    return *this;
  }

 private:
  // The bindings take tensors of four dimensions at most; one of more is read like one without memory.
  static constexpr std::size_t most_dims = 6;

  struct Foreign {
    std::vector<std::int64_t> sizes, strides;
    bool strided;
  };

  const Tensor& known() const {
    if (!object_) throw std::runtime_error("an undefined tensor was used");
    return *this;
  }
  const std::int64_t* sizes_at() const { return foreign_ != nullptr ? foreign_->sizes.data() : sizes_; }
  const std::int64_t* strides_at() const { return foreign_ != nullptr ? foreign_->strides.data() : strides_; }

  template <typename... Objects>
  Ref method(const char* name, Objects*... arguments) const {
    const PlainTensors scope(object_.get());
    return call(attribute(object_.get(), name).get(), arguments...);
  }

  void look() {
    if (PlainTensors::is_plain(object_.get())) {
      if (torch.exchange != nullptr ? look_by_table() : torch.aoti.complete ? look_by_aoti() : look_by_methods()) return;
      PyErr_Clear();
    }
    look_through_python();
  }

  bool look_by_table() {
    dlpack::Tensor view{};
    if (torch.exchange->view(object_.get(), &view) != 0) return false;
    if (view.ndim < 0 || static_cast<std::size_t>(view.ndim) > most_dims) return false;
    data_ = static_cast<char*>(view.data) + view.byte_offset;
    device_ = view.device;
    type_ = type_of(view.dtype);
    bits_ = view.dtype.bits;
    dims_ = view.ndim;
    std::copy(view.shape, view.shape + view.ndim, sizes_);
    std::copy(view.strides, view.strides + view.ndim, strides_);
    return true;
  }

  // Reads the same as the table, for a tensor with its own memory. False for any other tensor; an error may then be set.
  bool look_by_aoti() {
    PyObject* self = object_.get();
    // First the address by the method: it refuses tensors without their own memory, of which the functions must not be asked.
    const Ref address(PyObject_CallFunctionObjArgs(torch.data_ptr, self, nullptr));
    const Ref number(address ? PyObject_GetAttr(self, torch.cdata_name) : nullptr);
    void* held = number ? PyLong_AsVoidPtr(number.get()) : nullptr;
    if (held == nullptr) return false;
    const aoti::Api& api = torch.aoti;
    std::int64_t dims = 0, *sizes = nullptr, *strides = nullptr;
    std::int32_t dtype = 0, device = 0, index = 0;
    if (api.dim(&held, &dims) != 0 || dims < 0 || static_cast<std::size_t>(dims) > most_dims) return false;
    if (api.sizes(&held, &sizes) != 0 || api.strides(&held, &strides) != 0 || api.dtype(&held, &dtype) != 0) return false;
    if (api.device_type(&held, &device) != 0) return false;
    if (device == aoti::cuda && api.device_index(&held, &index) != 0) return false;
    data_ = PyLong_AsVoidPtr(address.get());
    device_ = {device == aoti::cuda ? dlpack::cuda : dlpack::cpu, index};
    type_ = type_of(dtype);
    bits_ = bits_of(type_);
    dims_ = static_cast<std::int32_t>(dims);
    std::copy(sizes, sizes + dims, sizes_);
    std::copy(strides, strides + dims, strides_);
    return true;
  }

  // The same by Python's methods alone.
  bool look_by_methods() {
    PyObject* self = object_.get();
    const Ref on_cuda(PyObject_GetAttr(self, torch.is_cuda_name));
    const Ref address(on_cuda ? PyObject_CallFunctionObjArgs(torch.data_ptr, self, nullptr) : nullptr);
    const Ref strides(address ? PyObject_CallFunctionObjArgs(torch.stride, self, nullptr) : nullptr);
    const Ref shape(strides ? PyObject_GetAttr(self, torch.shape_name) : nullptr);
    const Ref dtype(shape ? PyObject_GetAttr(self, torch.dtype_name) : nullptr);
    if (!dtype || !read(shape.get(), sizes_) || !read(strides.get(), strides_)) return false;
    device_ = {dlpack::cpu, 0};
    if (on_cuda.get() == Py_True && has_one_gpu()) {
      device_ = {dlpack::cuda, 0};
    } else if (on_cuda.get() == Py_True) {
      const Ref index(PyObject_CallFunctionObjArgs(torch.get_device, self, nullptr));
      if (!index) return false;
      device_ = {dlpack::cuda, static_cast<std::int32_t>(as_integer(index.get()))};
    }
    data_ = PyLong_AsVoidPtr(address.get());
    type_ = torch.type_of(dtype.get());
    bits_ = bits_of(type_);
    dims_ = static_cast<std::int32_t>(PyTuple_Size(shape.get()));
    return true;
  }

  // Asked once, in a process with a tensor on a GPU, so CUDA is running: saves one call per tensor.
  static bool has_one_gpu() {
    static const bool one = [] {
      int count = 0;
      return cudaGetDeviceCount(&count) == cudaSuccess && count == 1;
    }();
    return one;
  }

  static bool read(PyObject* tuple, std::int64_t* out) {
    const Py_ssize_t size = PyTuple_Size(tuple);
    if (size < 0 || static_cast<std::size_t>(size) > most_dims) return false;
    for (Py_ssize_t i = 0; i < size; ++i) {
      out[i] = PyLong_AsLongLong(PyTuple_GetItem(tuple, i));
      if (out[i] == -1 && PyErr_Occurred() != nullptr) return false;
    }
    return true;
  }

  // Tensors without their own memory (meta, fake, functorch's), and subclasses, which may contain anything.
  void look_through_python() {
    const PlainTensors scope(object_.get());
    auto foreign = std::make_shared<Foreign>();
    const auto read_all = [](PyObject* sequence, std::vector<std::int64_t>& out) {
      const Py_ssize_t size = PySequence_Size(sequence);
      if (size < 0) throw PythonError();
      for (Py_ssize_t i = 0; i < size; ++i) out.push_back(as_integer(checked(PySequence_GetItem(sequence, i)).get()));
    };
    read_all(attribute(object_.get(), "shape").get(), foreign->sizes);
    const Ref strides(PyObject_CallMethod(object_.get(), "stride", nullptr));
    foreign->strided = static_cast<bool>(strides);
    if (foreign->strided) {
      read_all(strides.get(), foreign->strides);
    } else {
      PyErr_Clear();  // sparse ones have none
      foreign->strides.resize(foreign->sizes.size());
    }
    const Ref device = attribute(object_.get(), "device");
    const Ref index = attribute(device.get(), "index");
    const bool on_cuda = attribute(object_.get(), "is_cuda").get() == Py_True;
    device_ = {on_cuda ? dlpack::cuda : dlpack::cpu,
               index.get() == Py_None ? 0 : static_cast<std::int32_t>(as_integer(index.get()))};
    dims_ = static_cast<std::int32_t>(foreign->sizes.size());
    type_ = torch.type_of(attribute(object_.get(), "dtype").get());
    bits_ = bits_of(type_);
    foreign_ = std::move(foreign);
  }

  // Upstream compares types only with these; any other is Undefined.
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

  static ScalarType type_of(std::int32_t type) {
    struct Known {
      std::int32_t theirs;
      ScalarType ours;
    };
    for (const Known& known : {Known{aoti::float32, ScalarType::Float}, Known{aoti::float16, ScalarType::Half},
                               Known{aoti::bfloat16, ScalarType::BFloat16},
                               Known{aoti::complex64, ScalarType::ComplexFloat}, Known{aoti::int32, ScalarType::Int}}) {
      if (type == known.theirs) return known.ours;
    }
    return ScalarType::Undefined;
  }

  static constexpr std::uint8_t bits_of(ScalarType type) {
    return type == ScalarType::ComplexFloat ? 64 : type == ScalarType::Half || type == ScalarType::BFloat16 ? 16 : 32;
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
  void* data_ = nullptr;
  dlpack::Device device_{};
  ScalarType type_ = ScalarType::Undefined;
  std::uint8_t bits_ = 0;  // of an element
  std::int32_t dims_ = 0;
  std::int64_t sizes_[most_dims], strides_[most_dims];  // of a tensor that is not foreign
  std::shared_ptr<const Foreign> foreign_;
};

struct Device {
  Tensor tensor;  // a tensor on this device: new tensors are made on the same device

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
