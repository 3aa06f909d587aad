#include "gateway/admin/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "common/base/strings.h"
#include "gateway/admin/process_stats.h"
#include "gateway/protocol/results.h"

namespace metamcp::gateway::admin {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<std::pair<std::string, std::string>>;

// Seconds; from a call within this machine to the longest sensible wait.
const prometheus::Histogram::BucketBoundaries kBuckets = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};

MetricFamily Family(std::string name, std::string help, MetricType type = MetricType::Gauge) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  return family;
}

void Add(MetricFamily& family, double value, const Labels& labels = {}) {
  ClientMetric metric;
  for (const auto& [name, text] : labels) {
    ClientMetric::Label label;
    label.name = name;
    label.value = text;
    metric.label.push_back(std::move(label));
  }
  (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  family.metric.push_back(std::move(metric));
}

MetricFamily Single(std::string name, std::string help, double value,
                    MetricType type = MetricType::Gauge) {
  MetricFamily family = Family(std::move(name), std::move(help), type);
  Add(family, value);
  return family;
}

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

void AddProcess(std::vector<MetricFamily>& out) {
  const ProcessStats stats = ReadProcessStats();
  out.push_back(Single("process_cpu_seconds_total", "CPU time of the process.", stats.cpu_seconds,
                       MetricType::Counter));
  out.push_back(Single("process_resident_memory_bytes", "Memory in use.",
                       static_cast<double>(stats.resident_bytes)));
  out.push_back(Single("process_virtual_memory_bytes", "Address space in use.",
                       static_cast<double>(stats.virtual_bytes)));
  out.push_back(
      Single("process_open_fds", "Open file descriptors.", static_cast<double>(stats.open_fds)));
  out.push_back(Single("process_max_fds", "Limit of open file descriptors.",
                       static_cast<double>(stats.max_fds)));
  out.push_back(Single("process_start_time_seconds", "Start of the process, Unix time.",
                       stats.start_seconds));
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

void Metrics::OnFinished(const FinishedCall& call) {
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
  MetricFamily build = Family("metamcp_build_info", "1, with the version as label.");
  Add(build, 1, {{"version", std::string(kProgramVersion)}});
  families.push_back(std::move(build));
  families.push_back(Single("metamcp_connections", "Open HTTP connections of clients.",
                            static_cast<double>(gauges.connections)));
  families.push_back(
      Single("metamcp_sessions", "Legacy MCP sessions.", static_cast<double>(gauges.sessions)));
  families.push_back(Single("metamcp_event_streams", "Operators' open event streams.",
                            static_cast<double>(gauges.event_streams)));
  AddUpstreams(gauges, families);
  AddProcess(families);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace metamcp::gateway::admin
