#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ai/plan/words.h"

namespace metamcp::ai {

using Json = nlohmann::ordered_json;

// What an argument means, by its name and schema.
enum class Role {
  kOther,
  kPath,
  kTarget,  // where something goes: destination, output path
  kFolder,
  kUrl,
  kQuery,
  kContent,
  kTitle,
  kKind,
  kNumber,
  kFlag,
  kDate,
  kTime,
  kZone,
  kRef,
  kCells,
};
Role RoleOf(std::string_view name, const Json& schema);

// One tool of the catalog as the planner sees it. Its texts come from a server: they are looked at
// for words and never obeyed.
struct Tool {
  std::string name;     // qualified: server.tool
  std::string exposed;  // as clients of the virtual server see it
  std::string server;
  std::string title;
  std::string description;
  Json input = Json::object();   // JSON Schema
  Json output = Json::object();  // JSON Schema, or empty
  bool read_only = false;
  bool destructive = true;  // may destroy, as MCP's defaults have it
  Action action = Action::kNone;
  std::vector<std::string> name_words;
  std::vector<std::string> text_words;   // of title and description
  std::vector<std::string> input_words;  // of argument names
  bool reachable = true;                 // its server is connected
  bool trusted = false;                  // part of a suggestion that somebody took
  double found = 0;                      // score of the catalog's search, 0 to 1

  bool Requires(std::string_view argument) const;
  // "reads", "changes" or "may destroy".
  std::string_view effect() const;
};

// From the definition that the catalog keeps (a tool of MCP as JSON). Errors: PARSE_ERROR.
absl::StatusOr<Tool> MakeTool(std::string_view qualified_name, std::string_view definition);

}  // namespace metamcp::ai
