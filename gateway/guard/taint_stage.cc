#include "gateway/guard/taint_stage.h"

#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

constexpr size_t kSourcesMax = 8;
constexpr size_t kClientBytesMax = 64;

int64_t SteadyMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string ScopeOf(const StageCall& call) {
  const auto info = json::ScanObject(call.spec.client_info);
  const std::string client = info.ok() ? info->String("name").value_or("") : "";
  const std::string subject = call.ctx.principal ? call.ctx.principal->subject : "";
  return StrCat(call.ctx.tenant(), "\n", subject, "\n", client.substr(0, kClientBytesMax), "\n",
                call.spec.view->name());
}

const UpstreamInfo* FindByName(const ServerView& view, std::string_view name) {
  for (const auto& upstream : view.upstreams()) {
    if (upstream->name == name) return upstream.get();
  }
  return nullptr;
}

}  // namespace

bool IsRisky(const std::string& definition) {
  const auto view = json::ScanObject(definition);
  if (!view.ok()) return true;
  const auto annotations = json::ScanObject(view->Raw("annotations"));
  const auto is = [&](std::string_view key, std::string_view value) {
    return annotations.ok() && annotations->Raw(key) == value;
  };
  const bool destructive = !is("readOnlyHint", "true") && !is("destructiveHint", "false");
  return destructive || !is("openWorldHint", "false");
}

TaintStage::TaintStage(const config::TaintConfig& config, Options options)
    : options_([&options] {
        if (!options.now_ms) options.now_ms = SteadyMs;
        return std::move(options);
      }()) {
  SetConfig(config);
}

void TaintStage::SetConfig(const config::TaintConfig& config) {
  on_ = config.mode == "refuse";
  ttl_ms_ = config.ttl_ms;
  if (!on_) scopes_.clear();
}

std::vector<std::string> TaintStage::SourcesFor(const StageCall& call) {
  const int64_t now = options_.now_ms();
  std::vector<std::string> out;
  if (overflowed_ && now < overflow_until_ms_) out.emplace_back("(too many to tell)");
  const auto it = scopes_.find(ScopeOf(call));
  if (it == scopes_.end()) return out;
  if (it->second.until_ms <= now) {
    scopes_.erase(it);
    return out;
  }
  std::string own;
  if (!call.routes.empty()) {
    const auto upstream = call.spec.view->FindUpstream(call.routes[0].upstream_id());
    if (upstream != nullptr) own = upstream->name;
  }
  for (const std::string& source : it->second.sources) {
    if (source != own) out.push_back(source);
  }
  return out;
}

absl::Status TaintStage::Before(const StageCall& call) {
  if (!on_ || (scopes_.empty() && !overflowed_)) return absl::OkStatus();
  if (call.spec.method != "tools/call" || call.entry == nullptr) return absl::OkStatus();
  const std::vector<std::string> sources = SourcesFor(call);
  if (sources.empty() || !IsRisky(call.entry->definition)) return absl::OkStatus();
  if (consent_ != nullptr) return consent_->Ask(call, sources);
  return MakeError(
      "TAINTED", "policy",
      StrCat("\"", call.name, "\" may destroy something or reach the open world, and ",
             absl::StrJoin(sources, ", "), ", which is not trusted, has answered here before"));
}

void TaintStage::Sweep() {
  const int64_t now = options_.now_ms();
  absl::erase_if(scopes_, [now](const auto& each) { return each.second.until_ms <= now; });
}

void TaintStage::After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) {
  // What was abandoned may have told something all the same, in progress and log messages.
  if (!on_) return;
  const UpstreamInfo* upstream = nullptr;
  std::shared_ptr<const UpstreamInfo> routed;
  if (outcome != nullptr && outcome->ok()) {
    upstream = FindByName(*call.spec.view, (*outcome)->upstream);
  } else if (!call.routes.empty()) {
    routed = call.spec.view->FindUpstream(call.routes[0].upstream_id());
    upstream = routed.get();
  }
  if (upstream == nullptr || upstream->trusted) return;
  const int64_t until = options_.now_ms() + ttl_ms_;
  if (scopes_.size() >= options_.scopes_max) Sweep();
  if (scopes_.size() >= options_.scopes_max) {
    overflowed_ = true;
    overflow_until_ms_ = until;
    return;
  }
  Scope& scope = scopes_[ScopeOf(call)];
  scope.until_ms = until;
  if (scope.sources.size() < kSourcesMax) scope.sources.insert(upstream->name);
}

}  // namespace metamcp::gateway
