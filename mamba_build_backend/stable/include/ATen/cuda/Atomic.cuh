#pragma once
// torch's gpuAtomicAdd for the types in which the kernels accumulate (ATen/cuda/Atomic.cuh of torch 2.11).
#include <mamba_stable/numbers.h>

inline __device__ float gpuAtomicAdd(float* address, float value) { return atomicAdd(address, value); }

inline __device__ double gpuAtomicAdd(double* address, double value) { return atomicAdd(address, value); }

template <typename T>
inline __device__ void gpuAtomicAdd(c10::complex<T>* address, c10::complex<T> value) {
  gpuAtomicAdd(&address->real_, value.real_);
  gpuAtomicAdd(&address->imag_, value.imag_);
}
