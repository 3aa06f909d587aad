#include "gateway/guard/taint_stage.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

constexpr size_t kSourcesMax = 8;
constexpr size_t kClientBytesMax = 64;
constexpr std::string_view kRule = "taint.mode";
constexpr std::string_view kUnknownSources = "(what other gateways saw is not known)";
constexpr std::string_view kTooMany = "(too many to tell)";

std::string ScopeOf(const StageCall& call) {
  const auto info = json::ScanObject(call.spec.client_info);
  const std::string client = info.ok() ? info->String("name").value_or("") : "";
  const std::string subject = call.ctx.principal ? call.ctx.principal->subject : "";
  return json::Sha256Hex(StrCat(call.ctx.tenant(), "\n", subject, "\n",
                                client.substr(0, kClientBytesMax), "\n", call.spec.view->name()));
}

const UpstreamInfo* FindByName(const ServerView& view, std::string_view name) {
  for (const auto& upstream : view.upstreams()) {
    if (upstream->name == name) return upstream.get();
  }
  return nullptr;
}

bool HasUntrusted(const ServerView& view) {
  return std::any_of(view.upstreams().begin(), view.upstreams().end(),
                     [](const auto& upstream) { return !upstream->trusted; });
}

std::string Reason(const std::vector<std::string>& sources) {
  return StrCat(absl::StrJoin(sources, ", "), sources.size() == 1 ? ", which is" : ", which are",
                " not trusted, answered here before, and may have told the model to do this.");
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
        if (!options.now_us) options.now_us = NowMicros;
        return std::move(options);
      }()) {
  SetConfig(config);
}

void TaintStage::SetConfig(const config::TaintConfig& config) {
  on_ = config.mode != "off";
  asks_ = config.mode == "consent";
  ttl_us_ = config.ttl_ms * 1000;
  if (!on_) {
    scopes_.clear();
    untold_.clear();
  }
}

const UpstreamInfo* TaintStage::FirstUntrusted(const StageCall& call) const {
  if (call.routes.empty()) return nullptr;
  const auto& id = call.routes[0].upstream_id();
  for (const auto& upstream : call.spec.view->upstreams()) {
    if (upstream->id == id) return upstream->trusted ? nullptr : upstream.get();
  }
  return nullptr;
}

std::vector<std::string> TaintStage::SourcesFor(const StageCall& call) const {
  const int64_t now = options_.now_us();
  std::vector<std::string> out;
  if (now < overflow_until_us_) out.emplace_back(kTooMany);
  if (options_.informed && !options_.informed()) out.emplace_back(kUnknownSources);
  const auto it = scopes_.find(ScopeOf(call));
  if (it == scopes_.end() || it->second.until_us <= now) return out;
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
  if (!on_ || call.spec.method != "tools/call" || call.entry == nullptr) return absl::OkStatus();
  const bool known = !options_.informed || options_.informed();
  if (scopes_.empty() && overflow_until_us_ == 0 && known) return absl::OkStatus();
  if (!HasUntrusted(*call.spec.view)) return absl::OkStatus();
  std::vector<std::string> sources = SourcesFor(call);
  if (sources.empty() || !IsRisky(call.entry->definition)) return absl::OkStatus();
  if (!asks_) {
    return MakeError("TAINTED", "policy",
                     StrCat("\"", call.name, "\" may destroy something or reach the open world. ",
                            Reason(sources)));
  }
  asked_[&call.spec] = std::move(sources);
  return absl::OkStatus();
}

std::optional<ConsentCause::Why> TaintStage::Asks(const StageCall& call) const {
  const auto found = asked_.find(&call.spec);
  if (found == asked_.end()) return std::nullopt;
  ConsentCause::Why why;
  why.rule = std::string(kRule);
  why.reason = Reason(found->second);
  // Another server that answers asks again.
  why.bound = StrCat("taint\n", absl::StrJoin(found->second, "\n"));
  return why;
}

