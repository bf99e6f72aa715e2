// What upstream's bindings do, in small.
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/extension.h>

void launch(const float* in, float* out, int64_t size, cudaStream_t stream);

at::Tensor doubled(const at::Tensor& x, const c10::optional<at::Tensor>& out_, bool checked) {
  if (checked) TORCH_CHECK(x.scalar_type() == at::ScalarType::Float, "x must be of type float");
  TORCH_CHECK(x.is_cuda());
  at::Tensor out = out_.has_value() ? out_.value() : torch::empty_like(x);
  at::cuda::CUDAGuard guard{x.device()};
  launch(x.data_ptr<float>(), out.data_ptr<float>(), x.numel(), at::cuda::getCurrentCUDAStream().stream());
  return out;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("doubled", &doubled, "Twice x");
}
