#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "common/config/config.h"
#include "common/http/origin.h"
#include "gateway/app.h"
#include "gateway/audit/call_audit.h"
#include "gateway/transport/duplex_front.h"
#include "gateway/transport/mcp_endpoint.h"

// The options of the gateway's parts, as the configuration says.
namespace metamcp::gateway {

// "127.0.0.1:8931", "[::1]:0" or "localhost:8931", of `setting`, into host and port. Errors:
// CONFIG_INVALID.
absl::StatusOr<std::pair<std::string, uint16_t>> SplitListen(
    const std::string& listen, std::string_view setting = "gateway.listen");
bool IsLoopbackHost(std::string_view host);

http::HttpServerOptions ServerOptions(const config::Config& config);
CallChain::Options ChainOptions(const config::Config& config);
SessionRegistry::Options SessionOptions(const config::Config& config, const EdgePeers* peers);
McpEndpoint::Options EndpointOptions(const config::Config& config, const EdgeOptions& edge);
CallAudit::Options AuditOptions(const config::Config& config);
DuplexFront::Options DuplexOptions(const config::Config& config);
http::OriginOptions OriginOptionsOf(const config::Config& config, bool loopback);

}  // namespace metamcp::gateway
