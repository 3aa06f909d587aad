#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/workflow/definition/definition.h"
#include "services/workflow/face/access.h"
#include "services/workflow/store/records.h"

// A published workflow as a tool of MCP. Pure.
namespace metamcp::workflow {

// MCP's hints of a tool, with MCP's defaults for a tool that says nothing.
struct Hints {
  bool read_only = false;
  bool destructive = true;
  bool idempotent = false;
  bool open_world = true;
  bool says_destructive = false;  // in so many words, not by default
};
// From a tool's definition as JSON.
Hints HintsOf(std::string_view definition);

// Hints of the tools that a definition calls, by the names it uses; one that is missing counts as
// a tool that says nothing. Those of child workflows are under "workflow:namespace/name".
using HintsByName = std::map<std::string, Hints, std::less<>>;
std::string ChildKey(std::string_view name_space, std::string_view name);

// Read-only and idempotent if every step is, destructive if any is, open if any is. A request of
// HTTP counts by its method.
Hints DeriveHints(const Definition& definition, const HintsByName& known);

// Name of the tool at its server: the workflow's, after its namespace and a dot where that is not
// "default".
std::string ToolName(std::string_view name_space, std::string_view name);

// Why the workflow cannot be a tool: its input or output is no object. OK otherwise.
absl::Status CheckPublishable(const Definition& definition);
// The JSON Schema that a document gives for its output; empty: none.
std::string OutputSchemaOf(std::string_view document);

// The tool's definition in the shape of MCP 2026-07-28, as JSON. That it destroys is said where a
// step says so; where that is only feared it is left to MCP's default. `sharing`: with whom;
// gateways show the tool to nobody else.
std::string ToolDefinition(const Definition& definition, const HintsByName& known,
                           const Sharing& sharing);

}  // namespace metamcp::workflow
