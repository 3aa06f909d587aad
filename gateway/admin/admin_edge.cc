#include "gateway/admin/admin_edge.h"

#include <map>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/version.h"
#include "common/telemetry/log.h"
#include "gateway/admin/catalog_watch.h"
#include "gateway/admin/connect_info.h"
#include "gateway/admin/extra_routes.h"
#include "gateway/admin/metrics.h"
#include "gateway/admin/openapi.h"
#include "gateway/admin/transcoder.h"
#include "gateway/protocol/results.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"

namespace metamcp::gateway::admin {
namespace {

using std::chrono::milliseconds;

Transcoder::Options TranscoderOptions(const AdminOptions& options) {
  Transcoder::Options out;
  out.timeout = options.timeout;
  return out;
}

CatalogWatch::Options WatchOptions(const AdminOptions& options) {
  CatalogWatch::Options out;
  out.keep_alive = options.keep_alive;
  return out;
}

class AdminEdgeImpl final : public AdminEdge {
 public:
  AdminEdgeImpl(boost::asio::any_io_executor executor, AdminOptions options,
                std::unique_ptr<Transcoder> transcoder)
      : options_(std::move(options)),
        transcoder_(std::move(transcoder)),
        watch_(std::move(executor), WatchOptions(options_)) {
    metrics_.AddCounters(options_.counters);
  }

  bool Owns(std::string_view path) const override {
    constexpr std::string_view kApi = "/api/v1";
    if (path == "/openapi.json" || path == "/metrics" || path == kApi) return true;
    return path.size() > kApi.size() && path.substr(0, kApi.size()) == kApi &&
           path[kApi.size()] == '/';
  }

  Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder,
                         std::shared_ptr<const Principal> principal) override {
    const ExtraMatch match = MatchExtra(request.method, request.path);
    if (match.allowed.empty()) {
      co_await transcoder_->Handle(request, responder, std::move(principal));
      co_return;
    }
    if (match.route == nullptr) {
      std::vector<std::string> allowed;
      allowed.emplace_back(match.allowed);
      co_await SendUnmatched(responder, request.method, request.path, std::move(allowed));
      co_return;
    }
    absl::Status status = CheckRole(principal.get(), match.route->role);
    if (status.ok() &&
        (!request.query.empty() || !(request.body.empty() || request.body == "{}"))) {
      status = MakeError("ARGUMENT_INVALID", "gateway",
                         StrCat(request.path, " takes no query and no body"));
    }
    if (!status.ok()) co_return co_await SendProblem(responder, std::move(status));
    if (match.route->id == Extra::kEvents) {
      co_return co_await watch_.Serve(responder, std::move(principal));
    }
    absl::StatusOr<std::string> body = "";
    if (match.route->id == Extra::kReload) {
      TraceContext trace = TraceOf(request);
      trace::Span span = BeginAdminSpan(match.route->method, match.route->path, trace);
      body = co_await Reload(std::move(trace));
      span.Fail(body.status());
    } else if (match.route->id == Extra::kConnect) {
      body = co_await Connect(std::string(match.name), request, std::move(principal));
    } else {
      body = Answer(*match.route, *principal);
    }
    if (!body.ok()) co_return co_await SendProblem(responder, body.status());
    const bool text = match.route->id == Extra::kMetrics;
    http::HttpResponse response(200, text ? "text/plain; version=0.0.4" : "application/json",
                                *std::move(body));
    (void)co_await responder.Send(std::move(response));
  }

  void OnCatalog(const catalog::v1::WatchCatalogResponse& message,
                 std::shared_ptr<const Snapshot> snapshot) override {
    watch_.Apply(message, std::move(snapshot));
  }
  void SetListenUrl(std::string url) override { listen_url_ = std::move(url); }
  CallObserver& observer() override { return metrics_; }
  std::string Operation(std::string_view method, std::string_view path) const override {
    const ExtraMatch extra = MatchExtra(method, path);
    if (extra.route != nullptr) return std::string(extra.route->path);
    const RouteMatch match = transcoder_->table().Match(method, path);
    return match.route != nullptr ? match.route->path : "";
  }
  void CloseWhere(const std::function<bool(const Principal&)>& who) override {
    watch_.CloseWhere(who);
  }
  void Close() override { watch_.Close(); }

 private:
  absl::StatusOr<std::string> Answer(const ExtraRoute& route, const Principal& who) {
    switch (route.id) {
      case Extra::kOpenApi:
        if (openapi_.empty()) openapi_ = MakeOpenApi(transcoder_->table(), ExtraRoutes());
        return openapi_;
      case Extra::kVersion:
        return Version();
      case Extra::kStatus:
        return StatusJson(who);
      case Extra::kMetrics:
        return metrics_.Text(MakeGauges());
      default:
        return absl::InternalError("no such endpoint");
    }
  }

  static std::string Version() {
    std::vector<std::string> revisions;
    for (const mcp::Revision revision : mcp::kRevisions) {
      revisions.push_back(json::JsonQuote(mcp::RevisionName(revision)));
    }
    json::ObjectWriter out;
    out.AddString("version", kProgramVersion).AddString("api", "v1");
    out.Add("protocolVersions", json::JoinArray(revisions));
    return std::move(out).Build();
  }

