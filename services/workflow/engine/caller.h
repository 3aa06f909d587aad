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

// An approval that the call chain wants before a call, as it is now.
struct ApprovalInfo {
  ApprovalInfo() = default;
  std::string state;  // as in metamcp.access.v1.Approval
  std::string item, shown, rule, reason, decided_by;
  int64_t expires_us = 0;
  bool separate = false;  // not to be decided by who makes the call
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
  // An approval of the caller's. Errors: NOT_FOUND; UNAVAILABLE.
  virtual Awaitable<absl::StatusOr<ApprovalInfo>> LookUpApproval(const CallContext& ctx,
                                                                 std::string id);
  // Decides for the principal of `ctx`. Errors: NOT_FOUND, APPROVAL_CLOSED, PERMISSION_DENIED;
  // UNAVAILABLE.
  virtual Awaitable<absl::Status> DecideApproval(const CallContext& ctx, std::string id,
                                                 bool approve);
  // A denial has been heard: the next call like it asks anew.
  virtual Awaitable<void> HearDenial(const CallContext& ctx, std::string id);
  // Errors: as HttpClient::Send.
  virtual Awaitable<absl::StatusOr<HttpReply>> CallHttp(const CallContext& ctx, HttpCall call) = 0;
};

}  // namespace metamcp::workflow
