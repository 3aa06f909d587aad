#include "gateway/app.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/async/task_group.h"
#include "common/auth/authenticator.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/origin.h"
#include "common/json/splice.h"
#include "common/telemetry/log.h"
#include "gateway/admin/admin_edge.h"
#include "gateway/admin/problem.h"
#include "gateway/calls_service.h"
#include "gateway/protocol/error_map.h"
#include "gateway/protocol/results.h"
#include "gateway/transport/credentials.h"
#include "gateway/transport/mcp_endpoint.h"

namespace metamcp::gateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr std::chrono::hours kWatchLifetime{12};

// One connector process serves every upstream.
class OneProvider final : public ProviderDirectory {
 public:
  explicit OneProvider(provider::v1::ProviderService& provider) : provider_(provider) {}
  provider::v1::ProviderService* Find(const UpstreamInfo&) override { return &provider_; }

 private:
  provider::v1::ProviderService& provider_;
};

class MirrorSink final : public Sink<catalog::v1::WatchCatalogResponse> {
 public:
  MirrorSink(CatalogMirror& mirror, admin::AdminEdge& admin, asio::steady_timer& ready)
      : mirror_(mirror), admin_(admin), ready_(ready) {}
  Awaitable<absl::Status> Write(catalog::v1::WatchCatalogResponse message) override {
    mirror_.Apply(message);
    admin_.OnCatalog(message, mirror_.snapshot());
    if (mirror_.ready()) ready_.cancel();
    co_return absl::OkStatus();
  }

 private:
  CatalogMirror& mirror_;
  admin::AdminEdge& admin_;
  asio::steady_timer& ready_;
};

// "127.0.0.1:8931", "[::1]:0" or "localhost:8931" into host and port.
absl::StatusOr<std::pair<std::string, uint16_t>> SplitListen(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  int port = -1;
  if (colon != std::string::npos && colon + 1 < listen.size() &&
      listen.find_first_not_of("0123456789", colon + 1) == std::string::npos &&
      listen.size() - colon < 7) {
    port = std::stoi(listen.substr(colon + 1));
  }
  if (port < 0 || port > 65535) {
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat("gateway.listen \"", listen, "\" must be host:port"));
  }
  std::string host = listen.substr(0, colon);
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return std::make_pair(host, static_cast<uint16_t>(port));
}

bool IsLoopbackHost(std::string_view host) {
  return host == "localhost" || host == "::1" || host.substr(0, 4) == "127.";
}

http::HttpServerOptions ServerOptions(const config::Config& config) {
  http::HttpServerOptions options;
  options.body_bytes_max = static_cast<size_t>(config.limits.body_bytes_max);
  options.header_bytes_max = static_cast<size_t>(config.limits.header_bytes_max);
  options.connections_max = static_cast<size_t>(config.limits.connections_max);
  options.header_timeout = milliseconds(config.gateway.header_timeout_ms);
  return options;
}

CallChain::Options ChainOptions(const config::Config& config) {
  CallChain::Options options;
  options.gateway_id = HexEncode(RandomBytes(8));
  options.calls_max = static_cast<int>(config.limits.calls_max);
  options.result_bytes_max = static_cast<size_t>(config.limits.result_bytes_max);
  return options;
}

SessionRegistry::Options SessionOptions(const config::Config& config) {
  SessionRegistry::Options options;
  options.idle = milliseconds(config.gateway.session_idle_ms);
  options.sessions_max = static_cast<size_t>(config.limits.sessions_max);
  return options;
}

McpEndpoint::Options EndpointOptions(const config::Config& config) {
  McpEndpoint::Options options;
  options.json_depth_max = static_cast<size_t>(config.limits.json_depth_max);
  options.streams_per_session_max = static_cast<size_t>(config.limits.streams_per_client_max);
  return options;
}

http::OriginOptions OriginOptionsOf(const config::Config& config, bool loopback) {
  http::OriginOptions options;
  options.loopback_bind = loopback;
  options.allowed_hosts = config.gateway.allowed_hosts;
  options.allowed_origins = config.gateway.allowed_origins;
  options.allowed_origins.insert(options.allowed_origins.end(), config.gateway.cors.origins.begin(),
                                 config.gateway.cors.origins.end());
  options.cors_credentials = config.gateway.cors.credentials;
  options.cors_max_age_s = config.gateway.cors.max_age_s;
  return options;
}

