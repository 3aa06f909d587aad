// A configuration that changes while the process serves.
#include "cli/suite.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/own_path.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/diff.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/telemetry/log.h"
#include "common/telemetry/trace.h"

namespace metamcp::cli {
namespace {

std::string NamesJson(const std::vector<std::string>& names) {
  std::vector<std::string> quoted;
  for (const std::string& name : names) quoted.push_back(json::JsonQuote(name));
  return json::JoinArray(quoted);
}

std::string ChangesJson(const config::NameChanges& changes) {
  json::ObjectWriter out;
  out.Add("added", NamesJson(changes.added));
  out.Add("removed", NamesJson(changes.removed));
  out.Add("changed", NamesJson(changes.changed));
  return std::move(out).Build();
}

std::string DiffJson(const config::ConfigDiff& diff) {
  std::vector<std::string> restart;
  for (const auto& change : diff.settings) {
    if (change.restart) restart.push_back(change.path);
  }
  if (!diff.keys.empty()) restart.emplace_back("auth.keys");
  json::ObjectWriter out;
  out.AddString("summary", config::DiffText(diff));
  out.Add("servers", ChangesJson(diff.servers));
  out.Add("virtualServers", ChangesJson(diff.virtual_servers));
  out.Add("needsRestart", NamesJson(restart));
  return std::move(out).Build();
}

}  // namespace

void Suite::WatchKeys() {
  if (ground_.keys_path.empty()) return;
  // The file is small and local; it is read where it is noticed.
  const auto reload = [this] {
    const auto changed = process::ReloadKeysBlocking(ground_);
    if (!changed.ok()) {
      Log(LogLevel::kError, "keys.reload_failed",
          {{"error", std::string(changed.status().message())}, {"kept", "the keys before"}});
    } else if (*changed) {
      Log(LogLevel::kInfo, "keys.reloaded", {{"file", ground_.keys_path}});
    }
  };
  auto watcher = config::FileWatcher::Create(io_.get_executor(), ground_.keys_path,
                                             config::FileWatcher::Options(), reload);
  if (watcher.ok()) {
    keys_watcher_ = *std::move(watcher);
  } else {
    Log(LogLevel::kWarning, "keys.not_watched",
        {{"error", std::string(watcher.status().message())}});
  }
}

void Suite::WatchFile() {
  const bool reads = Here("catalog") || Here("gateway");
  if (!reads || ground_.config_path.empty()) return;
  auto watcher = config::FileWatcher::Create(io_.get_executor(), ground_.config_path,
                                             config::FileWatcher::Options(),
                                             [this] { tasks_.Spawn("reload", ReloadTask(this)); });
  if (watcher.ok()) {
    watcher_ = *std::move(watcher);
  } else {
    Log(LogLevel::kWarning, "config.not_watched",
        {{"error", std::string(watcher.status().message())}});
  }
  WatchPolicy();
}

void Suite::WatchPolicy() {
  const std::string& path = ground_.loaded.config.policy.path;
  if (path == policy_path_) return;
  policy_path_ = path;
  policy_watcher_.reset();
  if (path.empty()) return;
  auto watcher =
      config::FileWatcher::Create(io_.get_executor(), path, config::FileWatcher::Options(),
                                  [this] { tasks_.Spawn("reload", ReloadTask(this)); });
  if (watcher.ok()) {
    policy_watcher_ = *std::move(watcher);
  } else {
    Log(LogLevel::kWarning, "policy.not_watched",
        {{"error", std::string(watcher.status().message())}});
  }
}

Awaitable<void> Suite::ReloadTask(Suite* self) {
  auto reloading = self->Reload(TraceContext());
  (void)co_await std::move(reloading);
}

Awaitable<absl::StatusOr<std::string>> Suite::Reload(TraceContext trace) {
  trace::Span span(trace::Kind::kInternal, "config.reload", trace);
  auto reloading = ReloadTraced(std::move(trace));
  auto changes = co_await std::move(reloading);
  span.Fail(changes.status());
  co_return changes;
}

Awaitable<absl::StatusOr<std::string>> Suite::ReloadTraced(TraceContext trace) {
  if (!Here("catalog") && !Here("gateway")) {
    co_return MakeError("CONFIG_INVALID", "gateway",
                        "the configuration belongs to the catalog service; reload there");
  }
  // Who asks while another reload reads the file may have changed it since, so it is read again.
  const auto turn = co_await reload_lock_.Lock();
  CallContext ctx = SystemContext();
  ctx.trace = trace;
  trace::Span reading(trace::Kind::kInternal, "config.load", ctx.trace);
  const std::string path = ground_.config_path;
  const config::LoadOptions load = ground_.load_options;
  absl::StatusOr<config::LoadResult> loaded = absl::CancelledError();
  if (ground_.database_executor) {
    std::function<absl::StatusOr<config::LoadResult>(db::Database&)> op =
        [path, load](db::Database&) { return config::LoadConfigBlocking(path, load); };
    loaded = co_await ground_.database_executor->Run<config::LoadResult>(ctx, std::move(op));
  } else {
    // A process without a database has no thread that may block; the file is small and local.
    loaded = config::LoadConfigBlocking(path, load);
  }
  absl::Status status = loaded.status();
  reading.Fail(status);
  reading.End();
  // First, as it depends on nobody: a key that is taken away must not wait for a database.
  if (status.ok() && gateway_) status = gateway_->SetKeys(loaded->config);
  if (status.ok() && gateway_) status = gateway_->SetPolicy(loaded->config);
  if (status.ok() && catalog_app_) {
    catalog_app_->SetSelfApproval(loaded->config.policy.self_approval);
  }
  if (status.ok() && workflow_app_) {
    workflow_app_->SetApprovals(*approvals_, loaded->config.policy.self_approval);
  }
  if (status.ok()) status = metrics_.SetKeys(loaded->config);
  if (status.ok() && Here("catalog")) {
    trace::Span applying(trace::Kind::kInternal, "catalog.apply_config", trace);
    auto apply = ApplyConfig(loaded->config, trace);
    status = co_await std::move(apply);
    applying.Fail(status);
  }
  if (!status.ok()) {
    Log(LogLevel::kError, "config.reload_failed",
        {{"error", std::string(status.message())}, {"kept", "the configuration before"}});
    co_return status;
  }
  const config::ConfigDiff diff = config::Diff(ground_.loaded.config, loaded->config);
  // What takes effect at the next start only stays as it runs, so that each reload names it again.
  ApplySettings(loaded->config);
  WatchPolicy();
  if (!Here("catalog")) co_return DiffJson(diff);  // what else changed is the catalog's matter
  ground_.loaded.config.mcp_servers = loaded->config.mcp_servers;
  ground_.loaded.config.virtual_servers = loaded->config.virtual_servers;
  Log(LogLevel::kInfo, "config.reloaded",
      {{"changes", config::DiffText(diff)}, {"needs_restart", diff.needs_restart()}});
  NoteReload(config::DiffText(diff));
  co_return DiffJson(diff);
}

// The settings that take effect while the program runs (Field::restart is false): these, and what
// ApplyConfig takes.
void Suite::ApplySettings(const config::Config& config) {
  config::Config& now = ground_.loaded.config;
  now.telemetry.log_level = config.telemetry.log_level;
  now.gateway.name_separator = config.gateway.name_separator;
  now.limits.servers_max = config.limits.servers_max;
  now.catalog.pins = config.catalog.pins;
  now.catalog.new_tools = config.catalog.new_tools;
  if (catalog_app_) {
    // Where it listens stays as it is until the next start.
    catalog_app_->SetPinPolicy(PinsOf(config.catalog, now));
  }
  now.limits.rules = config.limits.rules;
  now.detectors = config.detectors;
  now.taint = config.taint;
  if (gateway_) gateway_->SetGuards(config);
  now.auth.keys = config.auth.keys;
  now.auth.jwt = config.auth.jwt;
  now.auth.issuers = config.auth.issuers;
  now.auth.scopes = config.auth.scopes;
  now.auth.tool_scopes = config.auth.tool_scopes;
  now.auth.clock_skew_s = config.auth.clock_skew_s;
  now.policy = config.policy;
  now.auth.anonymous_loopback = config.auth.anonymous_loopback;
  LogLevel level = LogLevel::kInfo;
  if (ParseLogLevel(config.telemetry.log_level, &level)) SetLogLevel(level);
}

}  // namespace metamcp::cli
