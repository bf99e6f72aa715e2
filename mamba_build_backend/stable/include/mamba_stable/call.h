#pragma once
// Calls from Python, with the rules and error messages of pybind11, which upstream uses.
#include <new>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda_error.h"
#include "tensor.h"

namespace mamba_stable {

template <typename T, typename = void>
struct Argument;  // pybind11's name of the type, and the conversion of an object

template <>
struct Argument<Tensor> {
  static std::string name() { return "torch.Tensor"; }
  static bool load(PyObject* object, Tensor& out) {
    if (!PlainTensors::is_plain(object)) {
      const int is_tensor = PyObject_IsInstance(object, torch.tensor);
      checked(is_tensor);
      if (is_tensor == 0) return false;
    }
    out = Tensor::of(Ref::borrowed(object));
    return true;
  }
};

template <typename T>
struct Argument<std::optional<T>> {
  static std::string name() { return Argument<T>::name() + " | None"; }
  static bool load(PyObject* object, std::optional<T>& out) {
    return object == Py_None || Argument<T>::load(object, out.emplace());
  }
};

template <>
struct Argument<bool> {
  static std::string name() { return "bool"; }
  static bool load(PyObject* object, bool& out) {
    out = object == Py_True;
    if (out || object == Py_False || object == Py_None) return true;
    // Python 3.9's limited API cannot read the slots of built-in types; every type that fills this slot has the method.
    const Ref method(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(object)), "__bool__"));
    if (!method) {
      PyErr_Clear();
      return false;
    }
    const int truth = PyObject_IsTrue(object);
    if (truth < 0) PyErr_Clear();
    out = truth == 1;
    return truth >= 0;
  }
};

// Converts an object to a number, first directly and then by __int__ or __float__; leaves no error set.
template <typename Number>
bool load_number(PyObject* object, PyObject* (*made)(PyObject*), Number (*read)(PyObject*), Number& out) {
  const auto failed = [&](PyObject* from) { return (out = read(from)) == Number(-1) && PyErr_Occurred() != nullptr; };
  if (!failed(object)) return true;
  PyErr_Clear();
  const Ref other(PyNumber_Check(object) != 0 ? made(object) : nullptr);
  const bool loaded = other && !failed(other.get());
  PyErr_Clear();
  return loaded;
}

template <typename T>
struct Argument<T, std::enable_if_t<std::is_integral_v<T> && std::is_signed_v<T>>> {
  static std::string name() { return "typing.SupportsInt"; }
  // Rejects floats, so that no digits are lost.
  static bool load(PyObject* object, T& out) {
    long value = 0;
    if (PyFloat_Check(object) || !load_number(object, &PyNumber_Long, &PyLong_AsLong, value)) return false;
    out = static_cast<T>(value);
    return out == value;
  }
};

template <typename T>
struct Argument<T, std::enable_if_t<std::is_floating_point_v<T>>> {
  static std::string name() { return "typing.SupportsFloat"; }
  static bool load(PyObject* object, T& out) {
    double value = 0;
    if (!load_number(object, &PyNumber_Float, &PyFloat_AsDouble, value)) return false;
    out = static_cast<T>(value);
    return true;
  }
};

template <typename T>
struct Result;  // pybind11's name of the type, and the conversion to an object

template <>
struct Result<Tensor> {
  static std::string name() { return "torch.Tensor"; }
  static PyObject* give(const Tensor& tensor) { return Ref::borrowed(tensor.object()).release(); }
};

template <>
struct Result<std::vector<Tensor>> {
  static std::string name() { return "list[torch.Tensor]"; }
  static PyObject* give(const std::vector<Tensor>& tensors) {
    Ref list = checked(PyList_New(static_cast<Py_ssize_t>(tensors.size())));
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      checked(PyList_SetItem(list.get(), static_cast<Py_ssize_t>(i), Result<Tensor>::give(tensors[i])));
    }
    return list.release();
  }
};

template <>
struct Result<void> {
  static std::string name() { return "None"; }
};

struct Function {
  using Call = PyObject* (*)(const Function&, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords);
  std::string name, signature, doc;
  void (*target)();
  Call call;
};

inline std::string shown(PyObject* object) { return as_text(checked(PyObject_Repr(object)).get()); }

[[noreturn]] inline void refuse_arguments(const Function& function, PyObject* const* arguments, Py_ssize_t count,
                                          PyObject* keywords) {
  std::string text = function.name +
                     "(): incompatible function arguments. The following argument types are supported:\n    1. " +
                     function.signature + "\n\nInvoked with: ";
  for (Py_ssize_t i = 0; i < count; ++i) text += (i > 0 ? ", " : "") + shown(arguments[i]);
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_Size(keywords);
  if (named > 0) text += count > 0 ? "; kwargs: " : "kwargs: ";
  for (Py_ssize_t i = 0; i < named; ++i) {
    text += (i > 0 ? ", " : "") + as_text(PyTuple_GetItem(keywords, i)) + "=" + shown(arguments[count + i]);
  }
  PyErr_SetString(PyExc_TypeError, text.c_str());
  throw PythonError();
}

template <typename F>
struct Bound;

template <typename R, typename... A>
struct Bound<R (*)(A...)> {
  using Values = std::tuple<std::remove_cv_t<std::remove_reference_t<A>>...>;

  static std::string signature() {
    std::string text = "(";
    int index = 0;
    ((text += (index > 0 ? ", arg" : "arg") + std::to_string(index) + ": " +
              Argument<std::remove_cv_t<std::remove_reference_t<A>>>::name(),
      ++index),
     ...);
    return text + ") -> " + Result<R>::name();
  }

  static PyObject* call(const Function& function, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
    return call(function, arguments, count, keywords, std::index_sequence_for<A...>());
  }

 private:
  template <std::size_t... I>
  static PyObject* call(const Function& function, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords,
                        std::index_sequence<I...>) {
    Values values;
    const bool fits = count == static_cast<Py_ssize_t>(sizeof...(A)) &&
                      (keywords == nullptr || PyTuple_Size(keywords) == 0) &&
                      (Argument<std::tuple_element_t<I, Values>>::load(arguments[I], std::get<I>(values)) && ...);
    if (!fits) refuse_arguments(function, arguments, count, keywords);
    const auto target = reinterpret_cast<R (*)(A...)>(function.target);
    if constexpr (std::is_void_v<R>) {
      target(std::get<I>(values)...);
      return Ref::borrowed(Py_None).release();
    } else {
      return Result<R>::give(target(std::get<I>(values)...));
    }
  }
};

inline void set_cuda_error(const CudaError& error) {
  if (torch.accelerator_error == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
    return;
  }
  Ref raised(PyObject_CallFunction(torch.accelerator_error, "s", error.what()));
  Ref code(raised ? PyLong_FromLong(error.code) : nullptr);
  if (code && PyObject_SetAttrString(raised.get(), "error_code", code.get()) == 0) {
    PyErr_SetObject(torch.accelerator_error, raised.get());
  }
}

// No C++ exception leaves this function: each becomes the same Python error as in torch.
template <typename Body>
PyObject* guarded(Body&& body) {
  try {
    return body();
  } catch (PythonError& error) {
    error.restore();
  } catch (const CudaError& error) {
    set_cuda_error(error);
  } catch (const std::out_of_range& error) {
    PyErr_SetString(PyExc_IndexError, error.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "an unknown C++ exception");
  }
  return nullptr;
}

}  // namespace mamba_stable