class GatewayAppImpl final : public GatewayApp {
 public:
  GatewayAppImpl(asio::any_io_executor executor, const config::Config& config, GatewayDeps deps,
                 std::unique_ptr<auth::Authenticator> authenticator, std::string host,
                 uint16_t port)
      : executor_(executor),
        deps_(std::move(deps)),
        authenticator_(std::move(authenticator)),
        host_(std::move(host)),
        port_(port),
        origin_(OriginOptionsOf(config, IsLoopbackHost(host_))),
        cors_(!config.gateway.cors.origins.empty()),
        providers_(deps_.provider),
        chain_(providers_, deps_.keys, ChainOptions(config)),
        sessions_(executor, deps_.keys, SessionOptions(config)),
        hub_(executor, mirror_, providers_),
        tasks_(executor),
        keep_alive_(tasks_, milliseconds(config.gateway.sse_keep_alive_ms)),
        front_(MakeFront(config)),
        endpoint_(front_, *authenticator_, tasks_, keep_alive_, EndpointOptions(config)),
        calls_(front_),
        ready_(executor, asio::steady_timer::time_point::max()),
        server_(http::HttpServer::Create(
            executor,
            [this](http::HttpRequest& request, http::HttpResponder& responder) {
              return Serve(request, responder);
            },
            ServerOptions(config))) {}

  // Before Start. Errors: a service whose http options make no sense.
  absl::Status MakeAdmin(const config::Config& config) {
    admin::AdminOptions options;
    options.services = {&deps_.catalog, &deps_.connector, &calls_};
    options.catalog = &deps_.catalog;
    options.reload = deps_.reload;
    options.connections = [this] { return server_->connections(); };
    options.sessions = [this] { return sessions_.List().size(); };
    options.public_url = config.gateway.public_url;
    options.needs_key = authenticator_->has_keys();
    options.keep_alive = milliseconds(config.gateway.sse_keep_alive_ms);
    options.timeout = front_.request_timeout;
    METAMCP_ASSIGN_OR_RETURN(admin_, admin::AdminEdge::Create(executor_, std::move(options)));
    chain_.SetObserver(&admin_->observer());
    return absl::OkStatus();
  }