bool TaintStage::Unsaid(const StageCall& call) const {
  if (!on_ || call.resumed) return false;
  const UpstreamInfo* upstream = FirstUntrusted(call);
  if (upstream == nullptr) return false;
  const auto it = scopes_.find(ScopeOf(call));
  if (it == scopes_.end()) return true;
  const Scope& scope = it->second;
  const bool named = scope.sources.count(upstream->name) > 0 || scope.sources.size() >= kSourcesMax;
  return !named || scope.told_us < options_.now_us() + ttl_us_ / 2;
}

TaintStage::Mark TaintStage::Begin(const StageCall& call) {
  Mark mark;
  const UpstreamInfo* upstream = FirstUntrusted(call);
  if (upstream == nullptr) return mark;
  mark.key = ScopeOf(call);
  mark.sources = {upstream->name};
  mark.until_us = options_.now_us() + ttl_us_;
  Add(mark.key, mark.sources, mark.until_us);
  return mark;
}

void TaintStage::Told(const Mark& mark) {
  const auto it = scopes_.find(mark.key);
  if (it != scopes_.end()) it->second.told_us = std::max(it->second.told_us, mark.until_us);
}

std::vector<TaintStage::Mark> TaintStage::TakeUntold() {
  std::vector<Mark> out;
  for (auto& [key, mark] : untold_) out.push_back(std::move(mark));
  untold_.clear();
  return out;
}

void TaintStage::Keep(Mark mark) {
  if (mark.key.empty() || untold_.size() >= options_.scopes_max) return;
  Mark& kept = untold_[mark.key];
  kept.key = std::move(mark.key);
  kept.until_us = std::max(kept.until_us, mark.until_us);
  for (std::string& source : mark.sources) {
    const bool there =
        std::find(kept.sources.begin(), kept.sources.end(), source) != kept.sources.end();
    if (!there && kept.sources.size() < kSourcesMax) kept.sources.push_back(std::move(source));
  }
}

void TaintStage::Learn(const Mark& mark) {
  if (!on_) return;
  Add(mark.key, mark.sources, mark.until_us);
  Told(mark);
}

void TaintStage::Sweep() {
  const int64_t now = options_.now_us();
  absl::erase_if(scopes_, [now](const auto& each) { return each.second.until_us <= now; });
}

void TaintStage::Add(const std::string& key, const std::vector<std::string>& sources,
                     int64_t until_us) {
  if (scopes_.size() >= options_.scopes_max && !scopes_.contains(key)) Sweep();
  if (scopes_.size() >= options_.scopes_max && !scopes_.contains(key)) {
    overflow_until_us_ = std::max(overflow_until_us_, until_us);
    return;
  }
  Scope& scope = scopes_[key];
  if (scope.until_us <= options_.now_us()) scope.sources.clear();
  scope.until_us = std::max(scope.until_us, until_us);
  for (const std::string& source : sources) {
    if (scope.sources.size() < kSourcesMax) scope.sources.insert(source);
  }
}

void TaintStage::After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) {
  const bool waited = asked_.erase(&call.spec) > 0;
  // What was abandoned may have told something all the same, in progress and log messages.
  if (!on_) return;
  if (waited && outcome != nullptr && outcome->ok() && (*outcome)->rule.empty()) {
    (*outcome)->rule = StrCat("policy:", kRule);
  }
  const UpstreamInfo* upstream = nullptr;
  if (outcome != nullptr && outcome->ok()) {
    upstream = FindByName(*call.spec.view, (*outcome)->upstream);
    if (upstream != nullptr && upstream->trusted) upstream = nullptr;
  } else {
    upstream = FirstUntrusted(call);
  }
  if (upstream == nullptr) return;
  Mark mark;
  mark.key = ScopeOf(call);
  mark.sources = {upstream->name};
  mark.until_us = options_.now_us() + ttl_us_;
  const auto it = scopes_.find(mark.key);
  const bool named = it != scopes_.end() && it->second.sources.count(upstream->name) > 0;
  const int64_t told = it == scopes_.end() ? 0 : it->second.told_us;
  Add(mark.key, mark.sources, mark.until_us);
  // Half a life ahead is enough: who goes on asking is told of again.
  if (!named || told < options_.now_us() + ttl_us_ / 2) Keep(std::move(mark));
}

}  // namespace metamcp::gateway
