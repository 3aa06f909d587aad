// Of the library meta-mcp-otlp.so: turns log lines into OpenTelemetry's records and sends them with
// its SDK.
#include <opentelemetry/exporters/otlp/otlp_grpc_log_record_exporter_factory.h>
#include <opentelemetry/exporters/otlp/otlp_grpc_log_record_exporter_options.h>
#include <opentelemetry/exporters/otlp/otlp_http_log_record_exporter_factory.h>
#include <opentelemetry/exporters/otlp/otlp_http_log_record_exporter_options.h>
#include <opentelemetry/logs/severity.h>
#include <opentelemetry/sdk/logs/exporter.h>
#include <opentelemetry/sdk/logs/recordable.h>
#include <opentelemetry/trace/trace_id.h>

#include <array>
#include <charconv>
#include <optional>
#include <string>

#include "common/telemetry/otlp_sdk.h"

namespace metamcp::trace {
namespace {

namespace otel = opentelemetry;
namespace otlp = opentelemetry::exporter::otlp;

otel::logs::Severity SeverityOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return otel::logs::Severity::kDebug;
    case LogLevel::kInfo:
      return otel::logs::Severity::kInfo;
    case LogLevel::kWarning:
      return otel::logs::Severity::kWarn;
    case LogLevel::kError:
      break;
  }
  return otel::logs::Severity::kError;
}

// Of 32 hexadecimal digits; a line may have none.
std::optional<otel::trace::TraceId> TraceIdOf(const std::string& hex) {
  std::array<uint8_t, otel::trace::TraceId::kSize> bytes{};
  if (hex.size() != 2 * bytes.size()) return std::nullopt;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char* begin = hex.data() + 2 * i;
    const auto [end, error] = std::from_chars(begin, begin + 2, bytes[i], 16);
    if (error != std::errc() || end != begin + 2) return std::nullopt;
  }
  return otel::trace::TraceId(otel::nostd::span<const uint8_t, 16>(bytes.data(), bytes.size()));
}

class OtlpLogExporter final : public LogExporter {
 public:
  OtlpLogExporter(std::unique_ptr<otel::sdk::logs::LogRecordExporter> exporter,
                  const OtlpOptions& options)
      : exporter_(std::move(exporter)),
        resource_(sdk::ResourceOf(options)),
        scope_(sdk::ScopeOf(options)) {}
  ~OtlpLogExporter() override { exporter_->Shutdown(sdk::kTimeMax); }

  bool Export(std::vector<LogRecord> records, std::string* error) override {
    std::vector<std::unique_ptr<otel::sdk::logs::Recordable>> out;
    out.reserve(records.size());
    for (const LogRecord& record : records) out.push_back(Convert(record));
    const uint64_t failed = sdk::Failures::Logs();
    const auto result = exporter_->Export(
        otel::nostd::span<std::unique_ptr<otel::sdk::logs::Recordable>>(out.data(), out.size()));
    if (result == otel::sdk::common::ExportResult::kSuccess &&
        exporter_->ForceFlush(sdk::kTimeMax) && failed == sdk::Failures::Logs()) {
      return true;
    }
    *error = "the collector did not take the log records";
    return false;
  }

 private:
  std::unique_ptr<otel::sdk::logs::Recordable> Convert(const LogRecord& record) {
    auto out = exporter_->MakeRecordable();
    const otel::common::SystemTimestamp time{std::chrono::microseconds(record.time_us)};
    out->SetTimestamp(time);
    out->SetObservedTimestamp(time);
    out->SetSeverity(SeverityOf(record.level));
    out->SetBody(sdk::View(record.event));
    out->SetAttribute("event.name", sdk::View(record.event));
    for (const auto& [key, value] : record.fields) {
      out->SetAttribute(sdk::View(key), sdk::ValueOf(value));
    }
    if (const auto id = TraceIdOf(record.trace)) out->SetTraceId(*id);
    out->SetResource(resource_);
    out->SetInstrumentationScope(*scope_);
    return out;
  }

  const std::unique_ptr<otel::sdk::logs::LogRecordExporter> exporter_;
  const otel::sdk::resource::Resource resource_;
  const std::unique_ptr<otel::sdk::instrumentationscope::InstrumentationScope> scope_;
};

std::unique_ptr<otel::sdk::logs::LogRecordExporter> Make(const OtlpOptions& options) {
  if (options.grpc) {
    otlp::OtlpGrpcLogRecordExporterOptions grpc;
    grpc.endpoint = options.endpoint;
    grpc.use_ssl_credentials = options.endpoint.rfind("https://", 0) == 0;
    grpc.timeout = sdk::kTimeMax;
    return otlp::OtlpGrpcLogRecordExporterFactory::Create(grpc);
  }
  otlp::OtlpHttpLogRecordExporterOptions http;
  http.url = sdk::UrlOf(options, "/v1/logs");
  http.content_type =
      options.json ? otlp::HttpRequestContentType::kJson : otlp::HttpRequestContentType::kBinary;
  http.timeout = sdk::kTimeMax;
  return otlp::OtlpHttpLogRecordExporterFactory::Create(http);
}

}  // namespace
}  // namespace metamcp::trace

extern "C" __attribute__((visibility("default"))) metamcp::LogExporter*
metamcp_make_otlp_log_exporter(const metamcp::trace::OtlpOptions& options, std::string* error) {
  metamcp::trace::sdk::CountFailures();
  auto exporter = metamcp::trace::Make(options);
  if (exporter == nullptr) {
    *error = "OpenTelemetry's SDK made no exporter of it";
    return nullptr;
  }
  return new metamcp::trace::OtlpLogExporter(std::move(exporter), options);
}
