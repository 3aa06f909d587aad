#include "cli/traces.h"

#include <cstdlib>
#include <string_view>

#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/telemetry/log.h"
#include "common/telemetry/otlp.h"
#include "common/telemetry/span_ring.h"

namespace metamcp::cli {
namespace {

std::string Variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string FirstOf(const std::string& one, const std::string& other) {
  return one.empty() ? other : one;
}

// The exporter to a collector; null where none is named.
absl::StatusOr<std::unique_ptr<trace::Exporter>> MakeExporter(const config::TracesConfig& settings,
                                                              const std::string& program) {
  trace::OtlpOptions otlp;
  otlp.endpoint = settings.endpoint;
  const bool asked = !otlp.endpoint.empty();
  if (!asked && Variable("OTEL_SDK_DISABLED") != "true") {
    otlp.endpoint = FirstOf(Variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
                            Variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
  }
  if (otlp.endpoint.empty()) return std::unique_ptr<trace::Exporter>();
  otlp.grpc = settings.protocol == "grpc";
  otlp.json = settings.protocol == "json";
  if (settings.protocol == "auto") {
    const std::string protocol = FirstOf(Variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
                                         Variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    otlp.grpc = protocol.empty() || protocol == "grpc";
    otlp.json = protocol == "http/json";
  }
  otlp.service = program;
  otlp.version = METAMCP_VERSION;
  otlp.instance = NewUuidV7();
  auto exporter = trace::LoadOtlpExporter(otlp);
  if (exporter.ok()) {
    Log(LogLevel::kInfo, "traces.on",
        {{"endpoint", otlp.endpoint}, {"protocol", otlp.grpc ? "grpc" : "http"}});
    return exporter;
  }
  if (asked) return exporter.status();
  // The variable may be meant for others.
  Log(LogLevel::kWarning, "traces.off", {{"error", std::string(exporter.status().message())}});
  return std::unique_ptr<trace::Exporter>();
}

}  // namespace

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

}  // namespace metamcp::cli
