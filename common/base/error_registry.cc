#include "common/base/error_registry.h"

#include <algorithm>
#include <array>

namespace metamcp {
namespace {

using absl::StatusCode;
constexpr ErrorClass kRetryable = ErrorClass::kRetryable;
constexpr ErrorClass kReconnect = ErrorClass::kReconnect;
constexpr ErrorClass kUser = ErrorClass::kUser;
constexpr ErrorClass kFatal = ErrorClass::kFatal;

// Codes outside JSON-RPC's reserved range are ours; -32020..-32022 are MCP 2026-07-28's own.
// Sorted by reason (a test checks it).
constexpr ErrorEntry kEntries[] = {
    {"AI_ANSWER_INVALID", StatusCode::kInternal, kRetryable, -32603, -32603, 502,
     "The model's answer could not be used; try again, or take another model."},
    {"AI_NO_PROVIDER", StatusCode::kFailedPrecondition, kUser, -32603, -32603, 409,
     "Add a model under ai.providers, or wait until one is there again."},
    {"AI_PROVIDER_FAILED", StatusCode::kUnavailable, kRetryable, -32603, -32603, 502,
     "The provider of the model failed; look at its status, key and quota."},
    {"AI_QUOTA", StatusCode::kResourceExhausted, kRetryable, -31029, -31029, 429,
     "The quota for models is used up; wait, or raise ai.perPrincipal or the provider's limits."},
    {"AI_REFUSED", StatusCode::kFailedPrecondition, kUser, -32603, -32603, 422,
     "The model refused; say the task otherwise."},
    {"ALREADY_EXISTS", StatusCode::kAlreadyExists, kUser, -32602, -32602, 409,
     "Choose another name, or update the existing object."},
    {"APPROVAL_CLOSED", StatusCode::kFailedPrecondition, kUser, -32603, -32603, 409,
     "It was decided already, or has expired; make the call again for a new one."},
    {"ARGUMENT_INVALID", StatusCode::kInvalidArgument, kUser, -32602, -32602, 400,
     "Correct the named field of the request."},
    {"AUDIT_UNAVAILABLE", StatusCode::kUnavailable, kRetryable, -31013, -31013, 503,
     "What happens here must be recorded and cannot be now; the log names the cause (audit.*)."},
    {"AUTH_INVALID", StatusCode::kUnauthenticated, kUser, -31001, -31001, 401,
     "Send a valid key or token as 'Authorization: Bearer <key>'."},
    {"AUTH_KEYS_MISSING", StatusCode::kUnavailable, kRetryable, -31001, -31001, 503,
     "The issuer of the token cannot be asked for its keys; the log says why (auth.issuers)."},
    {"AUTH_REQUIRED", StatusCode::kUnauthenticated, kUser, -31001, -31001, 401,
     "Send a key or token as 'Authorization: Bearer <key>' (docs/security.md)."},
    {"BODY_TOO_LARGE", StatusCode::kResourceExhausted, kUser, -32600, -32600, 413,
     "Send a smaller body, or raise limits.bodyBytesMax."},
    {"CALL_LOOP", StatusCode::kFailedPrecondition, kFatal, -31012, -31012, 508,
     "A gateway reached itself through its own upstreams; remove the loop."},
    {"CALL_OWNER_LOST", StatusCode::kFailedPrecondition, kReconnect, -32603, -32603, 503,
     "The process that held this call has ended; start the call again if it may be repeated."},
    {"CANCELLED", StatusCode::kCancelled, kUser, -31008, -31008, 499,
     "The caller cancelled the call."},
    {"CAPABILITY_MISSING", StatusCode::kFailedPrecondition, kUser, -32603, -32021, 400,
     "The client must declare the capability that the tool needs."},
    {"COMMIT_IN_DOUBT", StatusCode::kUnknown, kUser, -32603, -32603, 503,
     "The database was lost while it stored the change; look whether it took effect."},
    {"CONFIG_INVALID", StatusCode::kInvalidArgument, kUser, -32603, -32603, 400,
     "Correct the configuration; 'meta-mcp config validate' names the place."},
    {"CONSENT_DENIED", StatusCode::kPermissionDenied, kUser, -31003, -31003, 403,
     "A person denied this call; do not repeat it unasked."},
    {"CONSENT_REQUIRED", StatusCode::kFailedPrecondition, kUser, -31014, -31014, 409,
     "A person must allow this call: 'meta-mcp approve ID', then make the same call again."},
    {"CONTENT_BLOCKED", StatusCode::kFailedPrecondition, kUser, -31003, -31003, 403,
     "A detector found what must not pass here; the message names it, the settings are "
     "detectors.*."},
    {"CURSOR_INVALID", StatusCode::kInvalidArgument, kUser, -32602, -32602, 200,
     "Start the list again without a cursor."},
    {"DATABASE_CONFLICT", StatusCode::kAborted, kRetryable, -32603, -32603, 503,
     "Others changed the same data at the same time; try again."},
    {"DATABASE_UNAVAILABLE", StatusCode::kUnavailable, kRetryable, -32603, -32603, 503,
     "Check that the database is reachable; 'meta-mcp doctor' tests it."},
    {"DEADLINE_EXCEEDED", StatusCode::kDeadlineExceeded, kRetryable, -31009, -31009, 504,
     "Try again, or raise the timeout of this upstream or tool."},
    {"ETAG_MISMATCH", StatusCode::kAborted, kRetryable, -32603, -32603, 412,
     "The object changed meanwhile; read it again and repeat the change."},
    {"EXPRESSION_FAILED", StatusCode::kInvalidArgument, kUser, -32602, -32602, 400,
     "Correct the expression, or what it is given."},
    {"EXPRESSION_INVALID", StatusCode::kInvalidArgument, kUser, -32602, -32602, 400,
     "Correct the expression; it is jq."},
    {"EXPRESSION_WORKER_LOST", StatusCode::kUnavailable, kRetryable, -32603, -32603, 503,
     "Install meta-mcp-jq beside meta-mcp; it evaluates the expressions of workflows."},
    {"GATEWAY_UNREACHABLE", StatusCode::kUnavailable, kReconnect, -31010, -31010, 503,
     "Start the gateway with 'meta-mcp serve', or name a running one with --url."},
    {"HEADER_MISMATCH", StatusCode::kInvalidArgument, kUser, -32600, -32020, 400,
     "Send the MCP headers with the same values as the body."},
    {"HOST_REFUSED", StatusCode::kPermissionDenied, kUser, -32600, -32600, 403,
     "Use the address that the gateway listens on, or add the host to gateway.allowedHosts."},
    {"INSUFFICIENT_SCOPE", StatusCode::kPermissionDenied, kUser, -31003, -31003, 403,
     "Get a token with the scopes that are named."},
    {"INTERNAL", StatusCode::kInternal, kFatal, -32603, -32603, 500,
     "This is a defect of the gateway; report it with the trace id."},
    {"INVALID_PARAMS", StatusCode::kInvalidArgument, kUser, -32602, -32602, 200,
     "Correct the named parameter."},
    {"INVALID_REQUEST", StatusCode::kInvalidArgument, kUser, -32600, -32600, 400,
     "Send one well-formed JSON-RPC 2.0 message."},
    {"KEY_GONE", StatusCode::kUnauthenticated, kUser, -31001, -31001, 401,
     "The key that the run was started with has been removed; start it again with another."},
    {"LEGAL_HOLD", StatusCode::kFailedPrecondition, kUser, -32602, -32602, 409,
     "A legal hold keeps these records; 'meta-mcp audit hold list' shows it."},
    {"METHOD_NOT_ALLOWED", StatusCode::kUnimplemented, kUser, -32600, -32600, 405,
     "Use one of the methods in the Allow header."},
    {"METHOD_NOT_FOUND", StatusCode::kUnimplemented, kUser, -32601, -32601, 404,
     "Use a method that the server declares."},
    {"NOT_ACCEPTABLE", StatusCode::kInvalidArgument, kUser, -32600, -32600, 406,
     "Send 'Accept: application/json, text/event-stream'."},
    {"NOT_FOUND", StatusCode::kNotFound, kUser, -32602, -32602, 404, "Check the name."},
    {"NOT_OWNER", StatusCode::kFailedPrecondition, kRetryable, -32603, -32603, 503,
     "Another connector runs this upstream, or will shortly; try again."},
    {"OBJECT_READ_ONLY", StatusCode::kFailedPrecondition, kUser, -32602, -32602, 409,
     "Change the object where it is defined."},
    {"ORIGIN_REFUSED", StatusCode::kPermissionDenied, kUser, -32600, -32600, 403,
     "Add the origin to gateway.allowedOrigins if it is yours."},
    {"PARSE_ERROR", StatusCode::kInvalidArgument, kUser, -32700, -32700, 400,
     "Send valid UTF-8 JSON."},
    {"PEER_UNAVAILABLE", StatusCode::kUnavailable, kRetryable, -31010, -31010, 503,
     "The gateway that holds this session does not answer; try again, or initialize anew."},
    {"PERMISSION_DENIED", StatusCode::kPermissionDenied, kUser, -31003, -31003, 403,
     "Ask an operator for access."},
    {"PROFILER_BUSY", StatusCode::kFailedPrecondition, kRetryable, -32603, -32603, 409,
     "Wait until the profile that is being taken has ended."},
    {"PROFILER_MISSING", StatusCode::kFailedPrecondition, kUser, -32603, -32603, 501,
     "Install libgoogle-perftools4 where the process runs."},
    {"PROMPT_NOT_FOUND", StatusCode::kNotFound, kUser, -32602, -32602, 200,
     "Use a name from prompts/list."},
    {"QUEUE_FULL", StatusCode::kResourceExhausted, kRetryable, -31029, -31029, 503,
     "Try again later; the gateway or the upstream is at its limit."},
    {"QUOTA_EXHAUSTED", StatusCode::kResourceExhausted, kRetryable, -31029, -31029, 429,
     "The day's quota is used up; it is there again after the time named in Retry-After."},
    {"RATE_LIMITED", StatusCode::kResourceExhausted, kRetryable, -31029, -31029, 429,
     "Try again after the time named in Retry-After."},
    {"RESOURCE_NOT_FOUND", StatusCode::kNotFound, kUser, -32002, -32602, 200,
     "Use a URI from resources/list or one that matches a template."},
    {"RUN_FENCED", StatusCode::kAborted, kRetryable, -32603, -32603, 409,
     "Another process works on this run now; nothing is lost."},
    {"RUN_LIMIT", StatusCode::kResourceExhausted, kRetryable, -31007, -31007, 429,
     "Wait until some of your runs have ended, or raise workflow.runsPerPrincipalMax."},
    {"RUN_STATE", StatusCode::kFailedPrecondition, kUser, -32603, -32603, 409,
     "Look at the run's state: 'meta-mcp workflow history RUN'."},
    {"SERVICE_LOST", StatusCode::kUnavailable, kUser, -31010, -31010, 503,
     "A process of the suite ended during the request; look whether it took effect."},
    {"SERVICE_UNREACHABLE", StatusCode::kUnavailable, kRetryable, -31010, -31010, 503,
     "A service of the suite cannot be reached; look at its process, address and certificate."},
    {"SESSION_NOT_FOUND", StatusCode::kNotFound, kReconnect, -31004, -31004, 404,
     "The session ended; initialize again."},
    {"SESSION_REQUIRED", StatusCode::kInvalidArgument, kUser, -32600, -32600, 400,
     "Send initialize first, then the Mcp-Session-Id header on every request."},
    {"SHUTTING_DOWN", StatusCode::kUnavailable, kRetryable, -31010, -31010, 503,
     "The gateway is stopping; try again shortly."},
    {"STATE_INVALID", StatusCode::kInvalidArgument, kUser, -32602, -32602, 200,
     "Start the call again without requestState."},
    {"TAINTED", StatusCode::kFailedPrecondition, kUser, -31003, -31003, 403,
     "A server that is not trusted answered here before; start a new scope, wait (taint.ttlMs), or "
     "let persons decide (taint.mode consent)."},
    {"TASK_NOT_FOUND", StatusCode::kNotFound, kUser, -32602, -32602, 200,
     "Use a task id that this client was given; tasks end with their time to live."},
    {"TOOL_NOT_FOUND", StatusCode::kNotFound, kUser, -32602, -32602, 200,
     "Use a name from tools/list; 'meta-mcp tool why NAME' says why one is missing."},
    {"TOOL_QUARANTINED", StatusCode::kFailedPrecondition, kUser, -31003, -31003, 403,
     "Its definition waits for an approval: 'meta-mcp tool diff NAME', then 'meta-mcp tool approve "
     "NAME'."},
    {"TRACES_NOT_KEPT", StatusCode::kFailedPrecondition, kUser, -32603, -32603, 409,
     "Set telemetry.traces.keep, for example to 10000, and start again."},
    {"UNSUPPORTED_MEDIA_TYPE", StatusCode::kInvalidArgument, kUser, -32600, -32600, 415,
     "Send 'Content-Type: application/json'."},
    {"UNSUPPORTED_VERSION", StatusCode::kFailedPrecondition, kUser, -32600, -32022, 400,
     "Use one of the supported protocol versions."},
    {"UPSTREAM_AUTH", StatusCode::kUnavailable, kUser, -31011, -31011, 502,
     "The upstream refused our credentials; check its headers or keys."},
    {"UPSTREAM_BREAKER_OPEN", StatusCode::kUnavailable, kRetryable, -31011, -31011, 503,
     "The upstream failed repeatedly and is being given time; try again later."},
    {"UPSTREAM_DISABLED", StatusCode::kFailedPrecondition, kUser, -31011, -31011, 503,
     "Enable it: 'meta-mcp server enable NAME'."},
    {"UPSTREAM_ERROR", StatusCode::kUnknown, kUser, -32603, -32603, 200,
     "The upstream answered with an error; its own message is quoted."},
    {"UPSTREAM_LOGIN_REQUIRED", StatusCode::kUnavailable, kUser, -31011, -31011, 502,
     "Log in with 'meta-mcp server login NAME', or by the link in the message."},
    {"UPSTREAM_LOST", StatusCode::kUnavailable, kReconnect, -31011, -31011, 502,
     "The upstream went away during the call; whether it took effect is unknown."},
    {"UPSTREAM_PROTOCOL", StatusCode::kInternal, kFatal, -32603, -32603, 502,
     "The upstream broke the protocol; see 'meta-mcp server logs NAME'."},
    {"UPSTREAM_RESULT_TOO_LARGE", StatusCode::kResourceExhausted, kUser, -31011, -31011, 502,
     "Ask for less, or raise limits.resultBytesMax."},
    {"UPSTREAM_TIMEOUT", StatusCode::kDeadlineExceeded, kRetryable, -31009, -31009, 504,
     "The upstream did not answer in time; raise its timeoutMs if it is just slow."},
    {"UPSTREAM_UNAVAILABLE", StatusCode::kUnavailable, kReconnect, -31011, -31011, 503,
     "The upstream is not connected; 'meta-mcp doctor NAME' finds out why."},
    {"WORKFLOW_INVALID", StatusCode::kInvalidArgument, kUser, -32602, -32602, 400,
     "Correct the workflow; 'meta-mcp workflow validate FILE' names every mistake."},
    {"WORKFLOW_PRIVATE", StatusCode::kFailedPrecondition, kUser, -32603, -32603, 409,
     "Share the workflow first: 'meta-mcp workflow share NAME --visibility team'."},
    {"WORKFLOW_TOO_DEEP", StatusCode::kFailedPrecondition, kFatal, -31012, -31012, 508,
     "Runs start runs too many levels deep; a workflow probably calls itself."},
};

}  // namespace

std::span<const ErrorEntry> ErrorRegistry() { return kEntries; }

const ErrorEntry* FindError(std::string_view reason) {
  const auto* it =
      std::lower_bound(std::begin(kEntries), std::end(kEntries), reason,
                       [](const ErrorEntry& e, std::string_view r) { return e.reason < r; });
  return it != std::end(kEntries) && it->reason == reason ? it : nullptr;
}

std::string_view ErrorClassName(ErrorClass c) {
  switch (c) {
    case ErrorClass::kRetryable:
      return "retryable";
    case ErrorClass::kReconnect:
      return "reconnect";
    case ErrorClass::kUser:
      return "user";
    case ErrorClass::kFatal:
      return "fatal";
  }
  return "fatal";
}

}  // namespace metamcp
