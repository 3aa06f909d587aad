#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

// Workflows of Arazzo 1.0 (https://spec.openapis.org/arazzo/v1.0.1.html) as documents of Open
// Workflow, in which each step calls a registered tool. Pure.
namespace metamcp::cli::arazzo {

// The tool for an operation: "server.tool". `source` is the name of its source description where
// the step names it, else empty. Errors say why there is none.
using ToolOf = std::function<absl::StatusOr<std::string>(const std::string& operation,
                                                         const std::string& source)>;

struct Imported {
  // One for each workflow of the description.
  std::vector<nlohmann::ordered_json> documents;
  // What is not there, by where it stands: "workflows/0/steps/1/onFailure: …". Where it is not
  // empty there are no documents.
  std::vector<std::string> refused;
};

// `description` is a document of Arazzo. `only` names one workflow of it; empty: all.
Imported Import(const nlohmann::ordered_json& description, const std::string& only,
                const ToolOf& tool_of);

}  // namespace metamcp::cli::arazzo
