#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/config/config.h"

namespace metamcp::cli {

// Begins to record traces where the settings keep spans in memory, or they or OpenTelemetry's own
// variables (OTEL_EXPORTER_OTLP_ENDPOINT, …_TRACES_ENDPOINT, …_PROTOCOL, OTEL_SDK_DISABLED) name a
// collector. End with trace::Stop. Errors: CONFIG_INVALID where a setting asks for what this build
// cannot do.
absl::Status StartTraces(const config::TracesConfig& settings, const std::string& program);

}  // namespace metamcp::cli
