#include "common/telemetry/exposition.h"

#include <prometheus/text_serializer.h>

#include "common/telemetry/log_export.h"
#include "common/telemetry/process_stats.h"
#include "common/telemetry/trace.h"

namespace metamcp::exposition {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Family(std::string name, std::string help, MetricType type) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  return family;
}

void Add(MetricFamily& family, double value, const Labels& labels) {
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

MetricFamily Single(std::string name, std::string help, double value, MetricType type) {
  MetricFamily family = Family(std::move(name), std::move(help), type);
  Add(family, value);
  return family;
}

namespace {

template <typename Counts>
MetricFamily WithCounts(MetricFamily family, const Counts& counts) {
  Add(family, static_cast<double>(counts.exported), {{"result", "exported"}});
  Add(family, static_cast<double>(counts.dropped), {{"result", "dropped"}});
  Add(family, static_cast<double>(counts.failed), {{"result", "failed"}});
  return family;
}

void AddExports(std::vector<MetricFamily>& out) {
  MetricFamily spans =
      Family("metamcp_spans_total", "Recorded spans by what became of them.", MetricType::Counter);
  out.push_back(WithCounts(std::move(spans), trace::CountsSoFar()));
  MetricFamily lines =
      Family("metamcp_log_records_total", "Log records for a collector by what became of them.",
             MetricType::Counter);
  out.push_back(WithCounts(std::move(lines), LogExportsSoFar()));
}

}  // namespace

void AddProcess(std::vector<MetricFamily>& out, const std::string& version) {
  MetricFamily build = Family("metamcp_build_info", "1, with the version as label.");
  Add(build, 1, {{"version", version}});
  out.push_back(std::move(build));
  AddExports(out);
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

std::string Text(const std::vector<MetricFamily>& families) {
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace metamcp::exposition
