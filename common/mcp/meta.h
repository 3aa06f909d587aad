#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/json/scan.h"
#include "common/mcp/jsonrpc.h"

namespace metamcp::mcp {

// Keys of `_meta` that the protocol reserves.
inline constexpr std::string_view kMetaProtocolVersion = "io.modelcontextprotocol/protocolVersion";
inline constexpr std::string_view kMetaClientInfo = "io.modelcontextprotocol/clientInfo";
inline constexpr std::string_view kMetaClientCapabilities =
    "io.modelcontextprotocol/clientCapabilities";
inline constexpr std::string_view kMetaLogLevel = "io.modelcontextprotocol/logLevel";
inline constexpr std::string_view kMetaSubscriptionId = "io.modelcontextprotocol/subscriptionId";
inline constexpr std::string_view kMetaServerInfo = "io.modelcontextprotocol/serverInfo";
inline constexpr std::string_view kMetaRelatedTask = "io.modelcontextprotocol/related-task";
inline constexpr std::string_view kMetaImmediateResponse =
    "io.modelcontextprotocol/model-immediate-response";
inline constexpr std::string_view kMetaProgressToken = "progressToken";
inline constexpr std::string_view kMetaTraceparent = "traceparent";
inline constexpr std::string_view kMetaTracestate = "tracestate";
inline constexpr std::string_view kMetaBaggage = "baggage";

// The metadata of one request. Raw members are JSON, empty when absent.
struct RequestMeta {
  std::string protocol_version;
  std::string client_capabilities;  // raw object
  std::string client_info;          // raw object
  std::string log_level;            // empty: no log messages wanted
  jsonrpc::Id progress_token;
  std::string traceparent;
  std::string tracestate;
  std::string baggage;
  // Every other key with its raw value, in order; passes through untouched.
  std::vector<std::pair<std::string, std::string>> other;
};

// True if the request claims the modern era: _meta names a protocol version (of any JSON type).
bool HasModernClaim(const json::ObjectView& meta);

// Reads the metadata of a modern request. `meta` may be not present().
// Errors: INVALID_PARAMS; its message names every missing or malformed key, and metadata "keys"
// lists them, comma separated. Whether the version is supported is the caller's question.
// Source: MCP 2026-07-28, basic "Request metadata".
absl::StatusOr<RequestMeta> ParseModernMeta(const json::ObjectView& meta);

// Reads progress token, trace keys and other keys of a legacy request; modern keys are ignored.
// Errors: INVALID_PARAMS for a progress token that is neither string nor integer.
absl::StatusOr<RequestMeta> ParseLegacyMeta(const json::ObjectView& meta);

// Writes `_meta` for a modern back leg: every field that is set, then `other`.
std::string BuildModernMeta(const RequestMeta& meta);
// Writes `_meta` for a legacy back leg: without the modern keys. Empty if nothing is left.
std::string BuildLegacyMeta(const RequestMeta& meta);

// True for the modern keys that must not reach a legacy peer.
bool IsModernRequestKey(std::string_view key);

// RFC 5424 names. Severity rises from 0 (debug) to 7 (emergency); nullopt for anything else.
std::optional<int> LogSeverity(std::string_view level);

// Params with their `_meta` replaced (`raw_meta` empty: removed). `params` may be not present().
std::string WithMeta(const json::ObjectView& params, std::string_view raw_meta);

}  // namespace metamcp::mcp
