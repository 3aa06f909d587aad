#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>

#include "cli/cluster.h"
#include "cli/metrics_side.h"
#include "cli/serve.h"
#include "cli/service_side.h"
#include "common/async/async_lock.h"
#include "common/async/task_group.h"
#include "common/config/watch.h"
#include "common/process/process.h"
#include "gateway/app.h"
#include "gateway/audit/recorder.h"
#include "metamcp/access/v1/access_service.metamcp.h"
#include "metamcp/access/v1/approval_service.metamcp.h"
#include "metamcp/ai/v1/ai_service.metamcp.h"
#include "metamcp/audit/v1/audit_service.metamcp.h"
#include "metamcp/catalog/v1/pin_service.metamcp.h"
#include "metamcp/workflow/v1/workflow_service.metamcp.h"
#include "services/ai/app.h"
#include "services/audit/app.h"
#include "services/catalog/app.h"
#include "services/connector/app.h"
#include "services/telemetry/app.h"
#include "services/workflow/app.h"

namespace metamcp::cli {

// The path of another program of ours, which is installed beside this one.
std::string ProgramBeside(const std::string& name);

// What a program shows of the gateway; `serve` shows all.
struct SuiteEdge {
  gateway::EdgeOptions gateway;
  bool tcp = true;     // gateway.listen
  bool socket = true;  // gateway.listenUnix, else serve.sock in the data folder
};

// The services of one process, linked with each other directly where both are here and by gRPC
// where they are not. The only wiring of more than one service. Thread: the io thread.
class Suite {
 public:
  Suite(boost::asio::io_context& io, const ServeOptions& options, process::Ground& ground);
  Suite(boost::asio::io_context& io, const ServeOptions& options, process::Ground& ground,
        SuiteEdge edge);
  ~Suite();

  // Starts everything and listens. Upstreams connect in the background.
  Awaitable<absl::Status> Start();
  // Reads the configuration again and applies the difference; a bad file changes nothing. Returns
  // what changed as a JSON object. Its span lies below `trace`.
  Awaitable<absl::StatusOr<std::string>> Reload(TraceContext trace);
  Awaitable<void> Stop();

  const std::string& base_url() const { return base_url_; }
  const std::string& grpc_address() const { return side_.address(); }
  // Where /metrics of this process is; empty without services.metricsListen.
  const std::string& metrics_url() const { return metrics_.url(); }
  // Null for a process without the gateway, and before Start.
  gateway::GatewayApp* gateway() { return gateway_.get(); }
  // Clients connected now (0 for a process without the gateway).
  size_t connections() const { return gateway_ ? gateway_->connections() : 0; }

 private:
  bool Here(const std::string& service) const { return options_.services.count(service) > 0; }
  // Of what the process does by itself.
  static CallContext SystemContext();
  static catalog::PinPolicy PinsOf(const config::CatalogConfig& catalog,
                                   const config::Config& where);
  Awaitable<absl::Status> StartCatalog();
  Awaitable<void> WaitForUpstreams();
  void StartCluster();
  Awaitable<absl::Status> JoinCluster();
  Awaitable<void> LeaveCluster();
  Awaitable<void> StopGateway(std::chrono::steady_clock::duration grace);
  Awaitable<bool> HandOver(std::chrono::steady_clock::time_point until);
  absl::Status StartConnector();
  void AddMetrics();
  // In suite_workflow.cc.
  absl::Status StartWorkflow();
  absl::Status StartAi();
  // In suite_audit.cc.
  absl::Status StartAudit();
  absl::Status StartAuditService();
  void NoteReload(const std::string& changes);
  Awaitable<void> StopAudit();
  // In suite_telemetry.cc.
  absl::Status StartTelemetry();
  absl::StatusOr<std::vector<telemetry::Peer>> NamedPeers() const;
  absl::Status StartGrpc();
  Awaitable<absl::Status> StartGateway();
  Awaitable<absl::Status> OpenGateway();
  Awaitable<absl::Status> ApplyConfig(const config::Config& config, TraceContext trace);
  // In suite_reload.cc.
  void ApplySettings(const config::Config& config);
  void WatchFile();
  // The file of rules, as the configuration names it now.
  void WatchPolicy();
  void WatchKeys();
  static Awaitable<void> ReloadTask(Suite* self);
  Awaitable<absl::StatusOr<std::string>> ReloadTraced(TraceContext trace);

  boost::asio::io_context& io_;
  const ServeOptions options_;
  process::Ground& ground_;
  const SuiteEdge edge_;
  ServiceSide side_;
  MetricsSide metrics_;
  AsyncLock reload_lock_;  // one reload after the other, and after the start
  TaskGroup tasks_;
  TaskGroup lease_tasks_;  // go on while the rest ends
  std::unique_ptr<catalog::CatalogApp> catalog_app_;
  std::unique_ptr<catalog::v1::CatalogService> catalog_;
  std::unique_ptr<catalog::v1::DirectoryService> directory_;
  std::unique_ptr<catalog::v1::QuotaService> quotas_;
  std::unique_ptr<catalog::v1::TaintService> taint_;
  std::unique_ptr<catalog::v1::PinService> pins_;
  std::unique_ptr<access::v1::AccessService> access_;
  std::unique_ptr<access::v1::ApprovalService> approvals_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<http::HttpClient> http_client_;
  std::unique_ptr<connector::App> connector_app_;
  gateway::ConnectorClient connector_;  // here, or the configured one
  std::unique_ptr<http::HttpClient> workflow_http_;
  std::unique_ptr<workflow::App> workflow_app_;
  std::unique_ptr<workflow::v1::WorkflowService> workflow_;
  std::unique_ptr<provider::v1::ProviderService> workflow_provider_;
  std::unique_ptr<provider::v1::ProviderService> providers_;  // where several are here
  std::unique_ptr<http::HttpClient> audit_http_;
  std::unique_ptr<audit::App> audit_app_;
  std::unique_ptr<audit::v1::AuditService> audit_;
  std::unique_ptr<gateway::AuditRecorder> recorder_;
  std::unique_ptr<http::HttpClient> ai_http_;
  std::unique_ptr<ai::App> ai_app_;
  std::unique_ptr<ai::v1::AiService> ai_;
  std::unique_ptr<telemetry::v1::TelemetryService> telemetry_;
  std::unique_ptr<gateway::GatewayApp> gateway_;
  std::unique_ptr<gateway::v1::CallsService> calls_;  // for the workflow service
  std::unique_ptr<config::FileWatcher> watcher_;
  std::unique_ptr<config::FileWatcher> keys_watcher_;
  std::unique_ptr<config::FileWatcher> policy_watcher_;
  std::string policy_path_;
  std::string base_url_;
};

}  // namespace metamcp::cli
