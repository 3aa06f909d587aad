#include "cli/exports.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "common/telemetry/log_export.h"
#include "common/telemetry/otlp.h"
#include "common/telemetry/span_ring.h"

namespace metamcp::cli {
namespace {

std::string Variable(const std::string& name) {
  const char* value = ::getenv(name.c_str());
  return value == nullptr ? std::string() : std::string(value);
}

std::string FirstOf(const std::string& one, const std::string& other) {
  return one.empty() ? other : one;
}

// As logs may show it: without a password and without a query.
std::string Shown(const std::string& url) {
  const size_t scheme = url.find("://");
  const size_t host = scheme == std::string::npos ? 0 : scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", host), url.size());
  const size_t at = url.rfind('@', end);
  const size_t from = at == std::string::npos || at < host ? host : at + 1;
  return url.substr(0, host) + url.substr(from, url.find_first_of("?#", from) - from);
}

bool Disabled() { return Variable("OTEL_SDK_DISABLED") == "true"; }

// One for all that this process exports.
const std::string& Instance() {
  static const std::string instance = NewUuidV7();
  return instance;
}

// How to reach the collector of `signal` (TRACES, LOGS); `protocol` is the setting.
trace::OtlpOptions MakeOptions(const std::string& signal, const std::string& setting,
                               const std::string& endpoint, const std::string& protocol,
                               const std::string& program) {
  trace::OtlpOptions otlp;
  otlp.setting = setting;
  otlp.endpoint = endpoint;
  otlp.grpc = protocol == "grpc";
  otlp.json = protocol == "json";
  if (protocol == "auto") {
    const std::string said = FirstOf(Variable(StrCat("OTEL_EXPORTER_OTLP_", signal, "_PROTOCOL")),
                                     Variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    otlp.grpc = said.empty() || said == "grpc";
    otlp.json = said == "http/json";
  }
  otlp.service = program;
  otlp.version = METAMCP_VERSION;
  otlp.instance = Instance();
  return otlp;
}

// The exporter to a collector; null where none is named.
absl::StatusOr<std::unique_ptr<trace::Exporter>> MakeExporter(const config::TracesConfig& settings,
                                                              const std::string& program) {
  std::string endpoint = settings.endpoint;
  const bool asked = !endpoint.empty();
  if (!asked && !Disabled()) {
    endpoint = FirstOf(Variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
                       Variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
  }
  if (endpoint.empty()) return std::unique_ptr<trace::Exporter>();
  const trace::OtlpOptions otlp =
      MakeOptions("TRACES", "telemetry.traces.endpoint", endpoint, settings.protocol, program);
  auto exporter = trace::LoadOtlpExporter(otlp);
  if (exporter.ok()) {
    Log(LogLevel::kInfo, "traces.on",
        {{"endpoint", Shown(otlp.endpoint)}, {"protocol", otlp.grpc ? "grpc" : "http"}});
    return exporter;
  }
  if (asked) return exporter.status();
  // The variable may be meant for others.
  Log(LogLevel::kWarning, "traces.off", {{"error", std::string(exporter.status().message())}});
  return std::unique_ptr<trace::Exporter>();
}

absl::Status StartTraces(const config::TracesConfig& settings, const std::string& program) {
  METAMCP_ASSIGN_OR_RETURN(std::unique_ptr<trace::Exporter> exporter,
                           MakeExporter(settings, program));
  if (settings.keep > 0) {
    auto ring =
        std::make_unique<trace::SpanRing>(static_cast<size_t>(settings.keep), std::move(exporter));
    ring->Publish();
    exporter = std::move(ring);
  }
  if (exporter == nullptr) return absl::OkStatus();
  trace::Options options;
  options.ratio = static_cast<double>(settings.per_10000) / 10'000;
  options.follow_parent = settings.follow_parent;
  trace::Start(std::move(exporter), options);
  return absl::OkStatus();
}

// The collector of the log: one of its own, or with OTEL_LOGS_EXPORTER that of all signals. A
// collector of traces alone is common, so that one does not suffice.
std::string LogsEndpoint(const config::TracesConfig& traces) {
  if (Disabled()) return "";
  std::string endpoint = Variable("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT");
  if (endpoint.empty() && Variable("OTEL_LOGS_EXPORTER") == "otlp") {
    endpoint = FirstOf(traces.endpoint, Variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
    constexpr std::string_view kTracesPath = "/v1/traces";
    const size_t at = endpoint.rfind(kTracesPath);
    if (at != std::string::npos && at + kTracesPath.size() == endpoint.size()) {
      endpoint.replace(at, kTracesPath.size(), "/v1/logs");
    }
  }
  return endpoint;
}

void StartLogs(const config::TracesConfig& traces, const std::string& program) {
  const std::string endpoint = LogsEndpoint(traces);
  if (endpoint.empty()) return;
  const trace::OtlpOptions otlp =
      MakeOptions("LOGS", "OTEL_LOGS_EXPORTER", endpoint, traces.protocol, program);
  auto exporter = trace::LoadOtlpLogExporter(otlp);
  if (!exporter.ok()) {
    Log(LogLevel::kWarning, "logs.off", {{"error", std::string(exporter.status().message())}});
    return;
  }
  StartLogExport(*std::move(exporter), LogExportOptions());
  Log(LogLevel::kInfo, "logs.on",
      {{"endpoint", Shown(otlp.endpoint)}, {"protocol", otlp.grpc ? "grpc" : "http"}});
}

}  // namespace

absl::Status StartExports(const config::TelemetryConfig& settings, const std::string& program) {
  StartLogs(settings.traces, program);
  return StartTraces(settings.traces, program);
}

void StopExports() {
  trace::Stop();
  StopLogExport();
}

}  // namespace metamcp::cli
