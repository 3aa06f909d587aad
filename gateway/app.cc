#include "gateway/app.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/async/task_group.h"
#include "common/auth/authenticator.h"
#include "common/auth/challenge.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/policy_rules.h"
#include "common/http/origin.h"
#include "common/json/splice.h"
#include "common/telemetry/log.h"
#include "gateway/access/gateway_access.h"
#include "gateway/admin/admin_edge.h"
#include "gateway/admin/header_responder.h"
#include "gateway/admin/metrics.h"
#include "gateway/admin/problem.h"
#include "gateway/app_options.h"
#include "gateway/audit/gateway_audit.h"
#include "gateway/auth/access_edge.h"
#include "gateway/auth/access_mirror.h"
#include "gateway/auth/edge_auth.h"
#include "gateway/auth/edge_listener.h"
#include "gateway/calls_service.h"
#include "gateway/gateway_guards.h"
#include "gateway/hook_edge.h"
#include "gateway/login/login_edge.h"
#include "gateway/models/model_edge.h"
#include "gateway/models/suggest_gate.h"
#include "gateway/protocol/error_map.h"
#include "gateway/protocol/results.h"
#include "gateway/session_upkeep.h"
#include "gateway/tool_search.h"
#include "gateway/transport/edge_peer_service.h"
#include "gateway/transport/mcp_endpoint.h"
#include "gateway/transport/sse_endpoint.h"
#include "gateway/transport/ws_endpoint.h"

namespace metamcp::gateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr std::chrono::hours kWatchLifetime{12};

// Connectors serve every upstream but those of our own services.
class AllProviders final : public ProviderDirectory {
 public:
  explicit AllProviders(const GatewayDeps& deps) : deps_(deps) {}
  provider::v1::ProviderService* Find(const UpstreamInfo& upstream) override {
    if (upstream.service.empty()) return &deps_.provider;
    const auto it = deps_.providers.find(upstream.service);
    return it == deps_.providers.end() ? nullptr : it->second;
  }

 private:
  const GatewayDeps& deps_;
};

class MirrorSink final : public Sink<catalog::v1::WatchCatalogResponse> {
 public:
  using Taken = std::function<void(const catalog::v1::WatchCatalogResponse&)>;
  MirrorSink(CatalogMirror& mirror, Taken taken) : mirror_(mirror), taken_(std::move(taken)) {}
  Awaitable<absl::Status> Write(catalog::v1::WatchCatalogResponse message) override {
    mirror_.Apply(message);
    taken_(message);
    co_return absl::OkStatus();
  }

 private:
  CatalogMirror& mirror_;
  const Taken taken_;
};

absl::Status CheckListen(const config::Config& config, const std::string& host) {
  return CheckReach(config, host, "gateway.listen", config.gateway.listen);
}

