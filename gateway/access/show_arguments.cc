#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "gateway/access/consent.h"

namespace metamcp::gateway {
namespace {

constexpr std::array<std::string_view, 8> kSecretWords = {
    "password", "passwd", "secret", "token", "apikey", "privatekey", "authorization", "credential"};
constexpr size_t kTextMax = 500;

bool IsSecretName(const std::string& name) {
  std::string plain;
  for (const char c : absl::AsciiStrToLower(name)) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) plain.push_back(c);
  }
  for (const std::string_view word : kSecretWords) {
    if (plain.find(word) != std::string::npos) return true;
  }
  return false;
}

// Masks secrets, shortens long texts. The depth is bounded by the parser.
void Mask(nlohmann::ordered_json& value) {
  if (value.is_array()) {
    for (auto& element : value) Mask(element);
  } else if (value.is_object()) {
    for (auto it = value.begin(); it != value.end(); ++it) {
      if (IsSecretName(it.key())) {
        it.value() = "***";
      } else {
        Mask(it.value());
      }
    }
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.size() > kTextMax) {
      value = StrCat(text.substr(0, kTextMax), "… (", text.size(), " bytes)");
    }
  }
}

// Whether a character is not seen, or turns the order of others.
bool IsHidden(uint32_t c) {
  return (c >= 0x7f && c <= 0x9f) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
         (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xe0000 && c <= 0xe0fff);
}

// Of valid UTF-8.
std::string ShowHidden(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t c = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (size_t k = 1; k < length && i + k < text.size(); ++k) {
      c = (c << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3f);
    }
    if (IsHidden(c)) {
      char shown[16];
      std::snprintf(shown, sizeof(shown), "<U+%04X>", c);
      out += shown;
    } else {
      out += text.substr(i, length);
    }
    i += length;
  }
  return out;
}

}  // namespace

std::string ShowArguments(std::string_view raw, size_t bytes_max) {
  auto parsed = json::ParseOrderedJson(raw.empty() ? std::string_view("{}") : raw);
  if (!parsed.ok()) return "(no JSON)";
  Mask(*parsed);
  const std::string text = ShowHidden(json::DumpJson(*parsed));
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return StrCat(text.substr(0, end), "… (", text.size(), " bytes)");
}

}  // namespace metamcp::gateway
