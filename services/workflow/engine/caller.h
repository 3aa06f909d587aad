#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "common/async/sink.h"

namespace metamcp::workflow {

struct ToolInfo {
  // May be called again when nobody knows whether it took effect: readOnlyHint or idempotentHint.
  bool repeatable = false;
  bool reads = false;  // readOnlyHint
  std::string fingerprint;
  std::string sample;        // a value as its output schema describes it, JSON; may be empty
  std::string input_schema;  // JSON, may be empty
};

struct ToolResult {
  std::string result;  // MCP's result object as JSON
  bool is_error = false;
};

struct HttpCall {
  HttpCall() = default;
  std::string method, url, body, content_type;
  std::vector<std::pair<std::string, std::string>> headers;
};

struct HttpReply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string content_type, body;
};

// How steps reach the world. Thread: the io thread.
class Caller {
 public:
  virtual ~Caller() = default;
  // Whether who a run acts for may still act. Errors: UNAUTHENTICATED KEY_GONE; others leave it
  // open.
  virtual Awaitable<absl::Status> Admit(const CallContext&) { co_return absl::OkStatus(); }
  // Errors: NOT_FOUND, UNAVAILABLE.
  virtual Awaitable<absl::StatusOr<ToolInfo>> Describe(const CallContext& ctx,
                                                       std::string tool) = 0;
  // Cancelling the awaiting coroutine cancels the call at the server. Errors: as CallsService.Call.
  virtual Awaitable<absl::StatusOr<ToolResult>> CallTool(const CallContext& ctx, std::string tool,
                                                         std::string arguments,
                                                         std::string idempotency_key) = 0;
  // Errors: as HttpClient::Send.
  virtual Awaitable<absl::StatusOr<HttpReply>> CallHttp(const CallContext& ctx, HttpCall call) = 0;
};

}  // namespace metamcp::workflow