class GatewayAppImpl final : public GatewayApp {
 public:
  GatewayAppImpl(asio::any_io_executor executor, const config::Config& config, GatewayDeps deps,
                 std::unique_ptr<auth::Authenticator> authenticator,
                 std::shared_ptr<const policy::Policy> policy, std::string host, uint16_t port)
      : executor_(executor),
        deps_(std::move(deps)),
        authenticator_(std::move(authenticator)),
        host_(std::move(host)),
        port_(port),
        origin_(OriginOptionsOf(config, IsLoopbackHost(host_))),
        cors_(!config.gateway.cors.origins.empty()),
        providers_(deps_),
        suggest_(deps_.ai == nullptr ? nullptr : std::make_unique<SuggestGate>(*deps_.ai, mirror_)),
        tool_search_(deps_.catalog, suggest_.get()),
        access_(mirror_, std::move(policy), deps_.approvals, deps_.audit_log, config.policy),
        chain_(providers_, deps_.keys, ChainOptions(config)),
        guards_(executor, config, deps_),
        sessions_(executor, deps_.keys, SessionOptions(config, deps_.peers)),
        upkeep_(sessions_, deps_.peers),
        hub_(executor, mirror_, providers_),
        tasks_(executor),
        auth_(executor, config, deps_.keys, IsLoopbackHost(host_), deps_.edge.paths, tasks_),
        listener_(executor, deps_.keys, *authenticator_,
                  [this](std::string_view method) {
                    CloseWhere([method](const Principal& who) {
                      return who.method.compare(0, method.size(), method) == 0;
                    });
                  }),
        tls_(config.gateway.tls),
        keep_alive_(tasks_, milliseconds(config.gateway.sse_keep_alive_ms)),
        front_(MakeFront(config)),
        endpoint_(front_, *authenticator_, tasks_, keep_alive_,
                  EndpointOptions(config, deps_.edge)),
        duplex_(front_, endpoint_.modern(), endpoint_.legacy(), tasks_, DuplexOptions(config)),
        sse_(duplex_, *authenticator_, deps_.edge.paths),
        ws_(duplex_, *authenticator_),
        login_(deps_.connector, *authenticator_, deps_.keys, config.gateway.public_url),
        hooks_(deps_.workflows),
        models_(ModelDeps(config)),
        edge_peer_(front_, endpoint_.legacy(), endpoint_, duplex_),
        calls_(front_, login_, deps_.connector, *authenticator_),
        ready_(executor, asio::steady_timer::time_point::max()),
        server_(http::HttpServer::Create(
            executor,
            [this](http::HttpRequest& request, http::HttpResponder& responder) {
              return Serve(request, responder);
            },
            ServerOptions(config))) {
    authenticator_->SetTokens(&auth_.tokens());
    if (deps_.access != nullptr) {
      access_mirror_ = std::make_unique<AccessMirror>(
          *deps_.access, deps_.keys, [this](const AccessMirror::Gone& gone) { End(gone); });
      authenticator_->SetAccess(access_mirror_.get());
      access_edge_ = std::make_unique<AccessEdge>(*deps_.access, deps_.keys);
    }
    chain_.AddStage(&auth_);
    if (suggest_) suggest_->SetFilter(&access_.guard());
  }

  // Before Start. Errors: a service whose http options make no sense.
  absl::Status MakeAdmin(const config::Config& config) {
    admin::AdminOptions options;
    options.services = {&deps_.catalog, &deps_.connector, &calls_, &guards_.limits()};
    access_.Join(chain_, options.services);
    options.services.insert(options.services.end(), deps_.services.begin(), deps_.services.end());
    if (access_edge_) options.services.push_back(access_edge_.get());
    if (suggest_) options.services.push_back(suggest_.get());
    options.catalog = &deps_.catalog;
    options.reload = deps_.reload;
    options.connections = [this] { return server_->connections(); };
    options.sessions = [this] { return sessions_.List().size(); };
    if (const AuditRecorder* recorder = deps_.audit) {
      options.audit = [recorder] {
        return admin::Gauges::Audit{recorder->waiting(), recorder->spooled_bytes()};
      };
    }
    for (const std::string& text : config.telemetry.counters) {
      METAMCP_ASSIGN_OR_RETURN(config::CounterRule rule, config::ParseCounterRule(text));
      options.counters.push_back(std::move(rule));
    }
    options.measure = [this](admin::Gauges& gauges) { guards_.Measure(gauges); };
    options.public_url = config.gateway.public_url;
    options.needs_key = [this] { return authenticator_->has_keys(); };
    options.keep_alive = milliseconds(config.gateway.sse_keep_alive_ms);
    options.timeout = front_.request_timeout;
    METAMCP_ASSIGN_OR_RETURN(admin_, admin::AdminEdge::Create(executor_, std::move(options)));
    chain_.SetObserver(&admin_->observer());
    chain_.SetLogins(&login_);
    if (deps_.audit != nullptr) {
      audit_ = std::make_unique<GatewayAudit>(*deps_.audit, AuditOptions(config), chain_,
                                              *authenticator_);
    }
    guards_.Join(chain_, mirror_);
    access_.SetCause(&guards_.taint());
    chain_.SetBuiltins(&tool_search_);
    return listener_.SetConfig(config.auth);
  }

