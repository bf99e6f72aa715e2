#pragma once
// Owned references and Python errors, within the limited API of Python 3.9: one file for all later Pythons.
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x03090000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string>
#include <utility>

namespace mamba_stable {

// The fast calling convention (flag and function type): in Python since 3.7, in its limited API since 3.10.
constexpr int fast_call = 0x0080;
using FastCall = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);

class Ref {
 public:
  Ref() = default;
  explicit Ref(PyObject* stolen) : object_(stolen) {}
  Ref(const Ref& other) : object_(other.object_) { Py_XINCREF(object_); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() { Py_XDECREF(object_); }

  static Ref borrowed(PyObject* object) {
    Py_XINCREF(object);
    return Ref(object);
  }
  PyObject* get() const { return object_; }
  PyObject* release() { return std::exchange(object_, nullptr); }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  PyObject* object_ = nullptr;
};

// A Python error as a C++ exception. Removed from the interpreter when thrown, so that destructors may call Python, and
// restored where C++ ends.
class PythonError {
 public:
  PythonError() {
    PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
    PyErr_Fetch(&type, &value, &traceback);
    type_ = Ref(type), value_ = Ref(value), traceback_ = Ref(traceback);
  }
  void restore() { PyErr_Restore(type_.release(), value_.release(), traceback_.release()); }

 private:
  Ref type_, value_, traceback_;
};

// Returns the result of a C API call, or throws the error that it set.
inline Ref checked(PyObject* stolen) {
  if (stolen == nullptr) throw PythonError();
  return Ref(stolen);
}

inline void checked(int status) {
  if (status < 0) throw PythonError();
}

inline Ref attribute(PyObject* object, const char* name) { return checked(PyObject_GetAttrString(object, name)); }

inline Ref integer(long long value) { return checked(PyLong_FromLongLong(value)); }

inline long long as_integer(PyObject* object) {
  const long long value = PyLong_AsLongLong(object);
  if (value == -1 && PyErr_Occurred() != nullptr) throw PythonError();
  return value;
}

inline std::string as_text(PyObject* object) {
  const Ref bytes = checked(PyUnicode_AsUTF8String(object));
  return std::string(PyBytes_AsString(bytes.get()), static_cast<std::size_t>(PyBytes_Size(bytes.get())));
}

template <typename... Objects>
Ref call(PyObject* function, Objects*... arguments) {
  return checked(PyObject_CallFunctionObjArgs(function, arguments..., nullptr));
}

// A Python context manager, entered for the lifetime of this object.
class With {
 public:
  With() = default;
  With(const With&) = delete;
  void enter(Ref manager) {
    call(attribute(manager.get(), "__enter__").get());
    manager_ = std::move(manager);
  }
  ~With() {
    if (!manager_) return;
    const Ref exit(PyObject_GetAttrString(manager_.get(), "__exit__"));
    const Ref left(exit ? PyObject_CallFunctionObjArgs(exit.get(), Py_None, Py_None, Py_None, nullptr) : nullptr);
    if (!left) PyErr_Clear();
  }

 private:
  Ref manager_;
};

}  // namespace mamba_stable
