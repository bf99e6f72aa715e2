#pragma once
// The names in at::, c10:: and torch:: that upstream's bindings use. A missing name is a compile error, which shows that a new
// upstream version needs more.

#include "cuda.h"
#include "errors.h"
#include "factory.h"
#include "module.h"
#include "tensor.h"

namespace c10 {
template <typename T>
using optional = std::optional<T>;
using mamba_stable::Device;
using mamba_stable::DeviceGuard;
}  // namespace c10

namespace at {
using mamba_stable::empty;
using mamba_stable::empty_like;
using mamba_stable::IntArrayRef;
using mamba_stable::Tensor;
using mamba_stable::TensorOptions;
using mamba_stable::zeros;
using mamba_stable::zeros_like;
constexpr auto kFloat = c10::ScalarType::Float;
inline mamba_stable::Context globalContext() { return {}; }
namespace cuda {
using CUDAGuard = mamba_stable::DeviceGuard;
inline mamba_stable::Stream getCurrentCUDAStream() { return mamba_stable::current_stream(); }
}  // namespace cuda
}  // namespace at

namespace torch {
using mamba_stable::empty;
using mamba_stable::empty_like;
using mamba_stable::IntArrayRef;
using mamba_stable::Tensor;
using mamba_stable::zeros;
using mamba_stable::zeros_like;
constexpr auto kFloat32 = c10::ScalarType::Float;
constexpr auto kInt32 = c10::ScalarType::Int;
}  // namespace torch
