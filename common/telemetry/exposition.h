#pragma once

#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>

#include <string>
#include <utility>
#include <vector>

// What /metrics of every process is made of: metric families that are filled at the time of a
// scrape, and what is the same everywhere.
namespace metamcp::exposition {

using Labels = std::vector<std::pair<std::string, std::string>>;

prometheus::MetricFamily Family(std::string name, std::string help,
                                prometheus::MetricType type = prometheus::MetricType::Gauge);
// A counter or gauge more, by the family's type.
void Add(prometheus::MetricFamily& family, double value, const Labels& labels = {});
// A family of one metric without labels.
prometheus::MetricFamily Single(std::string name, std::string help, double value,
                                prometheus::MetricType type = prometheus::MetricType::Gauge);

// metamcp_build_info, metamcp_spans_total, metamcp_log_records_total and process_*. Reads /proc.
void AddProcess(std::vector<prometheus::MetricFamily>& out, const std::string& version);

// Prometheus' text format 0.0.4.
std::string Text(const std::vector<prometheus::MetricFamily>& families);
inline constexpr char kContentType[] = "text/plain; version=0.0.4";

}  // namespace metamcp::exposition
