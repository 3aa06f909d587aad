#include "gateway/protocol/error_map.h"

#include "common/base/error.h"
#include "common/base/error_registry.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::gateway {
namespace {

// For statuses of libraries and generated code, which carry no reason of ours.
std::string_view ReasonOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kCancelled:
      return "CANCELLED";
    case absl::StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case absl::StatusCode::kInvalidArgument:
      return "INVALID_PARAMS";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    case absl::StatusCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case absl::StatusCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case absl::StatusCode::kUnauthenticated:
      return "AUTH_REQUIRED";
    case absl::StatusCode::kResourceExhausted:
      return "QUEUE_FULL";
    case absl::StatusCode::kUnavailable:
      return "UPSTREAM_UNAVAILABLE";
    case absl::StatusCode::kAborted:
      return "ETAG_MISMATCH";
    default:
      return "INTERNAL";
  }
}

}  // namespace

WireError ToWireError(const absl::Status& status, mcp::Era era, std::string_view trace_id) {
  ErrorInfo info;
  if (auto attached = GetErrorInfo(status)) info = *std::move(attached);
  const ErrorEntry* entry = FindError(info.reason);
  if (entry == nullptr) entry = FindError(ReasonOf(status.code()));
  if (info.domain.empty()) info.domain = "gateway";

  WireError wire;
  wire.error.code = era == mcp::Era::kModern ? entry->jsonrpc_modern : entry->jsonrpc_legacy;
  wire.http = entry->http;
  wire.error.message =
      entry->reason == "INTERNAL" ? std::string("internal error") : std::string(status.message());
  json::ObjectWriter data;
  data.AddString("reason", entry->reason);
  data.AddString("source", info.domain);
  data.AddString("class", ErrorClassName(entry->error_class));
  data.AddString("hint", entry->hint);
  if (!trace_id.empty()) data.AddString("traceId", trace_id);
  for (const auto& [key, value] : info.metadata) {
    // A key that ends in ".json" carries raw JSON, for example supported.json = ["2026-07-28"].
    if (key.size() > 5 && key.compare(key.size() - 5, 5, ".json") == 0) {
      data.Add(std::string_view(key).substr(0, key.size() - 5), value);
    } else {
      data.AddString(key, value);
    }
  }
  wire.error.data = std::move(data).Build();
  return wire;
}

int HttpStatusOf(const WireError& wire, mcp::Era era) {
  switch (wire.error.code) {
    case -32700:
    case -32600:
      return wire.http;
    case -32601:
    case -32020:
    case -32021:
    case -32022:
      return era == mcp::Era::kModern ? wire.http : 200;
    default:
      return 200;
  }
}

}  // namespace metamcp::gateway
