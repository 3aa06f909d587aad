// The workflow and the ai service of a process, or the way to those of others.
#include "cli/ai_options.h"
#include "cli/suite.h"
#include "common/base/error.h"
#include "common/base/ids.h"

namespace metamcp::cli {

std::string ProgramBeside(const std::string& name) {
  char path[4096];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path));
  const std::string own(path, n > 0 ? static_cast<size_t>(n) : 0);
  return own.substr(0, own.rfind('/') + 1) + name;
}

absl::Status Suite::StartWorkflow() {
  const bool clustered = cluster_->members().clustered();
  if (!Here("workflow")) {
    if (clustered && Here("gateway")) {
      workflow_ = workflow::v1::MakeWorkflowServiceClient(cluster_->To("workflow"));
      workflow_provider_ = provider::v1::MakeProviderServiceClient(cluster_->To("workflow"));
    }
    return absl::OkStatus();
  }
  if (!Here("gateway") && !clustered) {
    return MakeError("CONFIG_INVALID", "gateway",
                     "a workflow service without a gateway finds gateways in its cluster: set "
                     "services.listen (host:port)");
  }
  if (!Here("gateway") && ground_.database->backend() == db::Backend::kSqlite) {
    return MakeError("CONFIG_INVALID", "gateway",
                     "a workflow service of its own shares its database: set database.url to a "
                     "PostgreSQL database");
  }
  workflow_http_ = http::NewHttpClient(io_.get_executor(), http::HttpClientOptions());
  workflow::AppOptions options;
  options.owner = NewUuidV7();
  options.jq_program = ProgramBeside("meta-mcp-jq");
  const config::WorkflowConfig& config = ground_.loaded.config.workflow;
  options.http_loopback = config.http_loopback;
  options.schedules = config.schedules;
  options.retention_days = config.retention_days;
  options.runs_per_principal_max = config.runs_per_principal_max;
  workflow_app_ =
      std::make_unique<workflow::App>(io_.get_executor(), *ground_.database_executor, *catalog_,
                                      *workflow_http_, *ground_.keys, std::move(options));
  workflow_app_->SetApprovals(*approvals_, ground_.loaded.config.policy.self_approval);
  workflow_ = workflow::v1::MakeWorkflowServiceDirect(workflow_app_->service());
  workflow_provider_ = provider::v1::MakeProviderServiceDirect(workflow_app_->provider());
  return absl::OkStatus();
}

absl::Status Suite::StartAi() {
  const bool clustered = cluster_->members().clustered();
  if (!Here("ai")) {
    if (clustered && (Here("gateway") || Here("workflow"))) {
      ai_ = ai::v1::MakeAiServiceClient(cluster_->To("ai"));
    }
    if (workflow_app_ && ai_) workflow_app_->SetModels(true);
    return absl::OkStatus();
  }
  if (!workflow_ && clustered) {
    workflow_ = workflow::v1::MakeWorkflowServiceClient(cluster_->To("workflow"));
  }
  if (!workflow_) {
    return MakeError("CONFIG_INVALID", "gateway",
                     "an ai service without a workflow service, which checks what it proposes, "
                     "finds one in its cluster: set services.listen (host:port)");
  }
  ai_http_ = http::NewHttpClient(io_.get_executor(), http::HttpClientOptions());
  ai::AppOptions options = ToAiOptions(ground_.loaded.config.ai);
  options.quotas = quotas_.get();
  options.audit = audit_.get();
  ai_app_ = std::make_unique<ai::App>(*ground_.database_executor, *ai_http_, *catalog_, *workflow_,
                                      std::move(options));
  ai_ = ai::v1::MakeAiServiceDirect(ai_app_->service());
  if (workflow_app_) workflow_app_->SetModels(true);
  return absl::OkStatus();
}

}  // namespace metamcp::cli
