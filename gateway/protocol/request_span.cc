#include "gateway/protocol/request_span.h"

#include "common/base/strings.h"
#include "common/mcp/version.h"

namespace metamcp::gateway {
namespace {

// Names come from clients.
constexpr size_t kNameMax = 128;

std::string_view Cut(std::string_view text) { return text.substr(0, kNameMax); }

// A URI without what often holds secrets.
std::string_view WithoutQuery(std::string_view uri) {
  return uri.substr(0, uri.find_first_of("?#"));
}

TraceContext ParentOf(const Incoming& in, const mcp::RequestMeta* meta) {
  TraceContext out;
  if (meta != nullptr) {
    out.traceparent = meta->traceparent;
    out.tracestate = meta->tracestate;
    out.baggage = meta->baggage;
  }
  if (out.traceparent.empty() && in.header) {
    if (const auto header = in.header("traceparent")) out.traceparent = std::string(*header);
    if (const auto header = in.header("tracestate")) out.tracestate = std::string(*header);
  }
  return out;
}

}  // namespace

trace::Span BeginRequest(Incoming& in, mcp::Revision revision, const mcp::RequestMeta* meta) {
  if (!trace::Enabled()) return {};
  in.trace = ParentOf(in, meta);
  const std::string_view method = in.envelope->method;
  const bool tool = method == "tools/call";
  const bool prompt = method == "prompts/get";
  const auto name = tool || prompt ? in.envelope->params.String("name") : std::nullopt;
  trace::Span span(trace::Kind::kServer, Cut(method), name ? Cut(*name) : "", in.trace);
  if (!span.recording()) return span;
  span.Set("mcp.method.name", Cut(method));
  span.Set("mcp.protocol.version", mcp::RevisionName(revision));
  if (in.envelope->id.present()) span.Set("jsonrpc.request.id", Cut(in.envelope->id.raw()));
  if (in.has_headers) span.Set("network.protocol.name", "http");
  if (tool) span.Set("gen_ai.operation.name", "execute_tool");
  if (name) span.Set(tool ? "gen_ai.tool.name" : "gen_ai.prompt.name", Cut(*name));
  if (method.substr(0, 10) == "resources/") {
    if (const auto uri = in.envelope->params.String("uri")) {
      span.Set("mcp.resource.uri", Cut(WithoutQuery(*uri)));
    }
  }
  if (in.view != nullptr) span.Set("metamcp.virtual_server", in.view->metrics_label());
  return span;
}

void NoteOutcome(Reply& reply, const absl::StatusOr<CallOutcome>& outcome) {
  trace::Span* span = reply.span();
  if (span == nullptr || !span->recording()) return;
  if (!outcome.ok()) {
    span->Fail(outcome.status());
    return;
  }
  span->Set("metamcp.upstream", outcome->upstream);
  const std::string_view what = OutcomeOf(*outcome);
  span->Set("metamcp.outcome", what);
  if (outcome->failed) {
    span->Set("rpc.response.status_code", std::to_string(outcome->error.code));
    span->Fail(std::to_string(outcome->error.code), "the upstream answered with an error");
  } else if (what == "tool_error") {
    span->Fail(what, "the tool reported an error");
  }
}

}  // namespace metamcp::gateway
