#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/json/scan.h"
#include "common/mcp/jsonrpc.h"
#include "common/mcp/version.h"

// Pure transforms between revisions, on raw JSON texts. "Canonical" is the 2026-07-28 form. What a
// transform does not name stays byte for byte. All of them fail with PARSE_ERROR or
// INVALID_REQUEST when the text is not the JSON object they expect.
namespace metamcp::mcp {

// Caching fields for canonical results that need them.
struct CacheHint {
  std::int64_t ttl_ms = 0;
  bool is_public = false;
};

// --- Results of client requests (tools/call, tools/list, ...) ---

// Canonical result -> `to` (a legacy revision). `output_wrapped` tells for tools/call whether the
// tool's outputSchema was wrapped (NeedsOutputWrapping); if unknown, values that are not objects
// are wrapped. Errors: also UPSTREAM_PROTOCOL for a resultType other than "complete", which the
// caller must have handled before.
absl::StatusOr<std::string> ResultToLegacy(std::string_view method, std::string_view result,
                                           Revision to,
                                           std::optional<bool> output_wrapped = std::nullopt);

// Legacy result -> canonical: adds resultType and, where required, ttlMs and cacheScope; a call
// without content gets []; task metadata goes; listed tools become canonical.
absl::StatusOr<std::string> ResultToModern(std::string_view method, std::string_view result,
                                           const CacheHint& cache = {});

// From any revision to any other.
absl::StatusOr<std::string> ConvertResult(std::string_view method, std::string_view result,
                                          Revision from, Revision to, const CacheHint& cache = {},
                                          std::optional<bool> output_wrapped = std::nullopt);

// --- Definitions of tools, prompts, resources and templates ---

enum class ItemKind : std::uint8_t { kTool, kPrompt, kResource, kTemplate };

// Any revision's definition -> canonical: without task support; null members of the protocol go; a
// tool's inputSchema says that it is an object; resources without a name are named by their URI.
absl::StatusOr<std::string> ItemToModern(ItemKind kind, std::string_view item);
// Canonical item -> `to`. For a modern `to` the same bytes.
absl::StatusOr<std::string> ItemToRevision(ItemKind kind, std::string_view item, Revision to);

// True if a legacy client must see this tool's output inside {"result": ...}: it has an
// outputSchema whose root is not of type object.
bool NeedsOutputWrapping(std::string_view tool);
// {"type":"object","properties":{"result":<schema>},"required":["result"]} with $schema hoisted and
// local references rewritten, except below a schema with its own $id and in instance data.
absl::StatusOr<std::string> WrapOutputSchema(std::string_view schema);

// --- Content blocks ---

// One content block for `to`: resource_link becomes text before 2025-06-18, audio an embedded
// resource in 2024-11-05. `index` makes the embedded resource's URI unique.
absl::StatusOr<std::string> ContentToRevision(std::string_view block, Revision to,
                                              std::size_t index = 0);

// --- Params of requests and notifications to servers ---

// Canonical params -> legacy: drops inputResponses and requestState, and what `to` does not know.
// `raw_meta` replaces _meta (empty: none). `params` may be not present().
std::string ParamsToLegacy(std::string_view method, const json::ObjectView& params,
                           std::string_view raw_meta, Revision to);
// Legacy params -> canonical: drops the core `task` member.
std::string ParamsToModern(std::string_view method, const json::ObjectView& params,
                           std::string_view raw_meta);
// A notification's params for `to` (progress without message in 2024-11-05, no subscriptionId in
// legacy revisions). Empty params stay empty.
absl::StatusOr<std::string> NotificationToRevision(std::string_view method, std::string_view params,
                                                   Revision to);

// --- Capabilities ---

absl::StatusOr<std::string> ServerCapabilitiesToModern(std::string_view legacy);
absl::StatusOr<std::string> ServerCapabilitiesToLegacy(std::string_view modern, Revision to);
absl::StatusOr<std::string> ClientCapabilitiesToModern(std::string_view legacy, Revision from);
absl::StatusOr<std::string> ClientCapabilitiesToLegacy(std::string_view modern, Revision to);

// What a client can be asked for, whatever its revision calls it.
struct ClientFeatures {
  bool roots = false;
  bool sampling = false;
  bool sampling_tools = false;
  bool sampling_context = false;
  bool elicitation_form = false;
  bool elicitation_url = false;

  friend bool operator==(const ClientFeatures&, const ClientFeatures&) = default;
  bool any() const { return roots || sampling || elicitation_form || elicitation_url; }
};
absl::StatusOr<ClientFeatures> ParseClientFeatures(std::string_view capabilities, Revision from);

// --- Tasks: the core ones of 2025-11-25 and the extension ---

inline constexpr std::string_view kTasksExtension = "io.modelcontextprotocol/tasks";

// A Task of 2025-11-25 -> the members of the extension's task. Errors: UPSTREAM_PROTOCOL.
absl::StatusOr<std::string> TaskToModern(std::string_view task);
// The extension's task, with or without result, -> a Task of 2025-11-25. Errors: UPSTREAM_PROTOCOL.
absl::StatusOr<std::string> TaskToLegacy(std::string_view task);
// Whether modern client capabilities declare the extension, and the same capabilities with it.
bool ClientHasTasks(std::string_view capabilities);
absl::StatusOr<std::string> WithTasks(std::string_view capabilities);

// --- What servers ask of clients (elicitation/create, sampling/createMessage, roots/list) ---

// Legacy server request params -> an inputRequests entry's params. Empty params stay empty.
absl::StatusOr<std::string> InputParamsToModern(std::string_view method, std::string_view params);
// Canonical params -> a request to a client of revision `to`. `elicitation_id` is used for url mode
// in 2025-11-25. Errors: CAPABILITY_MISSING if `to` cannot express the request.
absl::StatusOr<std::string> InputParamsToLegacy(std::string_view method, std::string_view params,
                                                Revision to, std::string_view elicitation_id);
// The client's answers, both ways.
absl::StatusOr<std::string> InputResultToModern(std::string_view method, std::string_view result);
absl::StatusOr<std::string> InputResultToLegacy(std::string_view method, std::string_view result,
                                                Revision to);

// --- Errors ---

// -32002 becomes -32602 with data.uri (`uri` is used when the data has none; may be empty).
jsonrpc::ErrorObject ErrorToModern(jsonrpc::ErrorObject error, std::string_view uri);
// -32602 of resources/read with data.uri becomes -32002; -32020 to -32022 become -32603.
jsonrpc::ErrorObject ErrorToLegacy(jsonrpc::ErrorObject error, std::string_view method);

}  // namespace metamcp::mcp
