#include "services/telemetry/analysis.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "common/base/strings.h"

namespace metamcp::telemetry {
namespace {

constexpr size_t kStagesMax = 50;
constexpr size_t kEdgesMax = 500;

using Tree = std::unordered_map<std::string, std::vector<const v1::Span*>>;  // by parent

int64_t DurationUs(const v1::Span& span) {
  return std::max<int64_t>(0, span.ended_ns() - span.begun_ns()) / 1000;
}

std::string Attribute(const v1::Span& span, const std::string& name) {
  const auto it = span.attributes().find(name);
  return it == span.attributes().end() ? std::string() : it->second;
}

// A request of a client of ours, as its gateway saw it.
bool IsFront(const v1::Span& span) {
  return span.kind() == "server" && !Attribute(span, "metamcp.virtual_server").empty();
}

bool IsRpc(const v1::Span& span) { return !Attribute(span, "rpc.system").empty(); }

// A call to a server behind us.
bool IsServerCall(const v1::Span& span) {
  return span.kind() == "client" && !IsRpc(span) && !Attribute(span, "metamcp.upstream").empty();
}

std::string StageOf(const v1::Span& span) {
  if (IsServerCall(span)) return StrCat("server ", Attribute(span, "metamcp.upstream"));
  if (IsRpc(span)) return span.kind() == "client" ? "between processes" : span.service();
  if (IsFront(span)) return "gateway";
  if (span.name() == "route") return "routing";
  return span.name();
}

// Of sorted values, by rank.
int64_t Quantile(const std::vector<int64_t>& sorted, double q) {
  if (sorted.empty()) return 0;
  const auto rank = static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5);
  return sorted[std::min(rank, sorted.size() - 1)];
}

int64_t Sum(const std::vector<int64_t>& values) {
  int64_t sum = 0;
  for (const int64_t value : values) sum += value;
  return sum;
}

// Adds what `span` and those below it spent in each stage.
void AddStages(const v1::Span& span, const Tree& tree, std::set<const v1::Span*>& seen,
               std::map<std::string, int64_t>& stages) {
  // A trace's spans come from clients' contexts too: the tree may be none.
  if (!seen.insert(&span).second) return;
  int64_t below = 0;
  if (const auto children = tree.find(span.span()); children != tree.end()) {
    for (const v1::Span* child : children->second) {
      if (child->trace() != span.trace()) continue;
      below += DurationUs(*child);
      AddStages(*child, tree, seen, stages);
    }
  }
  stages[StageOf(span)] += std::max<int64_t>(0, DurationUs(span) - below);
}

}  // namespace

bool FitsPattern(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return true;
  if (pattern.back() != '*') return text == pattern;
  pattern.remove_suffix(1);
  return text.substr(0, pattern.size()) == pattern;
}

void AnalyzePerformance(std::string_view item, const std::vector<v1::Span>& spans,
                        v1::AnalyzePerformanceResponse* out) {
  Tree tree;
  for (const v1::Span& span : spans) {
    if (!span.parent().empty()) tree[span.parent()].push_back(&span);
  }
  std::vector<int64_t> durations;
  std::map<std::string, std::vector<int64_t>> by_stage;
  for (const v1::Span& span : spans) {
    if (!IsFront(span)) continue;
    const size_t space = span.name().find(' ');
    const bool named = space != std::string::npos && span.name().substr(space + 1) == item;
    if (item.empty() ? space == std::string::npos : !named) continue;
    const int64_t duration = DurationUs(span);
    durations.push_back(duration);
    if (span.failed()) out->set_failures(out->failures() + 1);
    if (duration > out->slowest_us() || out->slowest_trace().empty()) {
      out->set_slowest_us(duration);
      out->set_slowest_trace(span.trace());
    }
    std::set<const v1::Span*> seen;
    std::map<std::string, int64_t> stages;
    AddStages(span, tree, seen, stages);
    for (const auto& [stage, us] : stages) by_stage[stage].push_back(us);
  }
  if (durations.empty()) return;
  std::sort(durations.begin(), durations.end());
  const int64_t total = Sum(durations);
  out->set_calls(static_cast<int64_t>(durations.size()));
  out->set_mean_us(total / static_cast<int64_t>(durations.size()));
  out->set_p50_us(Quantile(durations, 0.5));
  out->set_p95_us(Quantile(durations, 0.95));
  out->set_p99_us(Quantile(durations, 0.99));
  std::vector<v1::Stage> stages;
  for (auto& [name, values] : by_stage) {
    std::sort(values.begin(), values.end());
    v1::Stage& stage = stages.emplace_back();
    const int64_t sum = Sum(values);
    stage.set_name(name);
    stage.set_calls(static_cast<int64_t>(values.size()));
    stage.set_mean_us(sum / static_cast<int64_t>(values.size()));
    stage.set_p95_us(Quantile(values, 0.95));
    stage.set_share(total == 0 ? 0 : sum * 10'000 / total);
  }
  std::stable_sort(stages.begin(), stages.end(),
                   [](const auto& a, const auto& b) { return a.share() > b.share(); });
  if (stages.size() > kStagesMax) stages.resize(kStagesMax);
  for (v1::Stage& stage : stages) *out->add_stages() = std::move(stage);
}

void MakeServiceMap(const std::vector<v1::Span>& spans, v1::GetServiceMapResponse* out) {
  struct Calls {
    std::vector<int64_t> durations;
    int64_t failures = 0;
  };
  std::unordered_map<std::string, const v1::Span*> by_id;
  for (const v1::Span& span : spans) by_id.emplace(span.span(), &span);
  std::map<std::pair<std::string, std::string>, Calls> edges;
  for (const v1::Span& span : spans) {
    std::string from, to;
    if (IsServerCall(span)) {
      from = span.service();
      to = StrCat("server ", Attribute(span, "metamcp.upstream"));
    } else if (IsFront(span)) {
      from = "clients";
      to = span.service();
    } else if (IsRpc(span) && span.kind() == "server") {
      const auto caller = by_id.find(span.parent());
      if (caller == by_id.end()) continue;
      from = caller->second->service();
      to = span.service();
    } else {
      continue;
    }
    Calls& calls = edges[{from, to}];
    calls.durations.push_back(DurationUs(span));
    if (span.failed()) ++calls.failures;
  }
  for (auto& [edge, calls] : edges) {
    if (static_cast<size_t>(out->edges_size()) == kEdgesMax) return;
    std::sort(calls.durations.begin(), calls.durations.end());
    v1::Edge& to = *out->add_edges();
    to.set_from(edge.first);
    to.set_to(edge.second);
    to.set_calls(static_cast<int64_t>(calls.durations.size()));
    to.set_failures(calls.failures);
    to.set_p50_us(Quantile(calls.durations, 0.5));
    to.set_p95_us(Quantile(calls.durations, 0.95));
  }
}

}  // namespace metamcp::telemetry
