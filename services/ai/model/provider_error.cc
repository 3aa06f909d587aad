#include "services/ai/model/provider_error.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::ai {
namespace {

// The provider's own message, without more of its text than a person wants to read.
std::string MessageOf(const std::string& body) {
  const auto object = json::ScanObject(body);
  if (!object.ok()) return "";
  if (const auto error = json::ScanObject(object->Raw("error")); error.ok()) {
    return error->String("message").value_or("").substr(0, 200);
  }
  return object->String("message").value_or("").substr(0, 200);
}

}  // namespace

absl::Status ProviderError(const ProviderSpec& spec, int status, const http::HttpHeaders& headers,
                           const std::string& body) {
  std::map<std::string, std::string> metadata = {{"status", StrCat(status)}};
  const std::string after(headers.Get("Retry-After"));
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(after.data(), after.data() + after.size(), seconds);
  if (!after.empty() && error == std::errc() && end == after.data() + after.size()) {
    metadata["retryAfterMs"] = StrCat(std::min<int64_t>(seconds, 86'400) * 1000);
  }
  std::string message = StrCat("provider \"", spec.name, "\" answered ", status);
  const std::string own = MessageOf(body);
  // A provider may quote what it was sent.
  if (!own.empty() && (spec.key.empty() || own.find(spec.key) == std::string::npos)) {
    message += StrCat(": ", own);
  }
  return MakeError("AI_PROVIDER_FAILED", "ai", message, std::move(metadata));
}

absl::Status InProvidersName(const ProviderSpec& spec, const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  if (info && info->reason.starts_with("AI_")) return status;
  if (absl::IsCancelled(status)) return status;
  const bool late = absl::IsDeadlineExceeded(status);
  return MakeError("AI_PROVIDER_FAILED", "ai",
                   StrCat("provider \"", spec.name, "\" ", late ? "was too slow" : "failed: ",
                          late ? "" : std::string(status.message())));
}

int64_t CostOf(const ProviderSpec& spec, const ModelUsage& usage) {
  // Cents of a million tokens are hundredths of a micro-unit of one token.
  return (usage.input_tokens * spec.input_cents + usage.output_tokens * spec.output_cents) / 100;
}

}  // namespace metamcp::ai
