#include "cli/suite.h"

#include <cstdlib>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "cli/apply_config.h"
#include "cli/provider_choice.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "common/telemetry/trace.h"
#include "gateway/app_options.h"

namespace metamcp::cli {
namespace {

namespace asio = boost::asio;

// How long a start waits for the catalog of another process before it listens all the same.
constexpr std::chrono::milliseconds kCatalogWait{500};
// Until the others name the new owner of what was handed over, they ask the old one.
constexpr std::chrono::milliseconds kSettling{2000};

// Only this machine is served, and by this process alone.
bool IsAlone(const config::Config& config) {
  const auto listen = gateway::SplitListen(config.gateway.listen);
  return config.services.listen.empty() && listen.ok() && gateway::IsLoopbackHost(listen->first);
}

// Names where the file says the setting that an error is about.
absl::Status WithPlace(const absl::Status& status,
                       const std::map<std::string, config::ConfigOrigin>& origins) {
  const auto info = GetErrorInfo(status);
  if (!info || info->metadata.count("setting") == 0) return status;
  const auto origin = origins.find(info->metadata.at("setting"));
  if (origin == origins.end() || origin->second.detail.empty()) return status;
  return WithErrorInfo(
      absl::Status(status.code(), Av(StrCat(origin->second.detail, ": ", Sv(status.message())))),
      *info);
}

}  // namespace

Suite::Suite(asio::io_context& io, const ServeOptions& options, process::Ground& ground)
    : Suite(io, options, ground, SuiteEdge()) {}

Suite::Suite(asio::io_context& io, const ServeOptions& options, process::Ground& ground,
             SuiteEdge edge)
    : io_(io),
      options_(options),
      ground_(ground),
      edge_(std::move(edge)),
      side_(io, ground.loaded.config.services),
      metrics_(io.get_executor(), *ground.keys),
      reload_lock_(io.get_executor()),
      tasks_(io.get_executor()),
      lease_tasks_(io.get_executor()) {}

Suite::~Suite() = default;

CallContext Suite::SystemContext() {
  auto who = std::make_shared<Principal>();
  who->subject = "meta-mcp";
  who->kind = "service";
  who->roles = {"admin"};
  who->method = "internal";
  return CallContext(std::move(who), CallContext::Clock::now() + std::chrono::seconds(30));
}

catalog::PinPolicy Suite::PinsOf(const config::CatalogConfig& catalog,
                                 const config::Config& where) {
  return catalog::MakePinPolicy(catalog.pins, catalog.new_tools, IsAlone(where));
}

Awaitable<absl::Status> Suite::StartCatalog() {
  if (!Here("catalog")) {
    auto channel = side_.Dial("catalog", ground_.loaded.config.services.catalog.address);
    if (!channel.ok()) co_return channel.status();
    catalog_ = catalog::v1::MakeCatalogServiceClient(*channel);
    access_ = access::v1::MakeAccessServiceClient(*channel);
    approvals_ = access::v1::MakeApprovalServiceClient(*channel);
    directory_ = catalog::v1::MakeDirectoryServiceClient(*channel);
    quotas_ = catalog::v1::MakeQuotaServiceClient(*channel);
    taint_ = catalog::v1::MakeTaintServiceClient(*channel);
    pins_ = catalog::v1::MakePinServiceClient(*std::move(channel));
    co_return absl::OkStatus();
  }
  // Named first: GCC 12 frees a default argument of a co_await expression twice.
  catalog::RegistryOptions options;
  const config::CatalogConfig& config = ground_.loaded.config.catalog;
  options.pins = PinsOf(config, ground_.loaded.config);
  // Only such a database has other writers.
  if (ground_.database->backend() == db::Backend::kPostgres) {
    options.follow = std::chrono::seconds(1);
  }
  auto create = catalog::CatalogApp::Create(io_.get_executor(), *ground_.database_executor,
                                            std::move(options));
  auto app = co_await std::move(create);
  if (!app.ok()) co_return app.status();
  catalog_app_ = *std::move(app);
  catalog_ = catalog::v1::MakeCatalogServiceDirect(catalog_app_->service());
  directory_ = catalog::v1::MakeDirectoryServiceDirect(catalog_app_->directory());
  quotas_ = catalog::v1::MakeQuotaServiceDirect(catalog_app_->quotas());
  pins_ = catalog::v1::MakePinServiceDirect(catalog_app_->pins());
  const bool shared = ground_.database->backend() == db::Backend::kPostgres;
  access_ = access::v1::MakeAccessServiceDirect(
      catalog_app_->MakeAccess(ground_.loaded.config.auth.key_max_age_days, shared));
  taint_ = catalog::v1::MakeTaintServiceDirect(catalog_app_->MakeTaint(shared));
  approvals_ = access::v1::MakeApprovalServiceDirect(catalog_app_->approvals());
  catalog_app_->SetSelfApproval(ground_.loaded.config.policy.self_approval);
  auto apply = ApplyConfig(ground_.loaded.config, TraceContext());
  co_return co_await std::move(apply);
}

Awaitable<absl::Status> Suite::ApplyConfig(const config::Config& config, TraceContext trace) {
  if (config.mcp_servers.size() > static_cast<size_t>(config.limits.servers_max)) {
    co_return MakeError("CONFIG_INVALID", "gateway",
                        StrCat("mcpServers has ", config.mcp_servers.size(),
                               " entries; limits.serversMax is ", config.limits.servers_max));
  }
  CallContext ctx = SystemContext();
  ctx.trace = std::move(trace);
  auto request = ToApplyConfig(config);
  auto response = co_await catalog_->ApplyConfig(ctx, std::move(request));
  co_return response.status();
}

absl::Status Suite::StartConnector() {
  const config::Config& config = ground_.loaded.config;
  if (!Here("connector")) {
    const std::string& address = config.services.connector.address;
    // In a cluster connectors find their gateways; an address is for what is not part of one.
    const bool found = address.empty() && cluster_->members().clustered();
    if (!Here("gateway") || found) return absl::OkStatus();
    METAMCP_ASSIGN_OR_RETURN(auto channel, side_.Dial("connector", address));
    connector_.provider = provider::v1::MakeProviderServiceClient(channel);
    connector_.connector = connector::v1::MakeConnectorServiceClient(channel);
    return absl::OkStatus();
  }
  http::HttpClientOptions client;
  // An upstream is one host: each legacy session may hold a stream beside its calls, and busy
  // upstreams are called from as many connections as there are calls.
  client.connections_per_host_max = 4096;
  client.waiters_per_host_max = 4096;
  client.idle_per_host_max = 256;
  client.environment = [](const char* name) { return static_cast<const char*>(::getenv(name)); };
  http_client_ = http::NewHttpClient(io_.get_executor(), client);
  connector::AppOptions app;
  app.connector = config.connector;
  app.sandbox = config.sandbox;
  app.cache = config.cache;
  app.cache_database = ground_.database_executor.get();
  app.machine = connector::sandbox::ProbeBlocking(connector::sandbox::CgroupUse::kUse);
  Log(LogLevel::kInfo, "sandbox.probed",
      {{"profile", config.sandbox.profile}, {"enforces", Describe(app.machine)}});
  app.catalog = config.catalog;
  app.environment = ground_.load_options.env;
  app.result_bytes_max = static_cast<size_t>(config.limits.result_bytes_max);
  app.queued_calls_max = static_cast<size_t>(config.limits.queue_max);
  if (config.auth.token_store != "memory") app.database = ground_.database_executor.get();
  app.client_metadata_url = config.auth.client_metadata_url.empty()
                                ? gateway::ClientMetadataUrl(config.gateway.public_url)
                                : config.auth.client_metadata_url;
  app.items_per_upstream_max = static_cast<size_t>(config.limits.tools_per_server_max);
  app.members = &cluster_->members();
  app.directory = directory_.get();
  connector_app_ = std::make_unique<connector::App>(io_.get_executor(), *catalog_, *http_client_,
                                                    *ground_.keys, std::move(app));
  connector_.provider = provider::v1::MakeProviderServiceDirect(connector_app_->provider());
  connector_.connector = connector::v1::MakeConnectorServiceDirect(connector_app_->connector());
  return absl::OkStatus();
}

Awaitable<absl::Status> Suite::StartGateway() {
  if (!Here("gateway")) co_return absl::OkStatus();
  absl::Status opened = co_await OpenGateway();
  if (!gateway_ || !options_.on_demand || !absl::IsUnavailable(opened)) co_return opened;
  // Who starts it on demand needs only the socket; the port may be another gateway's, for example
  // another user's.
  Log(LogLevel::kWarning, "gateway.port_taken", {{"error", std::string(opened.message())}});
  co_await gateway_->Stop(std::chrono::seconds(0));
  gateway_.reset();
  ground_.loaded.config.gateway.listen = "127.0.0.1:0";
  co_return co_await OpenGateway();
}

Awaitable<absl::Status> Suite::OpenGateway() {
  provider::v1::ProviderService* provider = connector_.provider.get();
  connector::v1::ConnectorService* connector = connector_.connector.get();
  if (cluster_->members().clustered()) {
    gateway::Connectors& all = cluster_->MakeConnectors(connector_, connector_app_ != nullptr);
    provider = &all;
    connector = &all;
  }
  gateway::GatewayDeps deps(*catalog_, *provider, *connector, *ground_.keys);
  deps.peers = &cluster_->edge_peers();
  deps.quotas = quotas_.get();
  deps.taint = taint_.get();
  deps.services.push_back(pins_.get());
  deps.gateways = [this] { return cluster_->members().With("gateway").size(); };
  deps.reload = [this](TraceContext trace) { return Reload(std::move(trace)); };
  if (workflow_) {
    deps.services.push_back(workflow_.get());
    deps.workflows = workflow_.get();
    deps.providers["workflow"] = workflow_provider_.get();
  }
  if (audit_) deps.services.push_back(audit_.get());
  deps.services.push_back(telemetry_.get());
  deps.access = access_.get();
  deps.approvals = approvals_.get();
  deps.audit = recorder_.get();
  deps.audit_log = audit_.get();
  deps.ai = ai_.get();
  deps.edge = edge_.gateway;
  auto app =
      gateway::GatewayApp::Create(io_.get_executor(), ground_.loaded.config, std::move(deps));
  if (!app.ok()) co_return app.status();
  gateway_ = *std::move(app);
  const absl::Status watched = co_await gateway_->Start(kCatalogWait);
  if (!watched.ok()) {
    Log(LogLevel::kWarning, "gateway.catalog_late", {{"error", std::string(watched.message())}});
  }
  if (!edge_.tcp) co_return absl::OkStatus();
  std::string socket = ground_.loaded.config.gateway.listen_unix;
  if (socket.empty() && edge_.socket) socket = ground_.data_dir + "/serve.sock";
  auto url = gateway_->Listen(socket);
  if (!url.ok()) co_return WithPlace(url.status(), ground_.loaded.origins);
  base_url_ = *std::move(url);
  co_return absl::OkStatus();
}

absl::Status Suite::StartGrpc() {
  if (ground_.loaded.config.services.listen.empty() && !Here("gateway")) {
    return MakeError("CONFIG_INVALID", "gateway",
                     "a process without the gateway needs services.listen (host:port)");
  }
  std::vector<rpc::Service*> catalog, connector, gateway, workflow, audit, ai;
  if (catalog_app_) {
    catalog = {&catalog_app_->service(), &catalog_app_->directory(), &catalog_app_->quotas(),
               &catalog_app_->pins(),    &catalog_app_->approvals(), catalog_app_->access(),
               catalog_app_->taint()};
  }
  if (connector_app_) connector = {&connector_app_->provider(), &connector_app_->connector()};
  if (gateway_) gateway = {&gateway_->calls(), &gateway_->edge_peer()};
  if (audit_app_) audit = {&audit_app_->service()};
  if (workflow_app_) workflow = {&workflow_app_->service()};
  if (workflow_app_ && connector_app_) {
    providers_ = std::make_unique<ProviderChoice>(*workflow_app_, connector_app_->provider());
    connector[0] = providers_.get();
  } else if (workflow_app_) {
    workflow.push_back(&workflow_app_->provider());
  }
  if (ai_app_) ai = {&ai_app_->service()};
  std::vector<rpc::Service*> all = catalog;
  all.push_back(telemetry_.get());
  for (const auto& some : {connector, gateway, workflow, audit, ai}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  METAMCP_RETURN_IF_ERROR(metrics_.Listen(ground_.loaded.config));
  ServiceSide::OnRpc counting;
  if (!metrics_.url().empty()) {
    counting = [this](auto... about) { metrics_.OnRpc(about...); };
    AddMetrics();
  }
  METAMCP_RETURN_IF_ERROR(side_.Listen(all, std::move(counting)));
  side_.Follow(catalog, [] { return true; });
  side_.Follow(audit, [] { return true; });
  side_.Follow(connector, [this] { return connector_app_->ready(); });
  side_.Follow(gateway, [this] { return gateway_->ready(); });
  side_.Follow(workflow, [this] { return calls_ != nullptr; });
  side_.Follow(ai, [] { return true; });
  return absl::OkStatus();
}

Awaitable<absl::Status> Suite::Start() {
  // A file that changes while the parts start is read again when they stand.
  const auto turn = co_await reload_lock_.Lock();
  WatchFile();
  METAMCP_CO_RETURN_IF_ERROR(side_.Open(options_.services));
  if (options_.services.size() == 1 && Here("audit")) {
    // It calls nobody and takes part in nothing.
    METAMCP_CO_RETURN_IF_ERROR(StartAudit());
    METAMCP_CO_RETURN_IF_ERROR(StartTelemetry());
    METAMCP_CO_RETURN_IF_ERROR(StartGrpc());
    WatchKeys();
    co_return absl::OkStatus();
  }
  METAMCP_CO_RETURN_IF_ERROR(co_await StartCatalog());
  StartCluster();
  METAMCP_CO_RETURN_IF_ERROR(StartTelemetry());
  METAMCP_CO_RETURN_IF_ERROR(StartConnector());
  METAMCP_CO_RETURN_IF_ERROR(StartWorkflow());
  METAMCP_CO_RETURN_IF_ERROR(StartAudit());
  METAMCP_CO_RETURN_IF_ERROR(StartAi());
  METAMCP_CO_RETURN_IF_ERROR(co_await StartGateway());
  METAMCP_CO_RETURN_IF_ERROR(StartGrpc());
  METAMCP_CO_RETURN_IF_ERROR(co_await JoinCluster());
  // Last: a program that cannot listen, as when another runs here, starts no server.
  if (connector_app_) connector_app_->Start();
  if (connector_app_ && !Here("catalog")) {
    auto informing = WaitForUpstreams();
    co_await std::move(informing);
  }
  if (workflow_app_) {
    calls_ = gateway_ ? gateway::v1::MakeCallsServiceDirect(gateway_->calls())
                      : gateway::v1::MakeCallsServiceClient(cluster_->To("gateway"));
    workflow_app_->Start(*calls_);
    side_.TellReadiness();
  }
  WatchKeys();
  co_return absl::OkStatus();
}

// A connector whose catalog is there is told what to run before it says that it is ready.
Awaitable<void> Suite::WaitForUpstreams() {
  const auto until = std::chrono::steady_clock::now() + kCatalogWait;
  while (!connector_app_->ready() && std::chrono::steady_clock::now() < until) {
    const bool slept = co_await Sleep(std::chrono::milliseconds(5));
    if (!slept) co_return;
  }
  side_.TellReadiness();
}

void Suite::StartCluster() {
  const bool takes_part = Here("gateway") || Here("connector") || Here("workflow") || Here("ai");
  const bool clustered = takes_part && !ground_.loaded.config.services.listen.empty();
  cluster_ = std::make_unique<Cluster>(clustered, side_.channel_options(), *directory_);
}

Awaitable<absl::Status> Suite::JoinCluster() {
  if (!cluster_->members().clustered()) co_return absl::OkStatus();
  std::vector<std::string> roles;
  for (const char* role : {"gateway", "connector", "workflow", "ai"}) {
    if (Here(role)) roles.push_back(role);
  }
  const absl::Status joined = co_await cluster_->Join(side_.advertised(), roles);
  if (!joined.ok()) {
    Log(LogLevel::kWarning, "cluster.directory_late", {{"error", std::string(joined.message())}});
  }
  lease_tasks_.Spawn("cluster", cluster_->Run());
  co_return absl::OkStatus();
}

Awaitable<void> Suite::LeaveCluster() {
  lease_tasks_.CancelAll();
  co_await lease_tasks_.Join(std::chrono::seconds(2));
  if (cluster_) co_await cluster_->Leave();
}

Awaitable<void> Suite::Stop() {
  using asio::experimental::awaitable_operators::operator&&;
  watcher_.reset();
  policy_watcher_.reset();
  keys_watcher_.reset();
  tasks_.CancelAll();
  co_await tasks_.Join(std::chrono::seconds(2));
  // First nobody is sent here any more, then nobody is let in, then what runs may finish.
  if (gateway_) gateway_->NotReady();
  co_await side_.NotReady();
  const auto until = std::chrono::steady_clock::now() +
                     std::chrono::milliseconds(ground_.loaded.config.gateway.drain_ms);
  const auto left = [until](std::chrono::steady_clock::duration least) {
    return std::max(until - std::chrono::steady_clock::now(), least);
  };
  // Runs go on at the next start; their calls end before those they call.
  if (workflow_app_) co_await workflow_app_->Stop();
  // At the same time, as either may need all of it: clients' calls end, and what a connector runs
  // goes elsewhere.
  auto closing = StopGateway(left(std::chrono::seconds(0)));
  auto handing = HandOver(until);
  const bool handed_over = co_await (std::move(closing) && std::move(handing));
  // Running calls have answers delivered until here. What a connector runs is given up when it has
  // ended, so that nobody starts it twice.
  if (!connector_app_) co_await LeaveCluster();
  co_await side_.Refuse(handed_over ? kSettling : std::chrono::milliseconds(100));
  co_await side_.Stop(left(std::chrono::seconds(2)));
  if (connector_app_) co_await connector_app_->Stop();
  co_await LeaveCluster();
  co_await StopAudit();
  if (catalog_app_) {
    const absl::Status stored = co_await catalog_app_->Stop();
    if (!stored.ok()) {
      Log(LogLevel::kError, "catalog.not_stored", {{"error", std::string(stored.message())}});
    }
  }
  co_await metrics_.Stop();
}

Awaitable<void> Suite::StopGateway(std::chrono::steady_clock::duration grace) {
  if (gateway_) co_await gateway_->Stop(grace);
}

// Where there are other connectors, they take over what runs here, each when it is idle. Whether
// there are any.
Awaitable<bool> Suite::HandOver(std::chrono::steady_clock::time_point until) {
  if (cluster_ == nullptr || connector_app_ == nullptr) co_return false;
  auto retiring = cluster_->Retire("connector");
  const bool others = co_await std::move(retiring);
  if (others) co_await connector_app_->HandOver(until);
  co_return others;
}

}  // namespace metamcp::cli