  Awaitable<absl::Status> Start(std::chrono::steady_clock::duration limit) override {
    tasks_.Spawn("catalog-watch", WatchCatalog());
    tasks_.Spawn("keep-alive", keep_alive_.Run());
    tasks_.Spawn("session-sweep", SweepSessions());
    if (!mirror_.ready()) {
      ready_.expires_after(limit);
      co_await ready_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    if (mirror_.ready()) co_return absl::OkStatus();
    co_return absl::UnavailableError("the catalog did not answer yet; the gateway keeps trying");
  }

  absl::StatusOr<std::string> Listen(const std::string& unix_path) override {
    METAMCP_ASSIGN_OR_RETURN(const http::HttpEndpoint endpoint, server_->ListenTcp(host_, port_));
    if (!unix_path.empty()) {
      auto socket = server_->ListenUnix(unix_path);
      if (!socket.ok()) return socket.status();
    }
    admin_->SetListenUrl(endpoint.ToString());
    return endpoint.ToString();
  }

  Awaitable<void> Stop(std::chrono::steady_clock::duration grace) override {
    stopping_ = true;
    hub_.Close();
    admin_->Close();
    sessions_.Clear();
    co_await server_->Stop(grace);
    tasks_.CancelAll();
    co_await hub_.Stop();
    co_await tasks_.Join(std::chrono::seconds(5));
  }

  v1::CallsService& calls() override { return calls_; }
  size_t connections() const override { return server_->connections(); }

 private:
  FrontDeps MakeFront(const config::Config& config) {
    FrontDeps front(executor_, mirror_, chain_, sessions_, hub_, deps_.keys);
    front.page_size = static_cast<size_t>(config.gateway.page_size);
    front.request_timeout =
        milliseconds(std::max(config.connector.hard_timeout_ms, config.gateway.request_timeout_ms));
    return front;
  }

  Awaitable<void> WatchCatalog() {
    milliseconds backoff{100};
    for (;;) {
      const CallContext ctx(nullptr, CallContext::Clock::now() + kWatchLifetime);
      catalog::v1::WatchCatalogRequest request;
      mirror_.StartOver();
      request.set_revision(mirror_.resume_revision());
      MirrorSink sink(mirror_, *admin_, ready_);
      auto watch = deps_.catalog.WatchCatalog(ctx, std::move(request), sink);
      const absl::Status status = co_await CatchStatus(std::move(watch));
      if (stopping_) co_return;
      Log(LogLevel::kWarning, "catalog.watch_ended",
          {{"error", std::string(status.message())}, {"retry_ms", backoff.count()}});
      const bool slept = co_await Sleep(backoff);
      if (!slept) co_return;
      backoff = std::min(backoff * 2, milliseconds(2000));
    }
  }

  Awaitable<void> SweepSessions() {
    // Not `while (co_await …)` with a temporary: GCC 12 compiles that to a trap.
    for (;;) {
      const std::chrono::seconds interval(30);
      const bool slept = co_await Sleep(interval);
      if (!slept) co_return;
      sessions_.Sweep(NowMicros());
    }
  }

  // In the words of whom the path belongs to: a problem for REST, a JSON-RPC error for MCP.
  Awaitable<void> Refuse(const http::HttpRequest& request, http::HttpResponder& responder,
                         const absl::Status& status) {
    if (admin_->Owns(request.path)) {
      http::HttpResponse problem = admin::MakeProblem(status);
      (void)co_await responder.Send(std::move(problem));
      co_return;
    }
    const WireError wire = ToWireError(status, mcp::Era::kModern);
    http::HttpResponse response(wire.http, "application/json",
                                jsonrpc::MakeErrorResponse(jsonrpc::Id(), wire.error));
    if (wire.http == 401) response.headers.Add("WWW-Authenticate", "Bearer realm=\"meta-mcp\"");
    (void)co_await responder.Send(std::move(response));
  }

  Awaitable<void> Serve(http::HttpRequest& request, http::HttpResponder& responder) {
    if (const absl::Status origin = origin_.Check(request); !origin.ok()) {
      co_await Refuse(request, responder, origin);
      co_return;
    }
    http::HttpHeaders cors;
    if (cors_) {
      if (http::OriginRule::IsPreflight(request)) {
        http::HttpResponse preflight = origin_.Preflight(request);
        (void)co_await responder.Send(std::move(preflight));
        co_return;
      }
      origin_.AddCors(request, cors);
    }
    std::string name;
    if (McpEndpoint::Match(request.path, &name)) {
      co_await endpoint_.Handle(request, responder, std::move(name), std::move(cors));
    } else if (IsHealth(request.path)) {
      co_await Health(request, responder);
    } else if (admin_->Owns(request.path)) {
      co_await Admin(request, responder);
    } else {
      const absl::Status status =
          MakeError("NOT_FOUND", "gateway",
                    StrCat("nothing is served at ", request.path,
                           "; MCP is at /mcp and /servers/{name}/mcp, the API at /api/v1"));
      co_await Refuse(request, responder, status);
    }
  }

  static bool IsHealth(std::string_view path) {
    return path == "/health" || path == "/healthz" || path == "/ready" || path == "/readyz";
  }

  Awaitable<void> Admin(http::HttpRequest& request, http::HttpResponder& responder) {
    auto principal = authenticator_->Authenticate(CredentialsOf(request));
    if (!principal.ok()) {
      co_await Refuse(request, responder, principal.status());
      co_return;
    }
    co_await admin_->Handle(request, responder, *std::move(principal));
  }

  Awaitable<void> Health(http::HttpRequest& request, http::HttpResponder& responder) {
    const bool catalog = mirror_.ready();
    const bool ready = catalog && !stopping_;
    const bool is_ready_path = request.path == "/ready" || request.path == "/readyz";
    json::ObjectWriter checks;
    checks.AddString("catalog", catalog ? "ok" : "loading");
    checks.AddString("gateway", stopping_ ? "stopping" : "ok");
    json::ObjectWriter body;
    body.AddString("status", ready ? "healthy" : "unready");
    if (is_ready_path) body.AddBool("ready", ready);
    body.Add("checks", std::move(checks).Build());
    body.AddString("version", kProgramVersion);
    body.AddInt("uptime_seconds", (NowMicros() - started_us_) / 1000000);
    body.AddInt("timestamp", NowMicros() / 1000000);
    http::HttpResponse response(is_ready_path && !ready ? 503 : 200, "application/json",
                                std::move(body).Build());
    (void)co_await responder.Send(std::move(response));
  }

  asio::any_io_executor executor_;
  GatewayDeps deps_;
  std::unique_ptr<auth::Authenticator> authenticator_;
  const std::string host_;
  const uint16_t port_;
  const http::OriginRule origin_;
  const bool cors_;
  const int64_t started_us_ = NowMicros();
  bool stopping_ = false;
  OneProvider providers_;
  CatalogMirror mirror_;
  CallChain chain_;
  SessionRegistry sessions_;
  SubscriptionHub hub_;
  TaskGroup tasks_;
  KeepAlive keep_alive_;
  FrontDeps front_;
  McpEndpoint endpoint_;
  GatewayCallsService calls_;
  std::unique_ptr<admin::AdminEdge> admin_;
  asio::steady_timer ready_;
  std::unique_ptr<http::HttpServer> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GatewayApp>> GatewayApp::Create(asio::any_io_executor executor,
                                                               const config::Config& config,
                                                               GatewayDeps deps) {
  METAMCP_ASSIGN_OR_RETURN(auto listen, SplitListen(config.gateway.listen));
  std::vector<auth::StaticKey> keys;
  for (const auto& key : config.auth.keys) {
    keys.push_back({key.name, key.key, key.tenant, key.roles});
  }
  if (keys.empty() && !IsLoopbackHost(listen.first)) {
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat("gateway.listen ", config.gateway.listen,
                            " can be reached from other machines but nobody needs a key: add "
                            "auth.keys, or listen on 127.0.0.1"));
  }
  METAMCP_ASSIGN_OR_RETURN(
      auto authenticator,
      auth::Authenticator::Create(keys, config.auth.anonymous_loopback, deps.keys));
  auto app = std::make_unique<GatewayAppImpl>(
      executor, config, std::move(deps), std::move(authenticator), listen.first, listen.second);
  METAMCP_RETURN_IF_ERROR(app->MakeAdmin(config));
  return std::unique_ptr<GatewayApp>(std::move(app));
}

}  // namespace metamcp::gateway
