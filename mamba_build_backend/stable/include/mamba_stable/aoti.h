#pragma once
// The used part of the C interface that torch gives to compiled models (torch/csrc/inductor/aoti_torch/c/shim.h; these
// functions are in torch 2.3 and newer). It is looked up in the loaded libtorch, so an older torch works without it.
#include <dlfcn.h>

#include <cstdint>

namespace mamba_stable::aoti {

// torch's AtenTensorHandle is an at::Tensor*, and an at::Tensor is one pointer, to the object that Tensor._cdata names. So the
// address of that pointer is a handle, which borrows.
using Handle = void**;
constexpr std::int32_t cuda = 1;  // a c10::DeviceType
enum Dtype : std::int32_t { int32 = 3, float16 = 5, float32 = 6, complex64 = 9, bfloat16 = 15 };  // of c10::ScalarType

// Each returns 0, or writes why it cannot answer to stderr: ask only about tensors with their own memory.
struct Api {
  std::int32_t (*dim)(Handle, std::int64_t*) = nullptr;
  std::int32_t (*sizes)(Handle, std::int64_t**) = nullptr;  // borrows, as strides does
  std::int32_t (*strides)(Handle, std::int64_t**) = nullptr;
  std::int32_t (*dtype)(Handle, std::int32_t*) = nullptr;
  std::int32_t (*device_type)(Handle, std::int32_t*) = nullptr;
  std::int32_t (*device_index)(Handle, std::int32_t*) = nullptr;
  bool complete = false;

  void load() {
    void* library = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);  // stays open, as torch does
    if (library == nullptr) return;
    complete = find(library, dim, "aoti_torch_get_dim") && find(library, sizes, "aoti_torch_get_sizes") &&
               find(library, strides, "aoti_torch_get_strides") && find(library, dtype, "aoti_torch_get_dtype") &&
               find(library, device_type, "aoti_torch_get_device_type") &&
               find(library, device_index, "aoti_torch_get_device_index");
  }

 private:
  template <typename Function>
  static bool find(void* library, Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    return function != nullptr;
  }
};

}  // namespace mamba_stable::aoti
