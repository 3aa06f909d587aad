#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace metamcp::cli {

// The MCP endpoint behind what a user gives as URL: a gateway's base ("https://host",
// "https://host/servers/x") gets "/mcp", or "/servers/NAME/mcp" with a virtual server; any other
// path stays. Errors: CONFIG_INVALID-class INVALID_ARGUMENT for a bad URL or name.
absl::StatusOr<std::string> EndpointUrl(std::string_view url, std::string_view virtual_server);

// The base URL of a gateway, also where its MCP endpoint is given; no slash at its end.
std::string BaseUrl(std::string_view url);

}  // namespace metamcp::cli
