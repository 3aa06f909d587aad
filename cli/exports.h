#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/config/config.h"

namespace metamcp::cli {

// Begins to record traces where the settings keep spans in memory, or they or OpenTelemetry's own
// variables (OTEL_EXPORTER_OTLP_ENDPOINT, …_TRACES_ENDPOINT, …_PROTOCOL, OTEL_SDK_DISABLED) name a
// collector; and to export log lines where OTEL_EXPORTER_OTLP_LOGS_ENDPOINT names one, or
// OTEL_LOGS_EXPORTER is otlp and there is one of traces. End with StopExports. Errors:
// CONFIG_INVALID where a setting asks for what this build cannot do.
absl::Status StartExports(const config::TelemetryConfig& settings, const std::string& program);
// Sends what is left.
void StopExports();

}  // namespace metamcp::cli
