#include "services/connector/call_codec.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "common/mcp/headers.h"
#include "common/mcp/meta.h"
#include "common/mcp/methods.h"
#include "common/mcp/validate.h"
#include "common/telemetry/trace.h"

namespace metamcp::connector {
namespace {

absl::Status CheckObject(const std::string& text, std::string_view name) {
  if (text.empty() || text == "{}") return absl::OkStatus();
  const auto value = json::ScanValue(text);
  if (!value.ok() || !value->is_object()) {
    return MakeError("INVALID_PARAMS", "connector", StrCat(name, " must be a JSON object"));
  }
  return absl::OkStatus();
}

// The members of a raw object without its braces.
std::string_view Inner(std::string_view object) {
  const size_t begin = object.find('{');
  const size_t end = object.rfind('}');
  if (begin == std::string_view::npos || end == std::string_view::npos || end <= begin) return {};
  object = object.substr(begin + 1, end - begin - 1);
  const size_t first = object.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : object.substr(first);
}

void AddMember(std::string& out, std::string_view key, std::string_view raw) {
  if (!out.empty()) out += ',';
  out += '"';
  out += key;
  out += "\":";
  out += raw;
}

void AddTrace(std::string& out, std::string_view given, std::string_view key,
              const std::string& value) {
  if (value.empty() || given.find(StrCat("\"", key, "\"")) != std::string_view::npos) return;
  AddMember(out, key, json::JsonQuote(value));
}

std::string MetaTail(const pb::CallRequest& request, const TraceContext& trace,
                     const Negotiated& peer, std::string_view gateway_info) {
  std::string out;
  if (peer.modern()) {
    AddMember(out, mcp::kMetaProtocolVersion, StrCat("\"", mcp::RevisionName(peer.revision), "\""));
    AddMember(
        out, mcp::kMetaClientInfo,
        request.client_info().empty() ? gateway_info : std::string_view(request.client_info()));
    AddMember(out, mcp::kMetaClientCapabilities,
              request.client_capabilities().empty()
                  ? std::string_view("{}")
                  : std::string_view(request.client_capabilities()));
    if (!request.log_level().empty()) {
      AddMember(out, mcp::kMetaLogLevel, json::JsonQuote(request.log_level()));
    }
  }
  const std::string_view given = Inner(request.meta());
  if (!given.empty()) {
    if (!out.empty()) out += ',';
    out += given;
  }
  AddTrace(out, given, mcp::kMetaTraceparent, trace.traceparent);
  AddTrace(out, given, mcp::kMetaTracestate, trace.tracestate);
  AddTrace(out, given, mcp::kMetaBaggage, trace.baggage);
  return out;
}

// Adds the answers of a retried call to its params (2026-07-28, patterns/mrtr).
std::string ParamsWithAnswers(const pb::CallRequest& request) {
  std::string members(Inner(request.params()));
  if (!request.input_responses().empty()) {
    AddMember(members, "inputResponses", request.input_responses());
  }
  if (request.has_request_state()) {
    AddMember(members, "requestState", json::JsonQuote(request.request_state()));
  }
  return StrCat("{", members, "}");
}

bool IsHeaderText(std::string_view text) {
  const auto visible = [](char c) { return c >= 0x20 && c <= 0x7e; };
  return !text.empty() && text.size() <= 512 && std::all_of(text.begin(), text.end(), visible);
}

absl::Status Broken(std::string_view what) {
  return MakeError("UPSTREAM_PROTOCOL", "connector", what);
}

}  // namespace

absl::Status CheckCall(const pb::CallRequest& request) {
  const std::string& method = request.method();
  if (method != "tools/call" && method != "prompts/get" && method != "resources/read" &&
      method != "completion/complete" && method != "tasks/get" && method != "tasks/update" &&
      method != "tasks/cancel" && mcp::FindMethod(method) != nullptr) {
    return MakeError("METHOD_NOT_FOUND", "connector", StrCat("no such method: ", method));
  }
  METAMCP_RETURN_IF_ERROR(CheckObject(request.params(), "params"));
  METAMCP_RETURN_IF_ERROR(CheckObject(request.meta(), "_meta"));
  METAMCP_RETURN_IF_ERROR(CheckObject(request.input_responses(), "inputResponses"));
  METAMCP_RETURN_IF_ERROR(CheckObject(request.client_info(), "clientInfo"));
  return CheckObject(request.client_capabilities(), "clientCapabilities");
}

RequestSpec EncodeCall(const pb::CallRequest& request, const TraceContext& trace,
                       const Negotiated& peer, std::string_view gateway_info) {
  const bool answers =
      peer.modern() && (!request.input_responses().empty() || request.has_request_state());
  RequestSpec spec(request.method(), answers ? ParamsWithAnswers(request) : request.params());
  if (!peer.modern() && request.method() == "completion/complete") {
    if (const auto params = json::ScanObject(spec.params); params.ok()) {
      spec.params = mcp::ParamsToLegacy(request.method(), *params, "", peer.revision);
    }
  }
  spec.meta_tail = MetaTail(request, trace, peer, gateway_info);
  spec.call = true;
  spec.wants_progress = request.wants_progress();
  if (!request.log_level().empty()) {
    spec.log_severity = mcp::LogSeverity(request.log_level()).value_or(-1);
  }
  if (request.method() != "completion/complete") spec.name = request.target();
  if (peer.modern()) {
    for (const auto& [name, value] : request.param_headers())
      spec.headers.emplace_back(name, value);
  }
  // Beside _meta, for what stands between and knows HTTP only; nothing that is not a context.
  if (!trace::TraceIdOf(trace.traceparent).empty()) {
    spec.headers.emplace_back(mcp::kMetaTraceparent, trace.traceparent);
    if (IsHeaderText(trace.tracestate)) {
      spec.headers.emplace_back(mcp::kMetaTracestate, trace.tracestate);
    }
  }
  return spec;
}

std::optional<RpcError> RefusedAnswer(std::string_view answer) {
  const auto view = json::ScanObject(answer);
  if (!view.ok() || view->members().size() != 1) return std::nullopt;
  const auto error = json::ScanObject(view->Raw("error"));
  if (!error.ok()) return std::nullopt;
  const auto code = json::RawInt64(error->Raw("code"));
  if (!code) return std::nullopt;
  RpcError out;
  out.code = *code;
  out.message = error->String("message").value_or("");
  return out;
}

absl::Status CheckNoRefusal(std::string_view input_responses) {
  if (input_responses.empty()) return absl::OkStatus();
  const auto answers = json::ScanObject(input_responses);
  if (!answers.ok()) return absl::OkStatus();
  for (const json::Member& answer : answers->members()) {
    const auto refused = RefusedAnswer(answer.value.raw);
    if (!refused) continue;
    return MakeError("UPSTREAM_ERROR", "client",
                     StrCat("the client refused a question: ", refused->message));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> HeadersOfCall(
    std::string_view definition, std::string_view params) {
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView tool, json::ScanObject(definition));
  METAMCP_ASSIGN_OR_RETURN(const auto declared, mcp::ExtractParamHeaders(tool.Raw("inputSchema")));
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(params));
  return mcp::ComputeParamHeaders(declared, view.Raw("arguments"));
}

absl::StatusOr<DecodedResult> DecodeResult(std::string_view method, std::string result,
                                           const Negotiated& peer, bool extensions) {
  METAMCP_ASSIGN_OR_RETURN(mcp::CanonicalAnswer answer,
                           mcp::CanonicalResult(peer.revision, method, std::move(result)));
  DecodedResult out;
  out.json = std::move(answer.json);
  switch (answer.type) {
    case mcp::ResultType::kComplete:
      break;
    case mcp::ResultType::kInputRequired: {
      METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(out.json));
      if (!view.Has("inputRequests") && !view.Has("requestState")) {
        return Broken("an input_required result has neither inputRequests nor requestState");
      }
      out.kind = pb::RESULT_KIND_INPUT_REQUIRED;
      break;
    }
    case mcp::ResultType::kTask:
      out.kind = pb::RESULT_KIND_TASK;
      break;
    case mcp::ResultType::kOther:
      // Only who named an extension may get what the core protocol does not know.
      if (extensions && peer.extensions) {
        out.kind = pb::RESULT_KIND_EXTENSION;
        break;
      }
      return Broken(StrCat("the answer to ", method, " has a resultType that nobody asked for"));
  }
  return out;
}

pb::UpstreamError DecodeError(const RpcError& error, const Negotiated& peer,
                              std::string_view target) {
  jsonrpc::ErrorObject object;
  object.code = static_cast<int>(error.code);
  object.message = error.message;
  object.data = error.data;
  object = mcp::ErrorToModern(std::move(object), target);
  pb::UpstreamError out;
  out.set_code(object.code);
  out.set_message(object.message);
  out.set_data(object.data);
  // These two speak about our leg, which the caller knows nothing of.
  if (peer.modern() && (error.code == -32020 || error.code == -32022)) {
    out.set_code(-32603);
    out.set_message(StrCat("the upstream refused the gateway's request: ", error.message));
    out.clear_data();
  }
  return out;
}

}  // namespace metamcp::connector
