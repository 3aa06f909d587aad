#include "common/base/error.h"

#include "absl/strings/cord.h"
#include "common/base/check.h"
#include "common/base/error_registry.h"
#include "common/base/strings.h"
#include "metamcp/common/v1/common.pb.h"

namespace metamcp {
namespace {
constexpr absl::string_view kPayloadUrl = "type.googleapis.com/metamcp.common.v1.ErrorInfo";
}  // namespace

absl::Status MakeError(std::string_view reason, std::string_view domain, std::string_view message,
                       std::map<std::string, std::string> metadata) {
  const ErrorEntry* entry = FindError(reason);
  METAMCP_CHECK(entry != nullptr);
  ErrorInfo info;
  info.reason = std::string(reason);
  info.domain = std::string(domain);
  info.metadata = std::move(metadata);
  return WithErrorInfo(absl::Status(entry->code, Av(message)), info);
}

absl::Status WithErrorInfo(absl::Status status, const ErrorInfo& info) {
  if (status.ok()) return status;
  metamcp::common::v1::ErrorInfo pb;
  pb.set_reason(info.reason);
  pb.set_domain(info.domain);
  for (const auto& [key, value] : info.metadata) (*pb.mutable_metadata())[key] = value;
  status.SetPayload(kPayloadUrl, absl::Cord(pb.SerializeAsString()));
  return status;
}

std::optional<ErrorInfo> GetErrorInfo(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload) return std::nullopt;
  metamcp::common::v1::ErrorInfo pb;
  if (!pb.ParseFromString(std::string(*payload))) return std::nullopt;
  ErrorInfo info;
  info.reason = pb.reason();
  info.domain = pb.domain();
  for (const auto& [key, value] : pb.metadata()) info.metadata[key] = value;
  return info;
}

absl::Status Annotate(const absl::Status& status, std::string_view prefix) {
  if (status.ok()) return status;
  absl::Status out(status.code(), StrCat(prefix, Sv(status.message())));
  status.ForEachPayload(
      [&out](absl::string_view url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

}  // namespace metamcp
