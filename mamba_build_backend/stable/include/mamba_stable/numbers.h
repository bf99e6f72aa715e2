#pragma once
// The number types of upstream's kernels and bindings, based on CUDA's own, with torch's names, layout and arithmetic, but without
// torch's headers: the result does not depend on torch. Bindings, which g++ compiles, only name them.
#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifdef __CUDACC__
#define MAMBA_STABLE_ANYWHERE __host__ __device__
#else
#define MAMBA_STABLE_ANYWHERE
#endif

namespace c10 {

// Upstream uses only these; a tensor of any other type is Undefined.
enum class ScalarType : std::int8_t { Int, Half, Float, ComplexFloat, BFloat16, Undefined };

inline const char* toString(ScalarType type) {
  switch (type) {
    case ScalarType::Int: return "Int";
    case ScalarType::Half: return "Half";
    case ScalarType::Float: return "Float";
    case ScalarType::ComplexFloat: return "ComplexFloat";
    case ScalarType::BFloat16: return "BFloat16";
    default: return "Undefined";
  }
}

struct alignas(2) Half {
  unsigned short x;

  Half() = default;
#ifdef __CUDACC__
  // In CUDA 11 the functions for the bits of a half exist only on the GPU.
  MAMBA_STABLE_ANYWHERE Half(const __half& value) : x(reinterpret_cast<const unsigned short&>(value)) {}
  MAMBA_STABLE_ANYWHERE Half(float value) : Half(__float2half(value)) {}
  MAMBA_STABLE_ANYWHERE operator float() const { return __half2float(reinterpret_cast<const __half&>(x)); }
#endif
};

struct alignas(2) BFloat16 {
  std::uint16_t x;

  BFloat16() = default;
#ifdef __CUDACC__
  MAMBA_STABLE_ANYWHERE BFloat16(float value) : x(rounded(value)) {}
  // CUDA's function, a single instruction on Hopper and newer: upstream's kernels use it.
  MAMBA_STABLE_ANYWHERE operator float() const { return __bfloat162float(reinterpret_cast<const __nv_bfloat16&>(x)); }

 private:
  // Round to nearest even, as torch does: without a GPU instruction, CUDA's own function returns another NaN.
  MAMBA_STABLE_ANYWHERE static std::uint16_t rounded(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return __bfloat16_as_ushort(__float2bfloat16(value));
#else
    if (std::isnan(value)) return 0x7FC0;
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    const std::uint32_t half = ((bits >> 16) & 1) + 0x7FFF;
    return static_cast<std::uint16_t>((bits + half) >> 16);
#endif
  }
#endif
};

// Products and sums in the order of torch's type: the bits of the kernels' results depend on it.
template <typename T>
struct alignas(2 * sizeof(T)) complex {
  using value_type = T;

  T real_ = T(0);
  T imag_ = T(0);

  constexpr complex() = default;
  MAMBA_STABLE_ANYWHERE constexpr complex(const T& real, const T& imag = T()) : real_(real), imag_(imag) {}
  MAMBA_STABLE_ANYWHERE constexpr T real() const { return real_; }
  MAMBA_STABLE_ANYWHERE constexpr T imag() const { return imag_; }

  MAMBA_STABLE_ANYWHERE constexpr complex& operator+=(const complex& other) {
    real_ += other.real_, imag_ += other.imag_;
    return *this;
  }
  MAMBA_STABLE_ANYWHERE constexpr complex& operator-=(const complex& other) {
    real_ -= other.real_, imag_ -= other.imag_;
    return *this;
  }
  MAMBA_STABLE_ANYWHERE constexpr complex& operator*=(const complex& other) {
    const T a = real_, b = imag_, c = other.real_, d = other.imag_;
    real_ = a * c - b * d;
    imag_ = a * d + b * c;
    return *this;
  }
  MAMBA_STABLE_ANYWHERE constexpr complex& operator+=(T other) {
    real_ += other;
    return *this;
  }
  MAMBA_STABLE_ANYWHERE constexpr complex& operator-=(T other) {
    real_ -= other;
    return *this;
  }
  MAMBA_STABLE_ANYWHERE constexpr complex& operator*=(T other) {
    real_ *= other, imag_ *= other;
    return *this;
  }
};

template <typename T>
MAMBA_STABLE_ANYWHERE constexpr complex<T> operator-(const complex<T>& z) {
  return complex<T>(-z.real_, -z.imag_);
}

#define MAMBA_STABLE_OPERATOR(op)                                                                              \
  template <typename T>                                                                                       \
  MAMBA_STABLE_ANYWHERE constexpr complex<T> operator op(const complex<T>& one, const complex<T>& other) {    \
    complex<T> result = one;                                                                                  \
    return result op##= other;                                                                               \
  }                                                                                                           \
  template <typename T, typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number>>>           \
  MAMBA_STABLE_ANYWHERE constexpr complex<T> operator op(const complex<T>& one, const Number& other) {        \
    complex<T> result = one;                                                                                  \
    return result op##= static_cast<T>(other);                                                               \
  }
MAMBA_STABLE_OPERATOR(+)
MAMBA_STABLE_OPERATOR(-)
MAMBA_STABLE_OPERATOR(*)
#undef MAMBA_STABLE_OPERATOR

template <typename T, typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number>>>
MAMBA_STABLE_ANYWHERE constexpr complex<T> operator+(const Number& one, const complex<T>& other) {
  return complex<T>(static_cast<T>(one) + other.real_, other.imag_);
}

template <typename T, typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number>>>
MAMBA_STABLE_ANYWHERE constexpr complex<T> operator*(const Number& one, const complex<T>& other) {
  complex<T> result = other;
  return result *= static_cast<T>(one);
}

}  // namespace c10

namespace at {
using c10::BFloat16;
using c10::complex;
using c10::Half;
using c10::ScalarType;
}  // namespace at

namespace torch {
using c10::BFloat16;
using c10::Half;
using c10::ScalarType;
}  // namespace torch

namespace std {
template <typename T>
constexpr c10::complex<T> conj(const c10::complex<T>& z) {
  return c10::complex<T>(z.real(), -z.imag());
}
}  // namespace std
