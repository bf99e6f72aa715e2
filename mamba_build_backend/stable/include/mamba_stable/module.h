#pragma once
// PYBIND11_MODULE and m.def for a module of the limited API.
#include <stdexcept>

#include "call.h"
#include "driver.h"

namespace mamba_stable {

constexpr std::size_t most_functions = 8;

class Module {
 public:
  template <typename F>
  Module& def(const char* name, F* function, const char* doc = "") {
    if (count == most_functions) throw std::length_error("a module has more functions than there are entries for");
    Function& made = functions[count++];
    made.name = name;
    made.signature = Bound<F*>::signature();
    made.doc = made.name + made.signature + "\n\n" + doc + "\n";
    made.target = reinterpret_cast<void (*)()>(function);
    made.call = &Bound<F*>::call;
    return *this;
  }

  static inline Function functions[most_functions];
  static inline std::size_t count = 0;
};

// Python passes nothing that identifies the function, so each function has its own entry.
template <std::size_t I>
PyObject* entry(PyObject*, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] { return Module::functions[I].call(Module::functions[I], arguments, count, keywords); });
}

template <std::size_t... I>
PyObject* create(const char* name, void (*fill)(Module&), std::index_sequence<I...>) {
  static PyMethodDef methods[most_functions + 1];
  static PyModuleDef definition = {PyModuleDef_HEAD_INIT, name, nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};
  return guarded([&]() -> PyObject* {
    check_driver(name);
    torch.load(name);
    Module module;
    fill(module);
    const FastCall entries[] = {&entry<I>...};
    for (std::size_t i = 0; i < Module::count; ++i) {
      const Function& function = Module::functions[i];
      methods[i] = {function.name.c_str(), reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(entries[i])),
                    fast_call | METH_KEYWORDS, function.doc.c_str()};
    }
    return PyModule_Create(&definition);
  });
}

inline PyObject* create(const char* name, void (*fill)(Module&)) {
  return create(name, fill, std::make_index_sequence<most_functions>());
}

}  // namespace mamba_stable

#define MAMBA_STABLE_TEXT_(name) #name
#define MAMBA_STABLE_MODULE_(name, variable)                                                  \
  static void mamba_stable_fill(mamba_stable::Module&);                                       \
  PyMODINIT_FUNC PyInit_##name() {                                                            \
    return mamba_stable::create(MAMBA_STABLE_TEXT_(name), &mamba_stable_fill);                \
  }                                                                                           \
  static void mamba_stable_fill(mamba_stable::Module& variable)
// Two macros, so that TORCH_EXTENSION_NAME is expanded to the build's value.
#define PYBIND11_MODULE(name, variable) MAMBA_STABLE_MODULE_(name, variable)
