#pragma once
// TORCH_CHECK and AT_ERROR with torch's own messages: Python gets a RuntimeError with the same text.
#include "numbers.h"

#include <stdexcept>
#include <string>
#include <type_traits>

namespace mamba_stable {

inline std::string as_message(const char* text) { return text; }
inline std::string as_message(const std::string& text) { return text; }
inline std::string as_message(c10::ScalarType type) { return c10::toString(type); }
template <typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number>>>
std::string as_message(Number number) {
  return std::to_string(number);
}

template <typename... Parts>
std::string message(const Parts&... parts) {
  std::string text;
  (text.append(as_message(parts)), ...);
  return text;
}

template <typename... Parts>
std::string check_message(const char* condition, const Parts&... parts) {
  if constexpr (sizeof...(parts) > 0) return message(parts...);
  return message("Expected ", condition,
                 " to be true, but got false.  (Could this error message be improved?  If so, please report an "
                 "enhancement request to PyTorch.)");
}

}  // namespace mamba_stable

// A complete statement: upstream sometimes omits the semicolon, which torch's own macro allows.
#define TORCH_CHECK(condition, ...)                                                       \
  if (!(condition)) {                                                                     \
    throw std::runtime_error(mamba_stable::check_message(#condition, ##__VA_ARGS__));     \
  }

#define AT_ERROR(...) throw std::runtime_error(mamba_stable::message(__VA_ARGS__))
