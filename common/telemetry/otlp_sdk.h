#pragma once

#include <opentelemetry/common/attribute_value.h>
#include <opentelemetry/nostd/string_view.h>
#include <opentelemetry/sdk/common/global_log_handler.h>
#include <opentelemetry/sdk/instrumentationscope/instrumentation_scope.h>
#include <opentelemetry/sdk/resource/resource.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "common/telemetry/otlp.h"

// What both exporters of meta-mcp-otlp.so need of the SDK.
namespace metamcp::trace::sdk {

constexpr std::chrono::seconds kTimeMax{5};

inline opentelemetry::nostd::string_view View(std::string_view text) {
  return opentelemetry::nostd::string_view(text.data(), text.size());
}

// The value refers to `value`.
template <typename Value>
opentelemetry::common::AttributeValue ValueOf(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return View(*text);
  if (const auto* number = std::get_if<int64_t>(&value)) return *number;
  if (const auto* real = std::get_if<double>(&value)) return *real;
  return std::get<bool>(value);
}

inline opentelemetry::sdk::resource::Resource ResourceOf(const OtlpOptions& options) {
  return opentelemetry::sdk::resource::Resource::Create(
      {{"service.name", options.service},
       {"service.version", options.version},
       {"service.instance.id", options.instance}});
}

inline std::unique_ptr<opentelemetry::sdk::instrumentationscope::InstrumentationScope> ScopeOf(
    const OtlpOptions& options) {
  return opentelemetry::sdk::instrumentationscope::InstrumentationScope::Create("meta-mcp",
                                                                                options.version);
}

inline std::string UrlOf(const OtlpOptions& options, const char* path) {
  const size_t host = options.endpoint.find("://");
  const bool has_path =
      host != std::string::npos && options.endpoint.find('/', host + 3) != std::string::npos;
  return has_path ? options.endpoint : options.endpoint + path;
}

// The SDK's HTTP exporters say that an export went well before the collector has answered; how it
// went is in their log alone. What fails is said by whoever exports, in our own log.
class Failures final : public opentelemetry::sdk::common::internal_log::LogHandler {
 public:
  void Handle(opentelemetry::sdk::common::internal_log::LogLevel, const char*, int,
              const char* message,
              const opentelemetry::sdk::common::AttributeMap&) noexcept override {
    const std::string_view text = message == nullptr ? "" : message;
    if (text.find("OTLP TRACE HTTP") != std::string_view::npos) ++Traces();
    if (text.find("OTLP LOG HTTP") != std::string_view::npos) ++Logs();
  }
  // So many exports have failed.
  static std::atomic<uint64_t>& Traces() {
    static std::atomic<uint64_t> count{0};
    return count;
  }
  static std::atomic<uint64_t>& Logs() {
    static std::atomic<uint64_t> count{0};
    return count;
  }
};

// Before an exporter is made.
inline void CountFailures() {
  namespace log = opentelemetry::sdk::common::internal_log;
  log::GlobalLogHandler::SetLogHandler(
      opentelemetry::nostd::shared_ptr<log::LogHandler>(new Failures()));
  log::GlobalLogHandler::SetLogLevel(log::LogLevel::Error);
}

}  // namespace metamcp::trace::sdk
