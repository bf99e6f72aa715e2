#pragma once
// The current device and stream, and the setting that asks for deterministic kernels.
#include "cuda_error.h"
#include "factory.h"

namespace mamba_stable {

// torch's own guard, where the tensor lies on another device than the current one; it knows which devices have a context.
class DeviceGuard {
 public:
  explicit DeviceGuard(const Device& device) {
    if (!device.is_cuda()) return;
    int current = -1;
    if (cudaGetDevice(&current) != cudaSuccess) {
      (void)cudaGetLastError();  // without a driver there is nothing to guard; asking for the stream says so
      return;
    }
    if (current == device.index()) return;
    scope_ = call(torch.cuda_device, integer(device.index()).get());
    call(attribute(scope_.get(), "__enter__").get());
  }
  DeviceGuard(const DeviceGuard&) = delete;
  ~DeviceGuard() {
    if (!scope_) return;
    Ref exit(PyObject_GetAttrString(scope_.get(), "__exit__"));
    Ref left(exit ? PyObject_CallFunctionObjArgs(exit.get(), Py_None, Py_None, Py_None, nullptr) : nullptr);
    if (!left) PyErr_Clear();
  }

 private:
  Ref scope_;
};

struct Stream {
  cudaStream_t handle;
  cudaStream_t stream() const { return handle; }
};

inline Stream current_stream() {
  int device = 0;
  C10_CUDA_CHECK(cudaGetDevice(&device));
  void* handle = nullptr;
  checked(torch.exchange->current_stream(dlpack::cuda, device, &handle));
  return {static_cast<cudaStream_t>(handle)};
}

struct Context {
  bool deterministicAlgorithms() const { return call(torch.deterministic).get() == Py_True; }
};

}  // namespace mamba_stable
