#include "gateway/models/model_error.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "gateway/admin/problem.h"

namespace metamcp::gateway {
namespace {

constexpr int kTooMany = 429;

std::string Of(const absl::Status& status, const char* key) {
  const auto info = GetErrorInfo(status);
  if (!info) return "";
  const auto it = info->metadata.find(key);
  return it == info->metadata.end() ? std::string() : it->second;
}

int StatusOf(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  // The provider asks to slow down: its clients know what to do.
  if (info && info->reason == "AI_PROVIDER_FAILED" && Of(status, "status") == "429")
    return kTooMany;
  if (info && info->reason == "AI_NO_PROVIDER") return 503;
  return admin::ProblemStatus(status);
}

std::string TypeOf(int http) {
  switch (http) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case kTooMany:
      return "rate_limit_error";
    default:
      return http < 500 ? "invalid_request_error" : "server_error";
  }
}

}  // namespace

std::string ModelErrorBody(const absl::Status& status) {
  const int http = StatusOf(status);
  const auto info = GetErrorInfo(status);
  const bool ours = !absl::IsInternal(status) || info.has_value();
  std::string code = Of(status, "code");
  if (code.empty() && info) code = info->reason;
  absl::AsciiStrToLower(&code);
  json::ObjectWriter error;
  error.AddString("message", ours ? Sv(status.message()) : std::string_view("internal error"));
  error.AddString("type", TypeOf(http));
  const std::string param = Of(status, "param");
  error.Add("param", param.empty() ? "null" : json::JsonQuote(param));
  error.Add("code", code.empty() ? "null" : json::JsonQuote(code));
  json::ObjectWriter out;
  out.Add("error", std::move(error).Build());
  return std::move(out).Build();
}

http::HttpResponse ModelError(const absl::Status& status) {
  http::HttpResponse out(StatusOf(status), "application/json", ModelErrorBody(status));
  int64_t wait_ms = 0;
  if (absl::SimpleAtoi(Of(status, "retryAfterMs"), &wait_ms) && wait_ms > 0) {
    out.headers.Set("Retry-After", StrCat((wait_ms + 999) / 1000));
  }
  return out;
}

}  // namespace metamcp::gateway
