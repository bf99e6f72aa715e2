// In the place of the kernels' launchers: what calls them is compiled and called, and no GPU is needed.
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <cuda_runtime_api.h>

#include "causal_conv1d.h"

#define LAUNCHER(name, params)                                   \
  template <typename input_t, typename weight_t>                 \
  void name(params&, cudaStream_t) {}                            \
  template void name<float, float>(params&, cudaStream_t);       \
  template void name<float, at::Half>(params&, cudaStream_t);    \
  template void name<float, at::BFloat16>(params&, cudaStream_t);   \
  template void name<at::Half, float>(params&, cudaStream_t);    \
  template void name<at::Half, at::Half>(params&, cudaStream_t); \
  template void name<at::Half, at::BFloat16>(params&, cudaStream_t); \
  template void name<at::BFloat16, float>(params&, cudaStream_t);   \
  template void name<at::BFloat16, at::Half>(params&, cudaStream_t); \
  template void name<at::BFloat16, at::BFloat16>(params&, cudaStream_t);
LAUNCHER(causal_conv1d_fwd_cuda, ConvParamsBase)
LAUNCHER(causal_conv1d_channellast_fwd_cuda, ConvParamsBase)
LAUNCHER(causal_conv1d_update_cuda, ConvParamsBase)
LAUNCHER(causal_conv1d_bwd_cuda, ConvParamsBwd)
LAUNCHER(causal_conv1d_channellast_bwd_cuda, ConvParamsBwd)
