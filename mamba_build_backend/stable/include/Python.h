#pragma once
// The part of Python 3.9's limited API that these headers use, for a machine without Python's own header (package python3-dev). If
// Python's header exists, it is used instead. The stable ABI (PEP 384) promises these structures, numbers and functions for every
// later Python 3, so they do not depend on the Python that runs the build.
#if defined(__has_include_next) && !defined(MAMBA_STABLE_OWN_PYTHON_H)
#if __has_include_next(<Python.h>)
#define MAMBA_STABLE_HAS_PYTHON_H
#endif
#endif
#ifdef MAMBA_STABLE_HAS_PYTHON_H
#include_next <Python.h>
#else

#if !defined(__linux__) || !defined(__LP64__)
#error "Python.h was not found: apt-get install python3-dev, or dnf install python3-devel"
#endif
#ifndef Py_LIMITED_API
#error "Python.h was not found, and the replacement in this backend has only the limited API: apt-get install python3-dev"
#endif

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define PYTHON_ABI_VERSION 3
#define METH_VARARGS 0x0001
#define METH_KEYWORDS 0x0002
#define METH_NOARGS 0x0004
#define METH_O 0x0008

#ifdef __cplusplus
#define PyMODINIT_FUNC extern "C" __attribute__((visibility("default"))) PyObject*
extern "C" {
#else
#define PyMODINIT_FUNC __attribute__((visibility("default"))) PyObject*
#endif

typedef ssize_t Py_ssize_t;
typedef struct _typeobject PyTypeObject;
typedef struct _longobject PyLongObject;

typedef struct _object {
  Py_ssize_t ob_refcnt;
  PyTypeObject* ob_type;
} PyObject;

typedef PyObject* (*PyCFunction)(PyObject*, PyObject*);
typedef int (*visitproc)(PyObject*, void*);
typedef int (*traverseproc)(PyObject*, visitproc, void*);
typedef int (*inquiry)(PyObject*);
typedef void (*freefunc)(void*);
typedef void (*PyCapsule_Destructor)(PyObject*);

typedef struct PyMethodDef {
  const char* ml_name;
  PyCFunction ml_meth;
  int ml_flags;
  const char* ml_doc;
} PyMethodDef;

typedef struct PyModuleDef_Base {
  PyObject ob_base;
  PyObject* (*m_init)(void);
  Py_ssize_t m_index;
  PyObject* m_copy;
} PyModuleDef_Base;

typedef struct PyModuleDef {
  PyModuleDef_Base m_base;
  const char* m_name;
  const char* m_doc;
  Py_ssize_t m_size;
  PyMethodDef* m_methods;
  struct PyModuleDef_Slot* m_slots;
  traverseproc m_traverse;
  inquiry m_clear;
  freefunc m_free;
} PyModuleDef;

#define PyModuleDef_HEAD_INIT {{1, NULL}, NULL, 0, NULL}

// --- objects, and counting references ---

extern PyObject _Py_NoneStruct;
extern PyLongObject _Py_TrueStruct, _Py_FalseStruct;
#define Py_None (&_Py_NoneStruct)
#define Py_True ((PyObject*)&_Py_TrueStruct)
#define Py_False ((PyObject*)&_Py_FalseStruct)
#define Py_TYPE(object) (((PyObject*)(object))->ob_type)

void _Py_Dealloc(PyObject*);

static inline void Py_INCREF(PyObject* object) { object->ob_refcnt++; }
static inline void Py_DECREF(PyObject* object) {
  if (--object->ob_refcnt == 0) _Py_Dealloc(object);
}
static inline void Py_XINCREF(PyObject* object) {
  if (object != NULL) Py_INCREF(object);
}
static inline void Py_XDECREF(PyObject* object) {
  if (object != NULL) Py_DECREF(object);
}

PyObject* PyObject_GetAttr(PyObject*, PyObject*);
PyObject* PyObject_GetAttrString(PyObject*, const char*);
int PyObject_HasAttrString(PyObject*, const char*);
int PyObject_SetAttr(PyObject*, PyObject*, PyObject*);
int PyObject_SetAttrString(PyObject*, const char*, PyObject*);
int PyObject_IsInstance(PyObject*, PyObject*);
int PyObject_IsTrue(PyObject*);
PyObject* PyObject_Repr(PyObject*);
PyObject* PyObject_Str(PyObject*);
PyObject* PyObject_GetItem(PyObject*, PyObject*);
Py_ssize_t PyObject_Size(PyObject*);
int PyCallable_Check(PyObject*);

// --- calls; with lengths as Py_ssize_t ---

PyObject* PyObject_Call(PyObject*, PyObject*, PyObject*);
PyObject* PyObject_CallObject(PyObject*, PyObject*);
PyObject* PyObject_CallFunctionObjArgs(PyObject*, ...);
PyObject* PyObject_CallMethodObjArgs(PyObject*, PyObject*, ...);
PyObject* _PyObject_CallFunction_SizeT(PyObject*, const char*, ...);
PyObject* _PyObject_CallMethod_SizeT(PyObject*, const char*, const char*, ...);
PyObject* _Py_BuildValue_SizeT(const char*, ...);
#define PyObject_CallFunction _PyObject_CallFunction_SizeT
#define PyObject_CallMethod _PyObject_CallMethod_SizeT
#define Py_BuildValue _Py_BuildValue_SizeT

// --- errors ---

extern PyObject *PyExc_AttributeError, *PyExc_ImportError, *PyExc_IndexError, *PyExc_KeyError, *PyExc_MemoryError;
extern PyObject *PyExc_ModuleNotFoundError, *PyExc_NotImplementedError, *PyExc_OverflowError, *PyExc_RuntimeError;
extern PyObject *PyExc_SystemError, *PyExc_TypeError, *PyExc_ValueError;
void PyErr_Clear(void);
int PyErr_ExceptionMatches(PyObject*);
void PyErr_Fetch(PyObject**, PyObject**, PyObject**);
PyObject* PyErr_Format(PyObject*, const char*, ...);
PyObject* PyErr_NoMemory(void);
void PyErr_NormalizeException(PyObject**, PyObject**, PyObject**);
PyObject* PyErr_Occurred(void);
void PyErr_Restore(PyObject*, PyObject*, PyObject*);
void PyErr_SetObject(PyObject*, PyObject*);
void PyErr_SetString(PyObject*, const char*);
int PyErr_WarnEx(PyObject*, const char*, Py_ssize_t);

// --- values ---

PyObject* PyBool_FromLong(long);
char* PyBytes_AsString(PyObject*);
Py_ssize_t PyBytes_Size(PyObject*);
int PyType_IsSubtype(PyTypeObject*, PyTypeObject*);
extern PyTypeObject PyFloat_Type;
static inline int PyFloat_Check(PyObject* object) {
  return Py_TYPE(object) == &PyFloat_Type || PyType_IsSubtype(Py_TYPE(object), &PyFloat_Type);
}
double PyFloat_AsDouble(PyObject*);
PyObject* PyFloat_FromDouble(double);
long PyLong_AsLong(PyObject*);
long long PyLong_AsLongLong(PyObject*);
size_t PyLong_AsSize_t(PyObject*);
Py_ssize_t PyLong_AsSsize_t(PyObject*);
unsigned long long PyLong_AsUnsignedLongLong(PyObject*);
void* PyLong_AsVoidPtr(PyObject*);
PyObject* PyLong_FromLong(long);
PyObject* PyLong_FromLongLong(long long);
PyObject* PyLong_FromSize_t(size_t);
PyObject* PyLong_FromSsize_t(Py_ssize_t);
PyObject* PyLong_FromUnsignedLongLong(unsigned long long);
PyObject* PyLong_FromVoidPtr(void*);
int PyNumber_Check(PyObject*);
PyObject* PyNumber_Float(PyObject*);
PyObject* PyNumber_Index(PyObject*);
PyObject* PyNumber_Long(PyObject*);
PyObject* PyUnicode_AsUTF8String(PyObject*);
int PyUnicode_CompareWithASCIIString(PyObject*, const char*);
PyObject* PyUnicode_FromFormat(const char*, ...);
PyObject* PyUnicode_FromString(const char*);
PyObject* PyUnicode_FromStringAndSize(const char*, Py_ssize_t);
PyObject* PyUnicode_InternFromString(const char*);

// --- containers ---

PyObject* PyDict_GetItem(PyObject*, PyObject*);
PyObject* PyDict_GetItemString(PyObject*, const char*);
PyObject* PyDict_GetItemWithError(PyObject*, PyObject*);
PyObject* PyDict_New(void);
int PyDict_Next(PyObject*, Py_ssize_t*, PyObject**, PyObject**);
int PyDict_SetItem(PyObject*, PyObject*, PyObject*);
int PyDict_SetItemString(PyObject*, const char*, PyObject*);
Py_ssize_t PyDict_Size(PyObject*);
int PyList_Append(PyObject*, PyObject*);
PyObject* PyList_GetItem(PyObject*, Py_ssize_t);
PyObject* PyList_New(Py_ssize_t);
int PyList_SetItem(PyObject*, Py_ssize_t, PyObject*);
Py_ssize_t PyList_Size(PyObject*);
int PySequence_Check(PyObject*);
PyObject* PySequence_GetItem(PyObject*, Py_ssize_t);
Py_ssize_t PySequence_Size(PyObject*);
PyObject* PySequence_Tuple(PyObject*);
PyObject* PyTuple_GetItem(PyObject*, Py_ssize_t);
PyObject* PyTuple_New(Py_ssize_t);
PyObject* PyTuple_Pack(Py_ssize_t, ...);
int PyTuple_SetItem(PyObject*, Py_ssize_t, PyObject*);
Py_ssize_t PyTuple_Size(PyObject*);
void* PyCapsule_GetPointer(PyObject*, const char*);
int PyCapsule_IsValid(PyObject*, const char*);
PyObject* PyCapsule_New(void*, const char*, PyCapsule_Destructor);

// --- modules ---

PyObject* PyImport_ImportModule(const char*);
PyObject* PyModule_Create2(PyModuleDef*, int);
#define PyModule_Create(definition) PyModule_Create2(definition, PYTHON_ABI_VERSION)
int PyModule_AddObject(PyObject*, const char*, PyObject*);

#ifdef __cplusplus
}
#endif
#endif
