#include "common/telemetry/log_text.h"

namespace metamcp::log_internal {

size_t Utf8Length(std::string_view s) {
  const auto b = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto cont = [&](size_t i) { return i < s.size() && (b(i) & 0xc0) == 0x80; };
  if (b(0) < 0x80) return 1;
  if (b(0) >= 0xc2 && b(0) <= 0xdf) return cont(1) ? 2 : 0;
  if (b(0) >= 0xe0 && b(0) <= 0xef) {
    if (!cont(1) || !cont(2)) return 0;
    if (b(0) == 0xe0 && b(1) < 0xa0) return 0;
    if (b(0) == 0xed && b(1) > 0x9f) return 0;
    return 3;
  }
  if (b(0) >= 0xf0 && b(0) <= 0xf4) {
    if (!cont(1) || !cont(2) || !cont(3)) return 0;
    if (b(0) == 0xf0 && b(1) < 0x90) return 0;
    if (b(0) == 0xf4 && b(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

std::string CleanValue(std::string_view s) {
  const bool cut = s.size() > kValueBytesMax;
  if (cut) s = s.substr(0, kValueBytesMax);
  std::string out;
  out.reserve(s.size());
  while (!s.empty()) {
    const size_t n = Utf8Length(s);
    out.append(n == 0 ? std::string_view("\xEF\xBF\xBD") : s.substr(0, n));
    s.remove_prefix(n == 0 ? 1 : n);
  }
  if (cut) out += "…";
  return out;
}

}  // namespace metamcp::log_internal
