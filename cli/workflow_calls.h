#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/context.h"

// What commands about workflows share. Include <nlohmann/json.hpp> only in .cc files.
namespace metamcp::cli {

// Stores a document and returns the workflow that it has become. Errors: as the gateway's.
absl::StatusOr<nlohmann::json> StoreWorkflow(CommandContext& ctx, const std::string& source);
// Starts a stored workflow ({name, version, namespace}) and follows its run to its end.
absl::Status RunStored(CommandContext& ctx, const nlohmann::json& workflow,
                       const nlohmann::json& input);

}  // namespace metamcp::cli