  Awaitable<absl::Status> Start(std::chrono::steady_clock::duration limit) override {
    tasks_.Spawn("catalog-watch", WatchCatalog());
    tasks_.Spawn("keep-alive", keep_alive_.Run());
    tasks_.Spawn("limits", guards_.limits().Run());
    tasks_.Spawn("taint", guards_.taint().Follow());
    tasks_.Spawn("taint-report", guards_.taint().Report());
    tasks_.Spawn("expiry", EndExpired());
    if (access_mirror_) {
      tasks_.Spawn("access", access_mirror_->Follow());
      tasks_.Spawn("access-seen", access_mirror_->Report());
    }
    auto upkeep = upkeep_.Start(tasks_);
    co_await std::move(upkeep);
    if (!mirror_.ready()) {
      ready_.expires_after(limit);
      co_await ready_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    if (mirror_.ready()) co_return absl::OkStatus();
    co_return absl::UnavailableError("the catalog did not answer yet; the gateway keeps trying");
  }

  absl::StatusOr<std::string> Listen(const std::string& unix_path) override {
    METAMCP_ASSIGN_OR_RETURN(const http::HttpEndpoint endpoint,
                             listener_.Listen(*server_, host_, port_, tls_));
    if (!unix_path.empty()) {
      auto socket = server_->ListenUnix(unix_path);
      if (!socket.ok()) return socket.status();
    }
    admin_->SetListenUrl(endpoint.ToString());
    login_.SetListenUrl(endpoint.ToString());
    auth_.SetListenUrl(endpoint.ToString());
    return endpoint.ToString();
  }

  bool ready() const override { return mirror_.ready() && !ending_; }
  void NotReady() override { ending_ = true; }

  Awaitable<void> Stop(std::chrono::steady_clock::duration grace) override {
    stopping_ = ending_ = true;
    listener_.Stop();
    duplex_.Drain();
    endpoint_.Drain();
    hub_.Close();
    admin_->Close();
    co_await server_->Stop(grace);
    sessions_.Clear();
    tasks_.CancelAll();
    co_await hub_.Stop();
    co_await tasks_.Join(std::chrono::seconds(5));
    co_await guards_.limits().Stop();
  }

  absl::Status SetKeys(const config::Config& config) override {
    METAMCP_RETURN_IF_ERROR(CheckListen(config, host_));
    METAMCP_RETURN_IF_ERROR(listener_.SetConfig(config.auth));
    METAMCP_ASSIGN_OR_RETURN(
        const auto gone, authenticator_->SetKeys(KeysOf(config), config.auth.anonymous_loopback));
    End(gone);
    if (auth_.SetConfig(config)) {
      // Each token must hold under the new rules.
      CloseWhere([](const Principal& who) { return !who.issuer.empty(); });
      Log(LogLevel::kInfo, "auth.tokens_changed", {});
    }
    return absl::OkStatus();
  }

  void SetGuards(const config::Config& config) override { guards_.SetConfig(config); }

  absl::Status SetPolicy(const config::Config& config) override {
    METAMCP_ASSIGN_OR_RETURN(auto policy,
                             config::CompilePolicy(config.policy, IsLoopbackHost(host_)));
    if (access_.Set(std::move(policy), config.policy)) {
      hub_.CheckRights(front_.filter, mirror_.snapshot(), true);
      hub_.AllChanged();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<DuplexConnection>> OpenLocal(std::string transport) override {
    auth::Credentials own;
    own.unix_socket = true;
    METAMCP_ASSIGN_OR_RETURN(auto principal, authenticator_->Authenticate(own));
    METAMCP_ASSIGN_OR_RETURN(auto opened,
                             duplex_.Open(std::move(transport), "default", std::move(principal)));
    return opened.connection;
  }
  std::shared_ptr<const ServerView> View() const override {
    return mirror_.snapshot()->Find("default");
  }

  v1::CallsService& calls() override { return calls_; }
  v1::EdgePeerService& edge_peer() override { return edge_peer_; }
  size_t connections() const override { return server_->connections(); }

 private:
  // Ends what they hold open.
  void CloseWhere(const std::function<bool(const Principal&)>& who) {
    duplex_.CloseWhere(who);
    hub_.CloseWhere(who);
    endpoint_.CloseWhere(who);
    admin_->CloseWhere(who);
  }

  // Ends what is open of those whose credential is gone, and of whoever has no method: of somebody
  // who is kept out from now on.
  void End(const std::vector<std::shared_ptr<const Principal>>& gone) {
    for (const auto& principal : gone) {
      CloseWhere([&principal](const Principal& who) {
        const bool all = principal->method.empty() && who.subject == principal->subject;
        return all || &who == principal.get();
      });
      for (const auto& session : sessions_.List()) {
        const bool theirs =
            session->tenant == principal->tenant && session->subject == principal->subject;
        if (theirs) sessions_.Remove(session);
      }
      Log(LogLevel::kInfo, "auth.key_gone", {{"subject", principal->subject}});
    }
  }

  // Streams of tokens end with them.
  Awaitable<void> EndExpired() {
    for (;;) {
      const bool slept = co_await Sleep(std::chrono::seconds(1));
      if (!slept) co_return;
      const int64_t now = NowMicros();
      CloseWhere(
          [now](const Principal& who) { return who.expires_us > 0 && who.expires_us <= now; });
    }
  }

  ModelEdge::Deps ModelDeps(const config::Config& config) {
    ModelEdge::Deps out(access_.guard(), guards_.limits(), *authenticator_);
    out.ai = deps_.ai;
    out.audit = deps_.audit;
    out.on = config.ai.chat_api;
    out.timeout = milliseconds(config.gateway.request_timeout_ms);
    return out;
  }

  FrontDeps MakeFront(const config::Config& config) {
    FrontDeps front(executor_, mirror_, chain_, sessions_, hub_, deps_.keys);
    front.tasks = &tasks_;
    front.peers = deps_.peers;
    front.filter = &access_.guard();
    front.preparer = &access_.guard();
    front.page_size = static_cast<size_t>(config.gateway.page_size);
    front.first_list_wait = milliseconds(config.gateway.first_list_wait_ms);
    front.ask_timeout = milliseconds(config.connector.question_timeout_ms);
    front.request_timeout = milliseconds(config.gateway.request_timeout_ms);
    return front;
  }

  // The mirror has taken `message`.
  void OnCatalog(const catalog::v1::WatchCatalogResponse& message) {
    admin_->OnCatalog(message, mirror_.snapshot());
    if (audit_) audit_->OnCatalog(message);
    if (message.end()) {
      guards_.taint().OnSnapshot(*mirror_.snapshot());
      hub_.CheckRights(front_.filter, mirror_.snapshot(), false);
    }
    if (mirror_.ready()) ready_.cancel();
  }

  Awaitable<void> WatchCatalog() {
    milliseconds backoff{100};
    for (;;) {
      const CallContext ctx(nullptr, CallContext::Clock::now() + kWatchLifetime);
      catalog::v1::WatchCatalogRequest request;
      mirror_.StartOver();
      request.set_revision(mirror_.resume_revision());
      MirrorSink sink(mirror_, [this](const auto& message) { OnCatalog(message); });
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
    if (wire.http == 401) response.headers.Add("WWW-Authenticate", auth::kPlainChallenge);
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
    if (auto route = MatchEdge(request.path, deps_.edge.paths)) {
      co_await ServeMcp(request, responder, *std::move(route), std::move(cors));
      co_return;
    }
    admin::HeaderResponder answer(responder, std::move(cors));
    if (IsHealth(request.path)) {
      co_await Health(request, answer);
    } else if (EdgeAuth::Owns(request.path)) {
      co_await auth_.Handle(request, answer, mirror_);
    } else if (deps_.edge.rest && LoginEdge::Owns(request.path)) {
      if (audit_) {
        co_await audit_->Login(login_, request, responder);
      } else {
        co_await login_.Handle(request, responder);
      }
    } else if (deps_.edge.rest && ModelEdge::Owns(request.path)) {
      co_await models_.Handle(request, answer);
    } else if (deps_.edge.rest && HookEdge::Owns(request.path)) {
      co_await hooks_.Handle(request, answer);
    } else if (deps_.edge.rest && admin_->Owns(request.path)) {
      co_await Admin(request, answer);
    } else {
      const absl::Status status =
          MakeError("NOT_FOUND", "gateway",
                    StrCat("nothing is served at ", request.path,
                           "; MCP is at /mcp, /sse and /ws and below /servers/{name}, the API "
                           "at /api/v1"));
      co_await Refuse(request, answer, status);
    }
  }

  Awaitable<void> ServeMcp(http::HttpRequest& request, http::HttpResponder& responder,
                           EdgeRoute route, http::HttpHeaders cors) {
    std::string name = std::move(route.virtual_server);
    switch (route.kind) {
      case EdgeKind::kMcp:
        co_await endpoint_.Handle(request, responder, std::move(name), std::move(cors));
        break;
      case EdgeKind::kSse:
        co_await sse_.HandleStream(request, responder, std::move(name), std::move(cors));
        break;
      case EdgeKind::kMessages:
        co_await sse_.HandleMessage(request, responder, std::move(name), std::move(cors));
        break;
      case EdgeKind::kWs:
        co_await ws_.Handle(request, responder, std::move(name), std::move(cors));
        break;
    }
  }

  static bool IsHealth(std::string_view path) {
    return path == "/health" || path == "/healthz" || path == "/ready" || path == "/readyz";
  }

  Awaitable<void> Admin(http::HttpRequest& request, http::HttpResponder& responder) {
    auth::Credentials credentials = CredentialsOf(request);
    credentials.passwords = true;
    auto admitting = authenticator_->Admit(credentials);
    auto principal = co_await std::move(admitting);
    if (!principal.ok()) {
      co_await Refuse(request, responder, principal.status());
      co_return;
    }
    const AdmittedRequest admitted(guards_.limits(), **principal);
    if (!admitted.status().ok()) {
      co_await Refuse(request, responder, admitted.status());
      co_return;
    }
    if (audit_) {
      co_await audit_->Admin(*admin_, request, responder, *std::move(principal));
    } else {
      co_await admin_->Handle(request, responder, *std::move(principal));
    }
  }

  Awaitable<void> Health(http::HttpRequest& request, http::HttpResponder& responder) {
    const bool catalog = mirror_.ready();
    const bool ready = catalog && !ending_;
    const bool is_ready_path = request.path == "/ready" || request.path == "/readyz";
    json::ObjectWriter checks;
    checks.AddString("catalog", catalog ? "ok" : "loading");
    checks.AddString("gateway", ending_ ? "stopping" : "ok");
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
  std::unique_ptr<GatewayAudit> audit_;
  const std::string host_;
  const uint16_t port_;
  const http::OriginRule origin_;
  const bool cors_;
  const int64_t started_us_ = NowMicros();
  bool stopping_ = false;
  bool ending_ = false;  // said to be, at least
  AllProviders providers_;
  CatalogMirror mirror_;
  std::unique_ptr<SuggestGate> suggest_;
  ToolSearch tool_search_;
  GatewayAccess access_;
  CallChain chain_;
  GatewayGuards guards_;
  SessionRegistry sessions_;
  SessionUpkeep upkeep_;
  SubscriptionHub hub_;
  TaskGroup tasks_;
  EdgeAuth auth_;
  EdgeListener listener_;
  const config::GatewayTlsConfig tls_;
  std::unique_ptr<AccessMirror> access_mirror_;
  std::unique_ptr<AccessEdge> access_edge_;
  KeepAlive keep_alive_;
  FrontDeps front_;
  McpEndpoint endpoint_;
  DuplexFront duplex_;
  SseEndpoint sse_;
  WsEndpoint ws_;
  LoginEdge login_;
  HookEdge hooks_;
  ModelEdge models_;
  EdgePeerServiceImpl edge_peer_;
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
  METAMCP_RETURN_IF_ERROR(CheckListen(config, listen.first));
  METAMCP_ASSIGN_OR_RETURN(
      auto authenticator,
      auth::Authenticator::Create(KeysOf(config), config.auth.anonymous_loopback, deps.keys));
  METAMCP_ASSIGN_OR_RETURN(auto policy,
                           config::CompilePolicy(config.policy, IsLoopbackHost(listen.first)));
  auto app =
      std::make_unique<GatewayAppImpl>(executor, config, std::move(deps), std::move(authenticator),
                                       std::move(policy), listen.first, listen.second);
  METAMCP_RETURN_IF_ERROR(app->MakeAdmin(config));
  return std::unique_ptr<GatewayApp>(std::move(app));
}

std::string ClientMetadataUrl(const std::string& public_url) {
  return LoginEdge::MetadataUrl(public_url);
}

}  // namespace metamcp::gateway
