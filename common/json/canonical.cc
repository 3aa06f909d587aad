#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/json/dom.h"
#include "common/json/scan.h"

namespace metamcp::json {
namespace {

// UTF-16 code units of valid UTF-8, big enough to compare by.
std::u16string ToUtf16(std::string_view text) {
  std::u16string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    unsigned code = length == 1 ? lead : lead & (0xFFu >> (length + 1));
    for (std::size_t k = 1; k < length && i + k < text.size(); ++k) {
      code = (code << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3F);
    }
    i += length;
    if (code >= 0x10000) {
      out.push_back(static_cast<char16_t>(0xD800 + ((code - 0x10000) >> 10)));
      out.push_back(static_cast<char16_t>(0xDC00 + ((code - 0x10000) & 0x3FF)));
    } else {
      out.push_back(static_cast<char16_t>(code));
    }
  }
  return out;
}

// ECMAScript's Number::toString for finite doubles.
std::string FormatDouble(double value) {
  if (value == 0) return "0";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), std::fabs(value),
                                 std::chars_format::scientific)
                       .ptr;
  const std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  const std::size_t e = text.find('e');
  std::string digits(text.substr(0, 1));
  if (e > 2) digits += text.substr(2, e - 2);
  int exponent = 0;
  const char* exponent_at = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(exponent_at, end, exponent);
  const int k = static_cast<int>(digits.size());
  const int n = exponent + 1;  // position of the decimal point
  std::string out = value < 0 ? "-" : "";
  if (k <= n && n <= 21) return out + digits + std::string(static_cast<std::size_t>(n - k), '0');
  if (0 < n && n <= 21) {
    const auto point = static_cast<std::size_t>(n);
    return out + digits.substr(0, point) + "." + digits.substr(point);
  }
  if (-6 < n && n <= 0) {
    return out + "0." + std::string(static_cast<std::size_t>(-n), '0') + digits;
  }
  out += digits[0];
  if (k > 1) out += "." + digits.substr(1);
  return out + "e" + (n - 1 < 0 ? "-" : "+") + std::to_string(std::abs(n - 1));
}

// Recursion is as deep as the value, which ParseJson bounds.
void Append(const nlohmann::json& value, std::string* out) {
  if (value.is_object()) {
    std::vector<std::pair<std::u16string, const nlohmann::json*>> members;
    std::vector<std::string_view> keys;
    std::vector<std::size_t> order;
    for (auto it = value.begin(); it != value.end(); ++it) {
      order.push_back(members.size());
      members.emplace_back(ToUtf16(it.key()), &it.value());
      keys.push_back(it.key());
    }
    std::sort(order.begin(), order.end(), [&members](std::size_t a, std::size_t b) {
      return members[a].first < members[b].first;
    });
    out->push_back('{');
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (i > 0) out->push_back(',');
      AppendJsonQuoted(keys[order[i]], out);
      out->push_back(':');
      Append(*members[order[i]].second, out);
    }
    out->push_back('}');
  } else if (value.is_array()) {
    out->push_back('[');
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out->push_back(',');
      Append(value[i], out);
    }
    out->push_back(']');
  } else if (value.is_string()) {
    AppendJsonQuoted(value.get_ref<const std::string&>(), out);
  } else if (value.is_number_float()) {
    out->append(FormatDouble(value.get<double>()));
  } else {
    out->append(value.dump());
  }
}

}  // namespace

std::string CanonicalJson(const nlohmann::json& value) {
  std::string out;
  Append(value, &out);
  return out;
}

absl::StatusOr<std::string> CanonicalJson(std::string_view text) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json value, ParseJson(text));
  return CanonicalJson(value);
}

absl::StatusOr<std::string> Fingerprint(std::string_view text) {
  METAMCP_ASSIGN_OR_RETURN(const std::string canonical, CanonicalJson(text));
  return Sha256Hex(canonical);
}

std::string Sha256Hex(std::string_view bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr);
  std::string out;
  out.reserve(size * 2);
  for (unsigned int i = 0; i < size; ++i) {
    out.push_back(kHex[digest[i] >> 4]);
    out.push_back(kHex[digest[i] & 15]);
  }
  return out;
}

}  // namespace metamcp::json
