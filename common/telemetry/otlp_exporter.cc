// Of the library meta-mcp-otlp.so: turns spans into OpenTelemetry's and sends them with its SDK.
#include <opentelemetry/common/key_value_iterable_view.h>
#include <opentelemetry/exporters/otlp/otlp_grpc_exporter_factory.h>
#include <opentelemetry/exporters/otlp/otlp_grpc_exporter_options.h>
#include <opentelemetry/exporters/otlp/otlp_http_exporter_factory.h>
#include <opentelemetry/exporters/otlp/otlp_http_exporter_options.h>
#include <opentelemetry/sdk/trace/exporter.h>
#include <opentelemetry/sdk/trace/recordable.h>
#include <opentelemetry/trace/span_context.h>

#include <map>

#include "common/telemetry/otlp_sdk.h"

namespace metamcp::trace {
namespace {

namespace otel = opentelemetry;
namespace otlp = opentelemetry::exporter::otlp;

otel::trace::SpanContext ContextOf(const TraceId& trace, const SpanId& span,
                                   const std::string& state, bool remote) {
  using State = otel::trace::TraceState;
  return otel::trace::SpanContext(otel::trace::TraceId(trace), otel::trace::SpanId(span),
                                  otel::trace::TraceFlags(otel::trace::TraceFlags::kIsSampled),
                                  remote,
                                  state.empty() ? State::GetDefault() : State::FromHeader(state));
}

otel::trace::SpanKind KindOf(Kind kind) {
  switch (kind) {
    case Kind::kServer:
    case Kind::kPeer:
      return otel::trace::SpanKind::kServer;
    case Kind::kClient:
      return otel::trace::SpanKind::kClient;
    case Kind::kInternal:
      break;
  }
  return otel::trace::SpanKind::kInternal;
}

class OtlpExporter final : public Exporter {
 public:
  OtlpExporter(std::unique_ptr<otel::sdk::trace::SpanExporter> exporter, const OtlpOptions& options)
      : exporter_(std::move(exporter)),
        resource_(sdk::ResourceOf(options)),
        scope_(sdk::ScopeOf(options)) {}
  ~OtlpExporter() override { exporter_->Shutdown(sdk::kTimeMax); }

  absl::Status Export(std::vector<SpanData> spans) override {
    std::vector<std::unique_ptr<otel::sdk::trace::Recordable>> out;
    out.reserve(spans.size());
    for (const SpanData& span : spans) out.push_back(Convert(span));
    const uint64_t failed = sdk::Failures::Traces();
    const auto result = exporter_->Export(
        otel::nostd::span<std::unique_ptr<otel::sdk::trace::Recordable>>(out.data(), out.size()));
    const bool sent = result == otel::sdk::common::ExportResult::kSuccess &&
                      exporter_->ForceFlush(sdk::kTimeMax) && failed == sdk::Failures::Traces();
    if (sent) return absl::OkStatus();
    return absl::UnavailableError("the collector did not take the spans");
  }

 private:
  std::unique_ptr<otel::sdk::trace::Recordable> Convert(const SpanData& span) {
    auto out = exporter_->MakeRecordable();
    out->SetIdentity(ContextOf(span.trace, span.span, span.tracestate, false),
                     otel::trace::SpanId(span.parent));
    out->SetTraceFlags(otel::trace::TraceFlags(otel::trace::TraceFlags::kIsSampled));
    out->SetName(span.name);
    out->SetSpanKind(KindOf(span.kind));
    out->SetResource(resource_);
    out->SetInstrumentationScope(*scope_);
    out->SetStartTime(otel::common::SystemTimestamp(std::chrono::nanoseconds(span.begun_ns)));
    out->SetDuration(std::chrono::nanoseconds(span.ended_ns - span.begun_ns));
    for (const Attribute& one : span.attributes) {
      out->SetAttribute(sdk::View(one.key), sdk::ValueOf(one.value));
    }
    const std::map<std::string, std::string> nothing;
    const otel::common::KeyValueIterableView<std::map<std::string, std::string>> none(nothing);
    for (const Parent& link : span.links) {
      out->AddLink(ContextOf(link.trace, link.span, "", true), none);
    }
    if (span.failed) out->SetStatus(otel::trace::StatusCode::kError, span.failure);
    return out;
  }

  const std::unique_ptr<otel::sdk::trace::SpanExporter> exporter_;
  const otel::sdk::resource::Resource resource_;
  const std::unique_ptr<otel::sdk::instrumentationscope::InstrumentationScope> scope_;
};

std::unique_ptr<otel::sdk::trace::SpanExporter> Make(const OtlpOptions& options) {
  if (options.grpc) {
    otlp::OtlpGrpcExporterOptions grpc;
    grpc.endpoint = options.endpoint;
    grpc.use_ssl_credentials = options.endpoint.rfind("https://", 0) == 0;
    grpc.timeout = sdk::kTimeMax;
    return otlp::OtlpGrpcExporterFactory::Create(grpc);
  }
  otlp::OtlpHttpExporterOptions http;
  http.url = sdk::UrlOf(options, "/v1/traces");
  http.content_type =
      options.json ? otlp::HttpRequestContentType::kJson : otlp::HttpRequestContentType::kBinary;
  http.timeout = sdk::kTimeMax;
  return otlp::OtlpHttpExporterFactory::Create(http);
}

}  // namespace
}  // namespace metamcp::trace

extern "C" __attribute__((visibility("default"))) metamcp::trace::Exporter*
metamcp_make_otlp_exporter(const metamcp::trace::OtlpOptions& options, std::string* error) {
  metamcp::trace::sdk::CountFailures();
  auto exporter = metamcp::trace::Make(options);
  if (exporter == nullptr) {
    *error = "OpenTelemetry's SDK made no exporter of it";
    return nullptr;
  }
  return new metamcp::trace::OtlpExporter(std::move(exporter), options);
}
