#include "gateway/transport/mcp_endpoint.h"

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/sse.h"
#include "common/json/splice.h"
#include "common/mcp/headers.h"
#include "common/mcp/methods.h"
#include "gateway/protocol/error_map.h"
#include "gateway/protocol/front_common.h"
#include "gateway/transport/mcp_exchange.h"

namespace metamcp::gateway {

using mcp::Era;

std::optional<std::string_view> Header(const http::HttpRequest& request, std::string_view name) {
  if (!request.headers.Has(name)) return std::nullopt;
  return request.headers.Get(name);
}

bool NamesModern(std::optional<std::string_view> header) {
  const auto revision = header ? mcp::ParseRevision(*header) : std::nullopt;
  return revision && mcp::IsModern(*revision);
}

namespace {

absl::Status HeaderMismatch(std::string_view name, std::string_view why) {
  return MakeError("HEADER_MISMATCH", "gateway", StrCat("header ", name, " ", why));
}

}  // namespace

Awaitable<void> McpEndpoint::Exchange::Fail(const absl::Status& status, mcp::Era era) {
  co_await SendFailure(responder, status, era, cors);
}

McpEndpoint::McpEndpoint(FrontDeps deps, const auth::Authenticator& authenticator, TaskGroup& tasks,
                         KeepAlive& keep_alive, Options options)
    : deps_(deps),
      authenticator_(authenticator),
      tasks_(tasks),
      keep_alive_(keep_alive),
      options_(options),
      modern_(deps),
      legacy_(deps) {}

Awaitable<void> McpEndpoint::Handle(http::HttpRequest& request, http::HttpResponder& responder,
                                    std::string virtual_server, http::HttpHeaders cors) {
  Exchange x(request, responder, std::move(virtual_server), std::move(cors));
  const auth::Credentials credentials = CredentialsOf(request, x.virtual_server);
  auto admitting = authenticator_.Admit(credentials);
  auto principal = co_await std::move(admitting);
  if (!principal.ok()) {
    co_await x.Fail(principal.status(), Era::kModern);
    co_return;
  }
  x.principal = *std::move(principal);
  auto view = FindView(deps_, x.virtual_server, *x.principal);
  if (!view.ok()) {
    co_await x.Fail(view.status(), Era::kModern);
    co_return;
  }
  x.view = *std::move(view);
  if (request.method == "POST") {
    co_await HandlePost(x);
  } else if (request.method == "GET") {
    co_await HandleGet(x);
  } else if (request.method == "DELETE") {
    co_await HandleDelete(x);
  } else {
    http::HttpResponse response(405);
    response.headers.Add("Allow", "GET, POST, DELETE");
    (void)co_await responder.Send(std::move(response));
  }
}

bool McpEndpoint::MayStream(const Exchange& x) const {
  return !options_.json_only && Accepts(x.request, "text/event-stream");
}

Awaitable<void> McpEndpoint::HandlePost(Exchange& x) {
  if (const absl::Status type = CheckJsonBody(x.request); !type.ok()) {
    co_await x.Fail(type, Era::kLegacy);
    co_return;
  }
  if (!Accepts(x.request, "application/json") && !Accepts(x.request, "text/event-stream")) {
    const absl::Status status = MakeError(
        "NOT_ACCEPTABLE", "gateway", "Accept must list application/json and text/event-stream");
    co_await x.Fail(status, Era::kLegacy);
    co_return;
  }
  x.body = std::make_shared<const std::string>(std::move(x.request.body));
  if (jsonrpc::IsBatch(*x.body)) {
    co_await HandleBatch(x);
    co_return;
  }
  auto reply = std::make_shared<HttpReply>(deps_.executor, x.responder, x.cors, MayStream(x));
  keep_alive_.Add(reply);
  x.reply = reply;
  auto work = HandleMessage(x, *x.body, *reply);
  std::exception_ptr failed;
  try {
    co_await std::move(work);
  } catch (...) {
    failed = std::current_exception();
  }
  keep_alive_.Remove(reply);
  if (failed) std::rethrow_exception(failed);
  if (!reply->settled()) co_await reply->Finish();
}

Awaitable<void> McpEndpoint::HandleMessage(Exchange& x, std::string_view text, Reply& reply) {
  json::ScanLimits limits;
  limits.depth_max = options_.json_depth_max;
  jsonrpc::ParseOutcome parsed = jsonrpc::ParseEnvelope(text, limits);
  if (!parsed.ok()) {
    std::string message = jsonrpc::MakeErrorResponse(parsed.id, parsed.error);
    (void)co_await reply.Respond(400, std::move(message));
    co_return;
  }
  jsonrpc::Envelope& envelope = *parsed.envelope;
  const bool modern_header = NamesModern(Header(x.request, mcp::kHeaderProtocolVersion));
  const bool claim = !envelope.is_response() && mcp::HasModernClaim(envelope.meta);
  if (envelope.kind == jsonrpc::MessageKind::kNotification && (claim || modern_header)) {
    (void)co_await reply.End(202);
    co_return;
  }
  if (claim) {
    co_await HandleModern(x, envelope, reply);
    co_return;
  }
  if (modern_header && !envelope.is_response()) {
    const absl::Status status =
        envelope.method == "initialize"
            ? HeaderMismatch(mcp::kHeaderProtocolVersion,
                             "names a revision without initialize; send server/discover")
            : MakeError("INVALID_REQUEST", "gateway",
                        StrCat("params._meta lacks ", mcp::kMetaProtocolVersion, " and ",
                               mcp::kMetaClientCapabilities));
    WireError wire = ToWireError(status, Era::kModern);
    if (envelope.method != "initialize") wire.error.code = jsonrpc::kInvalidParams;
    std::string message = jsonrpc::MakeErrorResponse(envelope.id, wire.error);
    (void)co_await reply.Respond(400, std::move(message));
    co_return;
  }
  co_await HandleLegacy(x, envelope, reply);
}

Awaitable<void> McpEndpoint::HandleModern(Exchange& x, const jsonrpc::Envelope& envelope,
                                          Reply& reply) {
  auto meta = mcp::ParseModernMeta(envelope.meta);
  absl::Status status = meta.status();
  int http = 400;
  if (status.ok()) {
    const auto version_header = Header(x.request, mcp::kHeaderProtocolVersion);
    const auto method_header = Header(x.request, mcp::kHeaderMethod);
    const auto revision = mcp::ParseRevision(meta->protocol_version);
    const mcp::MethodInfo* info = mcp::FindMethod(envelope.method);
    if (!version_header) {
      status = HeaderMismatch(mcp::kHeaderProtocolVersion, "is missing");
    } else if (*version_header != meta->protocol_version) {
      status = HeaderMismatch(mcp::kHeaderProtocolVersion, "differs from params._meta");
    } else if (status = CheckModernVersion(*meta); !status.ok()) {
      // As it says.
    } else if (!method_header) {
      status = HeaderMismatch(mcp::kHeaderMethod, "is missing");
    } else if (*method_header != envelope.method) {
      status = HeaderMismatch(mcp::kHeaderMethod, "differs from the body");
    } else if (info != nullptr && !info->target.empty() && (!info->extension || x.view->tasks()) &&
               mcp::ServerAccepts(*info, *revision)) {
      if (const auto target = envelope.params.String(info->target)) {
        status = mcp::CheckMirror(mcp::kHeaderName, Header(x.request, mcp::kHeaderName), *target);
      }
    }
  }
  if (!status.ok()) {
    const WireError wire = ToWireError(status, Era::kModern);
    std::string message = jsonrpc::MakeErrorResponse(envelope.id, wire.error);
    (void)co_await reply.Respond(http, std::move(message));
    co_return;
  }
  Incoming in = x.MakeIncoming(envelope);
  co_await modern_.Handle(std::move(in), *std::move(meta), reply);
}

}  // namespace metamcp::gateway
