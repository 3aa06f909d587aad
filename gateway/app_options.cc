#include "gateway/app_options.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/http/url.h"

namespace metamcp::gateway {

using std::chrono::milliseconds;

absl::StatusOr<std::pair<std::string, uint16_t>> SplitListen(const std::string& listen,
                                                             std::string_view setting) {
  const size_t colon = listen.rfind(':');
  int port = -1;
  if (colon != std::string::npos && colon + 1 < listen.size() &&
      listen.find_first_not_of("0123456789", colon + 1) == std::string::npos &&
      listen.size() - colon < 7) {
    port = std::stoi(listen.substr(colon + 1));
  }
  if (port < 0 || port > 65535) {
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat(setting, " \"", listen, "\" must be host:port"));
  }
  std::string host = listen.substr(0, colon);
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return std::make_pair(host, static_cast<uint16_t>(port));
}

bool IsLoopbackHost(std::string_view host) {
  return host == "localhost" || host == "::1" || host.substr(0, 4) == "127.";
}

http::HttpServerOptions ServerOptions(const config::Config& config) {
  http::HttpServerOptions options;
  options.body_bytes_max = static_cast<size_t>(config.limits.body_bytes_max);
  options.header_bytes_max = static_cast<size_t>(config.limits.header_bytes_max);
  options.connections_max = static_cast<size_t>(config.limits.connections_max);
  options.header_timeout = milliseconds(config.gateway.header_timeout_ms);
  options.tls_handshake_timeout = options.header_timeout;
  return options;
}

CallChain::Options ChainOptions(const config::Config& config) {
  CallChain::Options options;
  options.gateway_id = HexEncode(RandomBytes(8));
  options.calls_max = static_cast<int>(config.limits.calls_max);
  options.result_bytes_max = static_cast<size_t>(config.limits.result_bytes_max);
  options.state_lifetime = std::chrono::milliseconds(config.connector.question_timeout_ms);
  return options;
}

SessionRegistry::Options SessionOptions(const config::Config& config, const EdgePeers* peers) {
  SessionRegistry::Options options;
  if (peers != nullptr) {
    options.instance = peers->self();
    options.clustered = peers->clustered();
  }
  options.idle = milliseconds(config.gateway.session_idle_ms);
  options.sessions_max = static_cast<size_t>(config.limits.sessions_max);
  return options;
}

McpEndpoint::Options EndpointOptions(const config::Config& config, const EdgeOptions& edge) {
  McpEndpoint::Options options;
  options.stateless = edge.stateless;
  options.json_only = edge.json_only;
  options.json_depth_max = static_cast<size_t>(config.limits.json_depth_max);
  options.streams_per_session_max = static_cast<size_t>(config.limits.streams_per_client_max);
  return options;
}

CallAudit::Options AuditOptions(const config::Config& config) {
  CallAudit::Options options;
  options.payload_servers = config.audit.payload_servers;
  options.payload_bytes_max = static_cast<size_t>(config.audit.payload_bytes_max);
  return options;
}

DuplexFront::Options DuplexOptions(const config::Config& config) {
  DuplexFront::Options options;
  options.json_depth_max = static_cast<size_t>(config.limits.json_depth_max);
  options.keep_alive = milliseconds(config.gateway.sse_keep_alive_ms);
  options.message_bytes_max = static_cast<size_t>(config.limits.body_bytes_max);
  return options;
}

http::OriginOptions OriginOptionsOf(const config::Config& config, bool loopback) {
  http::OriginOptions options;
  options.loopback_bind = loopback;
  options.allowed_hosts = config.gateway.allowed_hosts;
  options.allowed_origins = config.gateway.allowed_origins;
  if (const auto own = http::ParseUrl(config.gateway.public_url); own.ok()) {
    options.allowed_hosts.push_back(own->authority());
    options.allowed_origins.push_back(own->origin());
  }
  options.allowed_origins.insert(options.allowed_origins.end(), config.gateway.cors.origins.begin(),
                                 config.gateway.cors.origins.end());
  options.cors_credentials = config.gateway.cors.credentials;
  options.cors_max_age_s = config.gateway.cors.max_age_s;
  return options;
}

}  // namespace metamcp::gateway
