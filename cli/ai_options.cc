#include "cli/ai_options.h"

namespace metamcp::cli {
namespace {

ai::ProviderSpec ToSpec(const std::string& name, const config::AiProviderConfig& from) {
  ai::ProviderSpec out;
  out.name = name;
  out.api = from.api == "responses"   ? ai::ModelApi::kResponses
            : from.api == "anthropic" ? ai::ModelApi::kAnthropic
                                      : ai::ModelApi::kChat;
  out.url = from.url;
  out.model = from.model;
  out.key = from.key;
  out.timeout_ms = from.timeout_ms;
  out.output_tokens_max = from.output_tokens_max;
  out.stream = from.stream;
  out.json_schema = from.json_schema;
  out.allow_plain_http = from.allow_plain_http;
  out.requests_per_minute = from.requests_per_minute;
  out.tokens_per_day = from.tokens_per_day;
  out.input_cents = from.input_cents;
  out.output_cents = from.output_cents;
  return out;
}

}  // namespace

ai::AppOptions ToAiOptions(const config::AiConfig& config) {
  ai::AppOptions out;
  std::vector<std::string> order = config.order;
  if (order.empty()) {
    for (const auto& [name, provider] : config.providers) order.push_back(name);
  }
  for (const std::string& name : order) {
    const auto it = config.providers.find(name);
    if (it != config.providers.end()) out.providers.push_back(ToSpec(name, it->second));
  }
  out.suggest_time = std::chrono::milliseconds(config.suggest_timeout_ms);
  out.requests_per_minute = config.per_principal.requests_per_minute;
  out.tokens_per_day = config.per_principal.tokens_per_day;
  out.cents_per_day = config.per_principal.cents_per_day;
  out.breaker_failures = config.breaker.failures;
  out.breaker_open = std::chrono::milliseconds(config.breaker.open_ms);
  out.cache_entries = static_cast<size_t>(config.cache_entries);
  out.history = config.history;
  out.cache_lifetime = std::chrono::milliseconds(config.cache_ttl_ms);
  return out;
}

}  // namespace metamcp::cli
