#include <c10/cuda/CUDAException.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <c10/util/complex.h>

#include <ATen/cuda/Atomic.cuh>
#include <cassert>
#include <cstdint>
#include <cub/block/block_load.cuh>

#ifdef NDEBUG
#error "an assert of a kernel's must stay"
#endif

__global__ void twice(const float* in, float* out, int64_t size) {
  assert(size >= 0);
  const int64_t i = blockIdx.x * int64_t(blockDim.x) + threadIdx.x;
  if (i < size) out[i] = 2 * in[i];
}

// Upstream's complex weights: accumulated atomically, conjugated.
__global__ void gather(c10::complex<float>* out, c10::complex<float> value) { gpuAtomicAdd(out, std::conj(value)); }

void launch(const float* in, float* out, int64_t size, cudaStream_t stream) {
  twice<<<(size + 255) / 256, 256, 0, stream>>>(in, out, size);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}
