// What forks' bindings use of torch beside upstream's: numbers as arguments, and a tensor's view.
#include <torch/extension.h>

at::Tensor viewed(const at::Tensor &given, int rows) { return given.view({rows, -1}); }

at::Tensor folded(const at::Tensor &given, bool twice, int parts) {
  at::Tensor sums = given.view({given.size(0), given.size(1) / parts, parts, given.size(2)}).sum(2);
  return twice ? sums.view({sums.size(0), -1}) : sums;
}

at::Tensor filled(const at::Tensor &given, int64_t rows, float here, double there) {
  at::Tensor made = torch::zeros({rows, 2}, given.options());
  if (rows > 0) {
    static_cast<float *>(made.data_ptr())[0] = here;
    static_cast<float *>(made.data_ptr())[1] = static_cast<float>(there);
  }
  return made;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("viewed", &viewed, "A view of so many rows");
  m.def("filled", &filled, "Numbers in a tensor");
  m.def("folded", &folded, "Channels added up");
}
