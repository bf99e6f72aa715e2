// What mamba-ssm's binding does in small: torch's headers without pybind's torch/extension.h (which takes a minute),
// C++ exceptions, iostreams, and new symbols of libstdc++ (new[] of an unknown size, exception_ptr).
#include <Python.h>

#include <c10/util/Exception.h>

#include <exception>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <vector>

void launch(float* data, int n);

static PyObject* thrown(PyObject*, PyObject*) {
    try {
        TORCH_CHECK(false, "a torch error");
    } catch (const c10::Error& error) {
        PyErr_SetString(PyExc_ValueError, error.what_without_backtrace());
    }
    return nullptr;
}

static PyObject* lines(PyObject*, PyObject* argument) {
    long n = PyLong_AsLong(argument);
    std::unique_ptr<std::vector<int>[]> many(new std::vector<int>[n]);
    std::exception_ptr kept;
    try {
        throw std::runtime_error("kept");
    } catch (...) {
        kept = std::current_exception();
    }
    std::exception_ptr copy = kept;
    // shared_ptr's counter is what brings __libc_single_threaded@GLIBC_2.32 into an unportable build.
    std::shared_ptr<int> shared(new int(1)), second = shared;
    std::ostringstream out;
    out << "size " << many[0].size() << " n " << n + *second - 1 << std::endl;
    return PyUnicode_FromString(out.str().c_str());
}

static PyObject* scale(PyObject*, PyObject*) {
    launch(nullptr, 0);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"thrown", thrown, METH_NOARGS, "raise torch's error as ValueError"},
    {"lines", lines, METH_O, "use new symbols of libstdc++"},
    {"scale", scale, METH_NOARGS, "launch nothing"},
    {nullptr, nullptr, 0, nullptr},
};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, "tiny_cuda_ext", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit_tiny_cuda_ext() { return PyModule_Create(&module); }
