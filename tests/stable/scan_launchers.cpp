// In the place of the kernels' launchers: what calls them is compiled and called, and no GPU is needed.
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <c10/util/complex.h>
#include <cuda_runtime_api.h>

#include "selective_scan.h"

template <typename input_t, typename weight_t>
void selective_scan_fwd_cuda(SSMParamsBase&, cudaStream_t) {}
template <typename input_t, typename weight_t>
void selective_scan_bwd_cuda(SSMParamsBwd&, cudaStream_t) {}

#define BOTH(input_t, weight_t)                                                       \
  template void selective_scan_fwd_cuda<input_t, weight_t>(SSMParamsBase&, cudaStream_t); \
  template void selective_scan_bwd_cuda<input_t, weight_t>(SSMParamsBwd&, cudaStream_t);
#define ALL(input_t) BOTH(input_t, float) BOTH(input_t, c10::complex<float>)
ALL(float) ALL(at::Half) ALL(at::BFloat16)
