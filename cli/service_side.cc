#include "cli/service_side.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/process/process.h"
#include "common/telemetry/log.h"
#include "metamcp/catalog/v1/directory_service.pb.h"

namespace metamcp::cli {
namespace {

constexpr std::chrono::milliseconds kLook{250};
constexpr std::chrono::milliseconds kLookAtStart{10};
constexpr std::chrono::hours kEndsSoon{7 * 24};

// Who joins the cluster does so as what its certificate says.
absl::Status CheckAnnounced(const std::vector<std::string>& roles,
                            const google::protobuf::Message& message) {
  const auto& request = static_cast<const catalog::v1::AnnounceRequest&>(message);
  for (const std::string& role : request.member().roles()) {
    if (std::find(roles.begin(), roles.end(), role) != roles.end()) continue;
    return MakeError("PERMISSION_DENIED", "catalog",
                     StrCat("the caller's certificate is for [", absl::StrJoin(roles, ", "),
                            "]; it cannot join as ", role));
  }
  return absl::OkStatus();
}

// Streams that last as long as their caller, who begins them again elsewhere.
std::vector<std::string> EndlessMethods() {
  return {"/metamcp.catalog.v1.CatalogService/WatchCatalog",
          "/metamcp.catalog.v1.CatalogService/WatchUpstreams",
          "/metamcp.access.v1.AccessService/WatchAccess",
          "/metamcp.catalog.v1.TaintService/WatchTaint",
          "/metamcp.audit.v1.AuditService/TailRecords",
          "/metamcp.provider.v1.ProviderService/Listen",
          "/metamcp.gateway.v1.EdgePeerService/Attach",
          "/metamcp.workflow.v1.WorkflowService/WatchRun"};
}

// The service of a role that says whether its process is ready.
std::string HealthService(const std::string& role) {
  if (role == "audit") return "metamcp.audit.v1.AuditService";
  return role == "catalog" ? "metamcp.catalog.v1.CatalogService"
                           : "metamcp.provider.v1.ProviderService";
}

}  // namespace

// Who may call what: everything that acts for clients comes from a gateway.
rpc::Callers CallersOfServices() {
  return {
      {"metamcp.access.v1.AccessService", {"gateway"}},
      {"metamcp.access.v1.ApprovalService", {"gateway"}},
      {"/metamcp.access.v1.ApprovalService/AskApproval", {"gateway", "workflow"}},
      {"/metamcp.access.v1.ApprovalService/DecideApproval", {"gateway", "workflow"}},
      {"/metamcp.access.v1.ApprovalService/GetApproval", {"gateway", "workflow"}},
      {"metamcp.audit.v1.AuditService", {"gateway"}},
      {"/metamcp.audit.v1.AuditService/QueryRecords", {"gateway", "ai"}},
      {"metamcp.telemetry.v1.TelemetryService", {"gateway"}},
      {"metamcp.catalog.v1.CatalogService", {"gateway"}},
      {"/metamcp.catalog.v1.CatalogService/Report", {"connector", "workflow"}},
      {"/metamcp.catalog.v1.CatalogService/RegisterProvider", {"workflow"}},
      {"/metamcp.catalog.v1.CatalogService/WatchCatalog", {"gateway", "workflow"}},
      {"/metamcp.catalog.v1.CatalogService/WatchUpstreams", {"connector"}},
      {"/metamcp.catalog.v1.CatalogService/ExplainItem", {"gateway", "workflow"}},
      {"/metamcp.catalog.v1.CatalogService/SearchItems", {"gateway", "ai"}},
      {"/metamcp.catalog.v1.CatalogService/ListUpstreams", {"gateway", "ai"}},
      {"metamcp.catalog.v1.DirectoryService", {"gateway"}},
      {"/metamcp.catalog.v1.DirectoryService/Announce", {"gateway", "connector", "workflow", "ai"}},
      {"/metamcp.catalog.v1.DirectoryService/TakeUpstreams", {"connector"}},
      {"metamcp.catalog.v1.QuotaService", {"gateway"}},
      {"/metamcp.catalog.v1.QuotaService/ExchangeLimits", {"gateway", "ai"}},
      {"metamcp.catalog.v1.PinService", {"gateway"}},
      {"metamcp.catalog.v1.TaintService", {"gateway"}},
      {"metamcp.provider.v1.ProviderService", {"gateway"}},
      {"metamcp.connector.v1.ConnectorService", {"gateway"}},
      {"metamcp.gateway.v1.CallsService", {"gateway", "workflow"}},
      {"metamcp.workflow.v1.WorkflowService", {"gateway"}},
      {"/metamcp.workflow.v1.WorkflowService/ValidateWorkflow", {"gateway", "ai"}},
      {"metamcp.ai.v1.AiService", {"gateway"}},
      {"metamcp.gateway.v1.EdgePeerService", {"gateway"}}};
}

ServiceSide::ServiceSide(boost::asio::io_context& io, const config::ServicesConfig& config)
    : io_(io), config_(config), tasks_(io.get_executor()) {}

absl::Status ServiceSide::Open(const std::set<std::string>& roles) {
  METAMCP_ASSIGN_OR_RETURN(tls_, process::OpenTlsBlocking(config_, roles));
  if (tls_ == nullptr) return absl::OkStatus();
  NoteEnd();
  WatchFiles();
  return absl::OkStatus();
}

void ServiceSide::NoteEnd() const {
  const auto left = tls_->not_after() - std::chrono::system_clock::now();
  const auto hours = std::chrono::duration_cast<std::chrono::hours>(left).count();
  Log(left < kEndsSoon ? LogLevel::kWarning : LogLevel::kInfo, "certificate.in_use",
      {{"file", tls_->files().certificate}, {"hours_left", static_cast<int64_t>(hours)}});
}

void ServiceSide::WatchFiles() {
  for (const std::string& path : tls_->files().paths()) {
    auto watcher = config::FileWatcher::Create(
        io_.get_executor(), path, config::FileWatcher::Options(), [this] { Reload(); });
    if (watcher.ok()) {
      watchers_.push_back(*std::move(watcher));
    } else {
      Log(LogLevel::kWarning, "certificate.not_watched",
          {{"file", path}, {"error", std::string(watcher.status().message())}});
    }
  }
}

// The files are small and local; they are read where the change is noticed. While one of them has
// been written and another has not, they do not fit: the next change brings the rest.
void ServiceSide::Reload() {
  const auto changed = tls_->ReloadBlocking();
  if (!changed.ok()) {
    Log(LogLevel::kWarning, "certificate.reload_failed",
        {{"error", std::string(changed.status().message())}, {"kept", "the one before"}});
  } else if (*changed) {
    NoteEnd();
  }
}

rpc::ChannelOptions ServiceSide::channel_options() const {
  rpc::ChannelOptions options;
  options.tls = tls_;
  options.allow_plaintext = config_.allow_plaintext;
  return options;
}

absl::StatusOr<std::shared_ptr<rpc::Channel>> ServiceSide::Dial(const std::string& role,
                                                                const std::string& targets) const {
  if (targets.empty()) {
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat("this process does not run ", role, ": set services.", role,
                            ".address to where it runs"));
  }
  rpc::ChannelOptions options = channel_options();
  options.roles = {role};
  options.health = HealthService(role);
  return rpc::Channel::Create(targets, std::move(options));
}

