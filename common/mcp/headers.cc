#include "common/mcp/headers.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/utf8.h"

namespace metamcp::mcp {
namespace {

constexpr std::string_view kPrefix = "=?base64?";
constexpr std::string_view kSuffix = "?=";

bool IsPlainByte(char c) { return c == '\t' || (c >= 0x20 && c <= 0x7E); }
bool IsBlank(char c) { return c == ' ' || c == '\t'; }

bool LooksEncoded(std::string_view value) {
  return value.size() >= kPrefix.size() + kSuffix.size() && value.starts_with(kPrefix) &&
         value.ends_with(kSuffix);
}

bool IsPlain(std::string_view value) {
  if (value.empty()) return true;
  if (IsBlank(value.front()) || IsBlank(value.back()) || LooksEncoded(value)) return false;
  return std::all_of(value.begin(), value.end(), IsPlainByte);
}

absl::Status Mismatch(std::string_view message) {
  return MakeError("HEADER_MISMATCH", "mcp", message);
}

}  // namespace

std::string EncodeHeaderValue(std::string_view utf8) {
  if (IsPlain(utf8)) return std::string(utf8);
  return StrCat(kPrefix, absl::Base64Escape(Av(utf8)), kSuffix);
}

absl::StatusOr<std::string> DecodeHeaderValue(std::string_view header) {
  while (!header.empty() && IsBlank(header.front())) header.remove_prefix(1);
  while (!header.empty() && IsBlank(header.back())) header.remove_suffix(1);
  if (!std::all_of(header.begin(), header.end(), IsPlainByte)) {
    return Mismatch("A header value holds bytes that must be sent as =?base64?...?=");
  }
  if (!LooksEncoded(header)) return std::string(header);
  const std::string_view encoded =
      header.substr(kPrefix.size(), header.size() - kPrefix.size() - kSuffix.size());
  std::string decoded;
  // Encoding again is the check for the alphabet, the padding and spare bits.
  if (!absl::Base64Unescape(Av(encoded), &decoded) || absl::Base64Escape(decoded) != Av(encoded)) {
    return Mismatch("A header value has invalid base64");
  }
  if (!json::IsValidUtf8(decoded)) return Mismatch("A header value is not UTF-8");
  return decoded;
}

absl::Status CheckMirror(std::string_view what, std::optional<std::string_view> header,
                         std::string_view body_value) {
  if (!header.has_value()) return Mismatch(StrCat("Header ", what, " is missing"));
  absl::StatusOr<std::string> value = DecodeHeaderValue(*header);
  if (!value.ok()) return Annotate(value.status(), StrCat(what, ": "));
  if (*value != body_value) return Mismatch(StrCat("Header ", what, " differs from the body"));
  return absl::OkStatus();
}

}  // namespace metamcp::mcp
