#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace metamcp::log_internal {

// Longer values of a line are cut.
inline constexpr size_t kValueBytesMax = 2048;

// Length of the valid UTF-8 sequence at the begin of `s`, 0 if it is not valid (RFC 3629).
size_t Utf8Length(std::string_view s);

// `s`, cut at kValueBytesMax, with U+FFFD for each byte that is not valid UTF-8.
std::string CleanValue(std::string_view s);

}  // namespace metamcp::log_internal