  std::string StatusJson(const Principal& who) const {
    int64_t total = 0;
    int64_t enabled = 0;
    int64_t reachable = 0;
    std::map<std::string, int64_t> states;
    for (const auto& [id, row] : watch_.upstreams()) {
      if (!auth::MaySee(who, row.ownership)) continue;
      ++total;
      enabled += row.enabled ? 1 : 0;
      reachable += row.reachable ? 1 : 0;
      ++states[row.state];
    }
    json::ObjectWriter by_state;
    for (const auto& [state, count] : states) by_state.AddInt(state, count);
    json::ObjectWriter counts;
    counts.AddInt("total", total);
    counts.AddInt("enabled", enabled).AddInt("reachable", reachable);
    counts.Add("byState", std::move(by_state).Build());
    json::ObjectWriter calls;
    calls.AddInt("total", static_cast<int64_t>(metrics_.calls()));
    calls.AddInt("failed", static_cast<int64_t>(metrics_.failures()));
    json::ObjectWriter out;
    out.AddString("version", kProgramVersion);
    out.AddInt("uptimeSeconds", (NowMicros() - started_us_) / 1'000'000);
    out.AddInt("revision", watch_.snapshot()->revision);
    out.Add("upstreams", std::move(counts).Build()).Add("servers", watch_.UpstreamsJson(who));
    out.Add("virtualServers", watch_.VirtualServersJson(who));
    out.AddInt("connections", static_cast<int64_t>(options_.connections()));
    out.AddInt("sessions", static_cast<int64_t>(options_.sessions()));
    out.AddInt("eventStreams", static_cast<int64_t>(watch_.subscribers()));
    out.Add("calls", std::move(calls).Build());
    return std::move(out).Build();
  }

  // What was just made may not be in the snapshot yet; then the catalog knows.
  Awaitable<absl::Status> CheckExists(std::string name,
                                      std::shared_ptr<const Principal> principal) const {
    const auto view = watch_.snapshot()->Find(name);
    if (view != nullptr && auth::MaySee(*principal, view->ownership())) co_return absl::OkStatus();
    if (options_.catalog == nullptr) {
      co_return MakeError("NOT_FOUND", "gateway",
                          StrCat("no virtual server \"", name.substr(0, 64), "\""));
    }
    const CallContext ctx(std::move(principal), CallContext::Clock::now() + options_.timeout);
    catalog::v1::GetVirtualServerRequest request;
    request.set_name(std::move(name));
    auto found = options_.catalog->GetVirtualServer(ctx, std::move(request));
    const auto response = co_await CatchStatus(std::move(found));
    co_return response.status();
  }

  Awaitable<absl::StatusOr<std::string>> Connect(std::string name, const http::HttpRequest& request,
                                                 std::shared_ptr<const Principal> principal) const {
    METAMCP_CO_RETURN_IF_ERROR(co_await CheckExists(name, std::move(principal)));
    ConnectTarget target;
    target.virtual_server = std::move(name);
    METAMCP_CO_ASSIGN_OR_RETURN(target.base_url,
                                BaseUrl(options_.public_url, listen_url_, request));
    target.needs_key = options_.needs_key && options_.needs_key();
    co_return ConnectInfo(target);
  }

  Gauges MakeGauges() const {
    Gauges gauges;
    for (const auto& [id, row] : watch_.upstreams()) {
      Gauges::Upstream upstream;
      upstream.name = row.name;
      upstream.state = row.state;
      upstream.enabled = row.enabled;
      upstream.reachable = row.reachable;
      gauges.upstreams.push_back(std::move(upstream));
    }
    gauges.connections = options_.connections();
    gauges.sessions = options_.sessions();
    gauges.event_streams = watch_.subscribers();
    if (options_.audit) gauges.audit = options_.audit();
    if (options_.measure) options_.measure(gauges);
    return gauges;
  }

  Awaitable<absl::StatusOr<std::string>> Reload(TraceContext trace) {
    if (!options_.reload) {
      co_return MakeError("OBJECT_READ_ONLY", "gateway",
                          "this gateway was started without a configuration file to read again");
    }
    auto reload = options_.reload(std::move(trace));
    auto changes = co_await CatchStatus(std::move(reload));
    Log(changes.ok() ? LogLevel::kInfo : LogLevel::kWarning, "config.reload_requested",
        {{"ok", changes.ok()}});
    co_return changes;
  }

  const AdminOptions options_;
  const std::unique_ptr<Transcoder> transcoder_;
  const int64_t started_us_ = NowMicros();
  CatalogWatch watch_;
  Metrics metrics_;
  std::string listen_url_;
  std::string openapi_;  // made when first asked for
};

}  // namespace

absl::StatusOr<std::unique_ptr<AdminEdge>> AdminEdge::Create(boost::asio::any_io_executor executor,
                                                             AdminOptions options) {
  METAMCP_ASSIGN_OR_RETURN(auto transcoder,
                           Transcoder::Create(options.services, TranscoderOptions(options)));
  return std::unique_ptr<AdminEdge>(std::make_unique<AdminEdgeImpl>(
      std::move(executor), std::move(options), std::move(transcoder)));
}

}  // namespace metamcp::gateway::admin
