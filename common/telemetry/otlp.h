#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/telemetry/log_export.h"
#include "common/telemetry/trace.h"

namespace metamcp::trace {

struct OtlpOptions {
  // What the endpoint comes from, for errors.
  std::string setting;
  // http://host:4317 or https://… of a collector; with `grpc` false the base to which /v1/traces or
  // /v1/logs is added where it has no path.
  std::string endpoint;
  bool grpc = true;
  bool json = false;  // over HTTP: JSON instead of Protobuf
  // The resource of every span and log record (OpenTelemetry semantic conventions, service).
  std::string service;
  std::string version;
  std::string instance;
};

// The exporter of OpenTelemetry's SDK. It lives in a library of its own, meta-mcp-otlp.so beside
// the program, which is loaded here: a program that exports nothing pays for none of it. What the
// options do not say comes from the SDK's environment variables (OTEL_EXPORTER_OTLP_HEADERS,
// …_CERTIFICATE, …_TIMEOUT). Errors: CONFIG_INVALID where the library is missing or refuses.
absl::StatusOr<std::unique_ptr<Exporter>> LoadOtlpExporter(const OtlpOptions& options);
// The same for log records.
absl::StatusOr<std::unique_ptr<LogExporter>> LoadOtlpLogExporter(const OtlpOptions& options);

// What the library exports under these names. Null: `*error` says why.
using OtlpFactory = Exporter* (*)(const OtlpOptions& options, std::string* error);
inline constexpr char kOtlpFactory[] = "metamcp_make_otlp_exporter";
using OtlpLogFactory = LogExporter* (*)(const OtlpOptions& options, std::string* error);
inline constexpr char kOtlpLogFactory[] = "metamcp_make_otlp_log_exporter";

}  // namespace metamcp::trace
