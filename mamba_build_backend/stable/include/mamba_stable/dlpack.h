#pragma once
// The used part of DLPack 1's C exchange API, with the layout of the standard (dlpack.h of dmlc/dlpack, DLPackExchangeAPI).
// torch provides it as torch.Tensor.__dlpack_c_exchange_api__, a table of plain C functions. With it this binding reads a
// tensor and gets the current stream without any symbol of libtorch.
#include <cstdint>

namespace mamba_stable::dlpack {

constexpr std::uint32_t major_version = 1;
constexpr const char* capsule_name = "dlpack_exchange_api";
constexpr std::int32_t cpu = 1, cuda = 2;

struct Device {
  std::int32_t type, index;
};

struct DataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};

enum Code : std::uint8_t { integer = 0, unsigned_integer = 1, floating = 2, brain_floating = 4, complex = 5, boolean = 6 };

struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};

struct Header {
  std::uint32_t major, minor;
  const Header* previous;  // an older table, if the producer has one
};

struct ExchangeApi {
  Header header;
  void (*allocate)();        // three unused functions
  void (*from_object)();
  void (*to_object)();
  int (*view)(void* object, Tensor* out);  // borrows: shape and strides are the tensor's own; 0, or -1 and a Python error
  int (*current_stream)(std::int32_t device_type, std::int32_t device_index, void** out);
};

}  // namespace mamba_stable::dlpack
