// What is recorded on its way from this process to the audit service.
#include "cli/suite.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::cli {
namespace {

constexpr std::chrono::seconds kShipAtEnd{5};

std::string InDataDir(const std::string& given, const process::Ground& ground,
                      std::string_view name) {
  return given.empty() ? StrCat(ground.data_dir, "/", name) : given;
}

}  // namespace

absl::Status Suite::StartAuditService() {
  const config::Config& config = ground_.loaded.config;
  if (!Here("audit")) {
    METAMCP_ASSIGN_OR_RETURN(auto channel, side_.Dial("audit", config.services.audit.address));
    audit_ = audit::v1::MakeAuditServiceClient(std::move(channel));
    return absl::OkStatus();
  }
  audit_http_ = http::NewHttpClient(io_.get_executor(), http::HttpClientOptions());
  audit::AppOptions options;
  options.signing_key_file = InDataDir(config.audit.signing_key_file, ground_, "audit-key.pem");
  options.checkpoint_file =
      InDataDir(config.audit.checkpoint_file, ground_, "audit-checkpoints.jsonl");
  options.webhook = config.audit.checkpoint_webhook;
  options.webhook_private = config.audit.checkpoint_webhook_private;
  options.checkpoint_ms = config.audit.checkpoint_ms;
  options.retention_days = config.audit.retention_days;
  METAMCP_ASSIGN_OR_RETURN(
      audit_app_, audit::App::CreateBlocking(io_.get_executor(), *ground_.database_executor,
                                             *ground_.keys, *audit_http_, std::move(options)));
  audit_ = audit::v1::MakeAuditServiceDirect(audit_app_->service());
  audit_app_->Start();
  return absl::OkStatus();
}

// A gateway records where it has an audit service; a process of the audit service alone only
// serves.
absl::Status Suite::StartAudit() {
  const config::Config& config = ground_.loaded.config;
  const bool reachable = Here("audit") || !config.services.audit.address.empty();
  if (!reachable) {
    if (config.audit.mode == "strict" && Here("gateway")) {
      return MakeError("CONFIG_INVALID", "gateway",
                       "audit.mode is strict, but this process has no audit service: set "
                       "services.audit.address to where it runs");
    }
    const bool expected = Here("gateway") && !config.services.listen.empty();
    if (expected && config.audit.mode != "off") {
      Log(LogLevel::kWarning, "audit.nowhere", {{"mend", "services.audit.address"}});
    }
    return absl::OkStatus();
  }
  if (!Here("audit") && !Here("gateway") && !Here("ai")) return absl::OkStatus();
  METAMCP_RETURN_IF_ERROR(StartAuditService());
  if (!Here("gateway") || config.audit.mode == "off") return absl::OkStatus();
  gateway::AuditRecorder::Options options;
  options.strict = config.audit.mode == "strict";
  options.source = cluster_->members().self();
  options.spool.folder = ground_.data_dir + "/audit-spool";
  options.spool.bytes_max = config.audit.spool_bytes_max;
  options.spool.sync = std::chrono::milliseconds(config.audit.spool_sync_ms);
  auto recorder =
      gateway::AuditRecorder::CreateBlocking(io_.get_executor(), *audit_, std::move(options));
  if (!recorder.ok()) {
    return MakeError("CONFIG_INVALID", "audit",
                     StrCat(Sv(recorder.status().message()),
                            "; audit.mode strict needs no spool, and off no audit"));
  }
  recorder_ = *std::move(recorder);
  recorder_->Start();
  return absl::OkStatus();
}

void Suite::NoteReload(const std::string& changes) {
  if (!recorder_) return;
  audit::v1::Event event;
  event.mutable_principal()->set_subject("meta-mcp");
  event.mutable_principal()->set_kind("service");
  event.mutable_principal()->set_method("internal");
  event.set_action("config.reload");
  event.set_outcome("ok");
  event.set_target(changes);
  recorder_->Note(std::move(event));
}

Awaitable<void> Suite::StopAudit() {
  if (recorder_) {
    auto stopping = recorder_->Stop(kShipAtEnd);
    co_await std::move(stopping);
  }
  if (audit_app_) {
    auto stopping = audit_app_->Stop();
    co_await std::move(stopping);
  }
}

}  // namespace metamcp::cli
