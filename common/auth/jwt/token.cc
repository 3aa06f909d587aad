#include "common/auth/jwt/token.h"

#include <charconv>
#include <cmath>
#include <optional>

#include "common/base/error.h"
#include "common/base/key_ring.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::jwt {
namespace {

constexpr size_t kHeaderDepthMax = 8;
constexpr size_t kPayloadDepthMax = 32;
constexpr size_t kAudiencesMax = 100;
constexpr size_t kClaimStringsMax = 1000;
constexpr double kSecondsMax = 253402300799.0;  // the end of the year 9999

absl::Status Bad(std::string_view why) {
  return MakeError("AUTH_INVALID", "gateway", StrCat("the token ", why));
}

absl::StatusOr<json::ObjectView> Object(std::string_view text, size_t depth_max,
                                        std::string_view what) {
  json::ScanLimits limits;
  limits.depth_max = depth_max;
  limits.members_max = kClaimStringsMax;
  auto view = json::ScanObject(text, limits);
  if (!view.ok()) return Bad(StrCat("has a ", what, " that cannot be read"));
  return view;
}

// Types of a header that name an access token or say nothing (RFC 9068, section 2.1).
bool IsAccessToken(std::string_view type) {
  std::string lower;
  for (const char c : type) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return lower == "jwt" || lower == "at+jwt" || lower == "application/at+jwt";
}

// A NumericDate (RFC 7519, section 2), which may have a fraction.
std::optional<int64_t> Seconds(std::string_view raw) {
  double value = 0;
  const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
  if (error != std::errc() || end != raw.data() + raw.size()) return std::nullopt;
  if (!(value >= 0 && value <= kSecondsMax)) return std::nullopt;
  return static_cast<int64_t>(std::floor(value));
}

absl::Status ReadTime(const json::ObjectView& payload, std::string_view name, int64_t* out) {
  if (!payload.Has(name)) return absl::OkStatus();
  const auto seconds = Seconds(payload.Raw(name));
  if (!seconds) return Bad(StrCat("has no time in ", name));
  *out = *seconds;
  return absl::OkStatus();
}

absl::Status ReadText(const json::ObjectView& payload, std::string_view name, std::string* out) {
  if (!payload.Has(name)) return absl::OkStatus();
  auto text = payload.String(name);
  if (!text) return Bad(StrCat("has no text in ", name));
  *out = *std::move(text);
  return absl::OkStatus();
}

absl::Status ReadAudiences(const json::ObjectView& payload, std::vector<std::string>* out) {
  const json::Member* member = payload.Find("aud");
  if (member == nullptr) return absl::OkStatus();
  std::vector<json::Value> values = {member->value};
  if (member->value.is_array()) {
    METAMCP_ASSIGN_OR_RETURN(values, json::ScanArray(member->value.raw));
  }
  if (values.size() > kAudiencesMax) return Bad("has too many audiences");
  for (const json::Value& one : values) {
    auto text = json::JsonUnquote(one.raw);
    if (!one.is_string() || !text.ok()) return Bad("has an audience that is no text");
    out->push_back(*std::move(text));
  }
  return absl::OkStatus();
}

// The value at `path`, as raw JSON; empty where there is none.
std::string Raw(std::string_view payload, std::string_view path) {
  const auto view = json::ScanObject(payload);
  if (!view.ok()) return "";
  if (view->Has(path)) return std::string(view->Raw(path));
  for (size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.', dot + 1)) {
    const json::Member* inner = view->Find(path.substr(0, dot));
    if (inner == nullptr || !inner->value.is_object()) continue;
    std::string found = Raw(inner->value.raw, path.substr(dot + 1));
    if (!found.empty()) return found;
  }
  return "";
}

}  // namespace

bool LooksLikeToken(std::string_view text) {
  if (text.substr(0, 3) != "eyJ") return false;
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  return second != std::string_view::npos && text.find('.', second + 1) == std::string_view::npos;
}

absl::StatusOr<Parts> Split(std::string_view token) {
  if (token.size() > kTokenBytesMax) {
    return Bad(StrCat("has more than ", kTokenBytesMax, " bytes"));
  }
  const size_t first = token.find('.');
  const size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) {
    return Bad("is not of three parts");
  }
  const auto header = Base64UrlDecode(token.substr(0, first));
  auto payload = Base64UrlDecode(token.substr(first + 1, second - first - 1));
  auto signature = Base64UrlDecode(token.substr(second + 1));
  if (!header || !payload || !signature) return Bad("is not base64url");
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, Object(*header, kHeaderDepthMax, "header"));
  for (const std::string_view name : {"crit", "b64", "zip"}) {
    if (view.Has(name)) return Bad(StrCat("uses ", name, ", which is not supported"));
  }
  if (view.Has("typ") && !IsAccessToken(view.String("typ").value_or(""))) {
    return Bad("is not an access token");
  }
  Parts out;
  METAMCP_RETURN_IF_ERROR(ReadText(view, "alg", &out.algorithm));
  METAMCP_RETURN_IF_ERROR(ReadText(view, "kid", &out.kid));
  out.signed_text = token.substr(0, second);
  out.signature = *std::move(signature);
  out.payload = *std::move(payload);
  return out;
}

absl::StatusOr<Claims> ReadClaims(std::string_view payload) {
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view,
                           Object(payload, kPayloadDepthMax, "payload"));
  Claims out;
  METAMCP_RETURN_IF_ERROR(ReadText(view, "iss", &out.issuer));
  METAMCP_RETURN_IF_ERROR(ReadText(view, "sub", &out.subject));
  METAMCP_RETURN_IF_ERROR(ReadAudiences(view, &out.audiences));
  METAMCP_RETURN_IF_ERROR(ReadTime(view, "exp", &out.expires_s));
  METAMCP_RETURN_IF_ERROR(ReadTime(view, "nbf", &out.not_before_s));
  METAMCP_RETURN_IF_ERROR(ReadTime(view, "iat", &out.issued_at_s));
  if (out.expires_s == 0) return Bad("never ends (it has no exp)");
  return out;
}

std::vector<std::string> ClaimStrings(std::string_view payload, std::string_view path) {
  std::vector<std::string> out;
  if (path.empty()) return out;
  const std::string raw = Raw(payload, path);
  if (raw.empty()) return out;
  if (raw.front() == '[') {
    const auto values = json::ScanArray(raw);
    if (!values.ok()) return out;
    for (const json::Value& one : *values) {
      auto text = json::JsonUnquote(one.raw);
      if (!one.is_string() || !text.ok() || text->empty()) continue;
      out.push_back(*std::move(text));
      if (out.size() == kClaimStringsMax) break;
    }
    return out;
  }
  if (raw.front() != '"') return out;
  const std::string text = json::JsonUnquote(raw).value_or("");
  for (size_t at = 0; at < text.size() && out.size() < kClaimStringsMax;) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::string ClaimText(std::string_view payload, std::string_view path) {
  if (path.empty()) return "";
  const std::string raw = Raw(payload, path);
  return raw.size() > 1 && raw.front() == '"' ? json::JsonUnquote(raw).value_or("") : "";
}

}  // namespace metamcp::jwt
