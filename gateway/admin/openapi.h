#pragma once

#include <span>
#include <string>

#include "gateway/admin/extra_routes.h"
#include "gateway/admin/route_table.h"

namespace metamcp::gateway::admin {

// The OpenAPI 3.1 description of all operations, made from the descriptors of the methods and
// messages behind them. Descriptions are the comments of the protos. Deterministic.
std::string MakeOpenApi(const RouteTable& table, std::span<const ExtraRoute> extras);

}  // namespace metamcp::gateway::admin
