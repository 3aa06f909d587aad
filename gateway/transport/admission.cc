#include "gateway/transport/admission.h"

#include "common/auth/challenge.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "gateway/protocol/error_map.h"
#include "gateway/protocol/retry_headers.h"

namespace metamcp::gateway {

auth::Credentials CredentialsOf(const http::HttpRequest& request, std::string_view virtual_server) {
  auth::Credentials out;
  out.repeated =
      request.headers.Count("Authorization") > 1 || request.headers.Count("X-API-Key") > 1;
  out.host = request.headers.Get("Host");
  out.tls = request.tls;
  out.path = request.path;
  out.virtual_server = virtual_server;
  out.authorization = request.headers.Get("Authorization");
  out.api_key = request.headers.Get("X-API-Key");
  out.loopback = request.is_loopback;
  out.unix_socket = request.is_unix_socket;
  out.certificate = request.certificate.get();
  out.peer = request.remote_address;
  for (const std::string_view name :
       {"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"}) {
    if (request.headers.Has(name)) out.forwarded_by = name;
  }
  return out;
}

absl::StatusOr<std::shared_ptr<const ServerView>> FindView(const FrontDeps& deps,
                                                           std::string_view virtual_server,
                                                           const Principal& who) {
  auto view = deps.mirror.snapshot()->Find(std::string(virtual_server));
  const bool there = view != nullptr && view->active() &&
                     (deps.filter == nullptr || deps.filter->MayUse(*view, who));
  if (there) return view;
  if (!deps.mirror.ready()) {
    return MakeError("DATABASE_UNAVAILABLE", "catalog", "the catalog is not loaded yet");
  }
  return MakeError("NOT_FOUND", "gateway", StrCat("no virtual server \"", virtual_server, "\""));
}

Awaitable<void> SendFailure(http::HttpResponder& responder, absl::Status status, mcp::Era era,
                            http::HttpHeaders cors) {
  const WireError wire = ToWireError(status, era);
  http::HttpResponse response(wire.http, "application/json",
                              jsonrpc::MakeErrorResponse(jsonrpc::Id(), wire.error));
  for (size_t i = 0; i < cors.size(); ++i) response.headers.Add(cors.at(i).name, cors.at(i).value);
  const std::string challenge = auth::ChallengeOf(status);
  if (!challenge.empty() || wire.http == 401) {
    response.headers.Add("WWW-Authenticate", challenge.empty() ? auth::kPlainChallenge : challenge);
  } else if (wire.http == 405) {
    response.headers.Add("Allow", "POST");
  }
  AddRetryHeaders(status, wire.http,
                  [&response](auto name, const auto& value) { response.headers.Add(name, value); });
  (void)co_await responder.Send(std::move(response));
}

absl::Status CheckJsonBody(const http::HttpRequest& request) {
  std::string_view type = request.headers.Get("Content-Type");
  type = type.substr(0, type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  if (http::EqualsNoCase(type, "application/json")) return absl::OkStatus();
  return MakeError("UNSUPPORTED_MEDIA_TYPE", "gateway", "Content-Type must be application/json");
}

bool Accepts(const http::HttpRequest& request, std::string_view type) {
  const std::string_view accept = request.headers.Get("Accept");
  if (!request.headers.Has("Accept")) return true;
  const std::string_view family = type.substr(0, type.find('/'));
  return accept.find(type) != std::string_view::npos ||
         accept.find("*/*") != std::string_view::npos ||
         accept.find(StrCat(family, "/*")) != std::string_view::npos;
}

std::optional<EdgeRoute> MatchEdge(std::string_view path, const EdgePaths& paths) {
  if (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  EdgeRoute route;
  route.virtual_server = "default";
  std::string_view name = path;
  constexpr std::string_view kPrefix = "/servers/";
  if (path.substr(0, kPrefix.size()) == kPrefix) {
    const size_t end = path.find('/', kPrefix.size());
    if (end == kPrefix.size() || end == std::string_view::npos) return std::nullopt;
    route.virtual_server = path.substr(kPrefix.size(), end - kPrefix.size());
    name = path.substr(end);
    // Only the paths of "default" can be chosen.
    if (name == "/sse") name = paths.sse_path;
    if (name == "/messages") name = paths.messages_path;
  }
  if (paths.mcp && name == "/mcp") {
    route.kind = EdgeKind::kMcp;
  } else if (paths.sse && name == paths.sse_path) {
    route.kind = EdgeKind::kSse;
  } else if (paths.sse && name == paths.messages_path) {
    route.kind = EdgeKind::kMessages;
  } else if (paths.ws && name == "/ws") {
    route.kind = EdgeKind::kWs;
  } else {
    return std::nullopt;
  }
  return route;
}

}  // namespace metamcp::gateway