absl::Status ServiceSide::Listen(const std::vector<rpc::Service*>& services, OnRpc on_rpc) {
  if (config_.listen.empty()) return absl::OkStatus();
  rpc::GrpcServer::Options options;
  options.listen = config_.listen;
  options.tls = tls_;
  options.allow_plaintext = config_.allow_plaintext;
  options.callers = CallersOfServices();
  options.probe_listen = config_.probe_listen;
  options.reflection = config_.reflection;
  options.endless = EndlessMethods();
  options.checks = {{"/metamcp.catalog.v1.DirectoryService/Announce", CheckAnnounced}};
  if (on_rpc) {
    options.on_finished = [tell = std::move(on_rpc), endless = options.endless](
                              std::string_view method, absl::StatusCode code,
                              std::chrono::steady_clock::duration time) {
      tell(method, code, time, std::find(endless.begin(), endless.end(), method) != endless.end());
    };
  }
  METAMCP_ASSIGN_OR_RETURN(server_, rpc::GrpcServer::Create(io_.get_executor(), services, options));
  address_ = server_->address();
  return absl::OkStatus();
}

rpc::GrpcServer::Load ServiceSide::load() const {
  return server_ ? server_->load() : rpc::GrpcServer::Load();
}

std::string ServiceSide::advertised() const {
  if (!config_.advertise.empty()) return config_.advertise;
  const size_t colon = address_.rfind(':');
  const std::string host = address_.substr(0, colon);
  if (colon == std::string::npos || (host != "0.0.0.0" && host != "[::]")) return address_;
  char name[256] = "localhost";
  (void)::gethostname(name, sizeof(name) - 1);
  return StrCat(name, address_.substr(colon));
}

void ServiceSide::Follow(std::vector<rpc::Service*> services, std::function<bool()> ready) {
  if (server_ == nullptr || services.empty()) return;
  Followed followed;
  for (const rpc::Service* service : services) {
    followed.services.emplace_back(service->info().name());
  }
  followed.ready = std::move(ready);
  if (followed_.empty()) tasks_.Spawn("readiness", Readiness());
  followed_.push_back(std::move(followed));
  TellReadiness();
}

bool ServiceSide::TellReadiness() {
  bool all = true;
  for (const Followed& one : followed_) {
    const bool ready = one.ready();
    all = all && ready;
    for (const std::string& service : one.services) server_->SetReady(service, ready);
  }
  return all;
}

Awaitable<void> ServiceSide::Readiness() {
  for (;;) {
    const bool all = TellReadiness();
    const bool slept = co_await Sleep(all ? kLook : kLookAtStart);
    if (!slept) co_return;
  }
}

Awaitable<void> ServiceSide::NotReady() {
  watchers_.clear();
  tasks_.CancelAll();
  co_await tasks_.Join(std::chrono::seconds(1));
  if (server_ == nullptr) co_return;
  server_->NotReady();
  const auto delay = std::chrono::milliseconds(config_.drain_delay_ms);
  if (delay.count() > 0) co_await Sleep(delay);
}

Awaitable<void> ServiceSide::Refuse(std::chrono::milliseconds settling) {
  if (server_ == nullptr) co_return;
  server_->Refuse();
  co_await Sleep(settling);
}

Awaitable<void> ServiceSide::Stop(std::chrono::steady_clock::duration grace) {
  if (server_) co_await server_->Stop(grace);
}

}  // namespace metamcp::cli
