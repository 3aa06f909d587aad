#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "metamcp/provider/v1/provider_service.pb.h"
#include "services/connector/session.h"

namespace metamcp::connector {

namespace pb = ::metamcp::provider::v1;

// Between the inner call (MCP 2026-07-28 in shape) and what an upstream speaks. Pure.

// INVALID_PARAMS unless the request is one that a provider runs, with JSON objects where objects
// belong.
absl::Status CheckCall(const pb::CallRequest& request);

// The upstream's form of a call. `gateway_info` is our Implementation object, used where the
// caller names no client.
RequestSpec EncodeCall(const pb::CallRequest& request, const TraceContext& trace,
                       const Negotiated& peer, std::string_view gateway_info);

// Why the client refused the question that `answer` (one of input_responses) answers; nothing if it
// did not refuse.
std::optional<RpcError> RefusedAnswer(std::string_view answer);
// UPSTREAM_ERROR of domain "client" if `input_responses` holds a refusal, which a modern upstream
// cannot be told.
absl::Status CheckNoRefusal(std::string_view input_responses);

// The headers that mirror arguments of a tool's call, by its definition (MCP 2026-07-28,
// server/tools). Errors: HEADER_MISMATCH, INVALID_PARAMS.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> HeadersOfCall(
    std::string_view definition, std::string_view params);

struct DecodedResult {
  pb::ResultKind kind = pb::RESULT_KIND_COMPLETE;
  std::string json;
  std::string instance;  // of a task: the session that runs it
};
// The canonical form of an upstream's result; `extensions` tells whether the client declared any.
// Errors: UPSTREAM_PROTOCOL.
absl::StatusOr<DecodedResult> DecodeResult(std::string_view method, std::string result,
                                           const Negotiated& peer, bool extensions = false);

// The canonical form of an upstream's error; `target` is the call's.
pb::UpstreamError DecodeError(const RpcError& error, const Negotiated& peer,
                              std::string_view target);

}  // namespace metamcp::connector
