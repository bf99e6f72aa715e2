#pragma once
// The current device and stream, and the setting for deterministic kernels.
#include "cuda_error.h"
#include "tensor.h"

namespace mamba_stable {

// -1 if there is none: without a driver, the call for the stream reports that.
inline int current_device() {
  int device = -1;
  if (cudaGetDevice(&device) == cudaSuccess) return device;
  (void)cudaGetLastError();
  return -1;
}

// torch's own guard, if the tensor is not on the current device; torch tracks which devices have a context.
class DeviceGuard {
 public:
  explicit DeviceGuard(const Device& device) : DeviceGuard(device.is_cuda() ? device.index() : -1) {}

  // Takes a device index; -1, the index of CPU tensors, changes nothing.
  explicit DeviceGuard(int index) {
    const int current = current_device();
    if (index < 0 || current < 0 || current == index) return;
    scope_.enter(call(torch.cuda_device, integer(index).get()));
    // torch's CUDA runtime may already be set to that device: before CUDA 12 a runtime makes a context current only on first use,
    // and until then the runtime that is linked in here does not see the device of torch's runtime.
    if (current_device() != index) C10_CUDA_CHECK(cudaSetDevice(index));
  }

 private:
  With scope_;
};

struct Stream {
  cudaStream_t handle;
  cudaStream_t stream() const { return handle; }
};

inline Stream current_stream() {
  int device = 0;
  C10_CUDA_CHECK(cudaGetDevice(&device));
  void* handle = nullptr;
  if (torch.exchange != nullptr) {
    checked(torch.exchange->current_stream(dlpack::cuda, device, &handle));
  } else {
    handle = PyLong_AsVoidPtr(call(torch.raw_stream, integer(device).get()).get());
  }
  return {static_cast<cudaStream_t>(handle)};
}

struct Context {
  bool deterministicAlgorithms() const { return call(torch.deterministic).get() == Py_True; }
};

}  // namespace mamba_stable
