#include "gateway/admin/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <optional>

#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/telemetry/exposition.h"
#include "gateway/protocol/results.h"

namespace metamcp::gateway::admin {
namespace {

using exposition::Add;
using exposition::Family;
using exposition::Single;
using prometheus::MetricFamily;

// Seconds; from a call within this machine to the longest sensible wait.
const prometheus::Histogram::BucketBoundaries kBuckets = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};

void AddUpstreams(const Gauges& gauges, std::vector<MetricFamily>& out) {
  MetricFamily state = Family("metamcp_upstream_state", "1 for the state the upstream is in.");
  MetricFamily up = Family("metamcp_upstream_reachable", "Whether the upstream answers.");
  MetricFamily enabled = Family("metamcp_upstream_enabled", "Whether operators want it.");
  for (const auto& upstream : gauges.upstreams) {
    Add(state, 1, {{"upstream", upstream.name}, {"state", upstream.state}});
    Add(up, upstream.reachable, {{"upstream", upstream.name}});
    Add(enabled, upstream.enabled, {{"upstream", upstream.name}});
  }
  for (MetricFamily* family : {&state, &up, &enabled}) {
    if (!family->metric.empty()) out.push_back(std::move(*family));
  }
}

// The name or URI that a call is for, as the client wrote it.
std::string ItemOf(std::string_view params) {
  const auto view = json::ScanObject(params);
  if (!view.ok()) return "";
  const auto name = view->String("name");
  return name.has_value() ? *name : view->String("uri").value_or("");
}

void AddGuards(const Gauges& gauges, std::vector<MetricFamily>& out) {
  constexpr auto kCounter = prometheus::MetricType::Counter;
  MetricFamily refused =
      Family("metamcp_limit_refusals_total", "Calls and requests that a limit refused.", kCounter);
  for (const auto& limit : gauges.limits) {
    Add(refused, static_cast<double>(limit.refused),
        {{"rule", limit.rule}, {"scope", limit.scope}, {"kind", limit.kind}});
  }
  MetricFamily found = Family("metamcp_detector_findings_total", "What detectors found.", kCounter);
  for (const auto& finding : gauges.findings) {
    Add(found, static_cast<double>(finding.count),
        {{"detector", finding.detector}, {"place", finding.place}, {"action", finding.action}});
  }
  for (MetricFamily* family : {&refused, &found}) {
    if (!family->metric.empty()) out.push_back(std::move(*family));
  }
  if (!gauges.limits.empty()) {
    out.push_back(exposition::Single("metamcp_limit_keys", "Allowances of limits in memory.",
                                     static_cast<double>(gauges.limit_keys)));
  }
}

}  // namespace

struct Metrics::Series {
  std::map<std::string, std::string> labels;
  prometheus::Histogram* latency = nullptr;
  std::map<std::string, prometheus::Counter*, std::less<>> by_outcome;
};

struct Metrics::Impl {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& calls =
      prometheus::BuildCounter()
          .Name("metamcp_calls_total")
          .Help("Finished calls by virtual server, upstream, MCP method and outcome.")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& latency =
      prometheus::BuildHistogram()
          .Name("metamcp_call_duration_seconds")
          .Help("Time from a call's arrival at the call chain to its result.")
          .Register(registry);
  std::map<std::string, Series, std::less<>> series;
  struct Counter {
    config::CounterRule rule;
    uint64_t count = 0;
  };
  std::vector<Counter> counters;
};

Metrics::Metrics(size_t series_max) : series_max_(series_max), impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

Metrics::Series& Metrics::Find(const FinishedCall& call) {
  // Labels hold no line break: they are slugs and configured words; if one does, it only shares a
  // series.
  std::string key = StrCat(call.virtual_server, "\n", call.upstream, "\n", call.method);
  auto it = impl_->series.find(key);
  if (it != impl_->series.end()) return it->second;
  Series series;
  if (impl_->series.size() >= series_max_) {
    key = "other";
    it = impl_->series.find(key);
    if (it != impl_->series.end()) return it->second;
    series.labels = {{"virtual_server", "other"}, {"upstream", "other"}, {"method", "other"}};
  } else {
    series.labels = {{"virtual_server", std::string(call.virtual_server)},
                     {"upstream", std::string(call.upstream)},
                     {"method", std::string(call.method)}};
  }
  series.latency = &impl_->latency.Add(series.labels, kBuckets);
  return impl_->series.emplace(std::move(key), std::move(series)).first->second;
}

void Metrics::AddCounters(std::vector<config::CounterRule> rules) {
  for (config::CounterRule& rule : rules) impl_->counters.push_back({std::move(rule), 0});
}

void Metrics::CountUserCounters(const FinishedCall& call) {
  const auto fits = [](const std::string& glob, std::string_view text) {
    return glob.empty() || GlobMatch(glob, text);
  };
  std::optional<std::string> item;  // read once, by the first counter that asks
  for (Impl::Counter& counter : impl_->counters) {
    const config::CounterRule& rule = counter.rule;
    if (!fits(rule.upstream, call.upstream) || !fits(rule.virtual_server, call.virtual_server) ||
        !fits(rule.method, call.method) || !fits(rule.outcome, call.outcome)) {
      continue;
    }
    if (!rule.item.empty()) {
      if (!item) item = ItemOf(call.params);
      if (!GlobMatch(rule.item, *item)) continue;
    }
    ++counter.count;
  }
}

void Metrics::OnFinished(const FinishedCall& call) {
  if (!impl_->counters.empty()) CountUserCounters(call);
  ++calls_;
  if (call.outcome != "ok" && call.outcome != "input_required") ++failures_;
  Series& series = Find(call);
  series.latency->Observe(std::chrono::duration<double>(call.duration).count());
  auto it = series.by_outcome.find(call.outcome);
  if (it == series.by_outcome.end()) {
    std::map<std::string, std::string> labels = series.labels;
    labels["outcome"] = std::string(call.outcome);
    it = series.by_outcome.emplace(std::string(call.outcome), &impl_->calls.Add(labels)).first;
  }
  it->second->Increment();
}

std::string Metrics::Text(const Gauges& gauges) const {
  std::vector<MetricFamily> families;
  for (MetricFamily& family : impl_->registry.Collect()) {
    if (!family.metric.empty()) families.push_back(std::move(family));
  }
  families.push_back(Single("metamcp_connections", "Open HTTP connections of clients.",
                            static_cast<double>(gauges.connections)));
  families.push_back(
      Single("metamcp_sessions", "Legacy MCP sessions.", static_cast<double>(gauges.sessions)));
  families.push_back(Single("metamcp_event_streams", "Operators' open event streams.",
                            static_cast<double>(gauges.event_streams)));
  if (gauges.audit) {
    families.push_back(Single("metamcp_audit_waiting",
                              "Events that wait in memory for the audit service.",
                              static_cast<double>(gauges.audit->waiting)));
    families.push_back(Single("metamcp_audit_spooled_bytes",
                              "Size of the events on this disk that the audit service has not "
                              "confirmed.",
                              static_cast<double>(gauges.audit->spooled_bytes)));
  }
  AddUpstreams(gauges, families);
  for (const Impl::Counter& counter : impl_->counters) {
    families.push_back(Single(StrCat("metamcp_user_", counter.rule.name, "_total"),
                              "Calls that fit the counter of this name in telemetry.counters.",
                              static_cast<double>(counter.count), prometheus::MetricType::Counter));
  }
  AddGuards(gauges, families);
  exposition::AddProcess(families, std::string(kProgramVersion));
  return exposition::Text(families);
}

}  // namespace metamcp::gateway::admin
