#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/config.h"
#include "common/config/expand.h"
#include "common/config/problem.h"

namespace metamcp::config {

// Where the value in force of a setting comes from.
struct ConfigOrigin {
  enum class Source { kDefault, kFile, kEnvironment, kFlag };
  Source source = Source::kDefault;
  std::string detail;  // "path:line:column", a variable's name, a flag's name
};

// "default", "file", "environment" or "flag".
std::string_view OriginName(ConfigOrigin::Source source);

struct LoadOptions {
  // Variables for ${VAR} and for META_MCP_<SECTION>_<KEY>.
  Environment env;
  // Settings from the command line, by setting path ("gateway.listen").
  std::map<std::string, std::string> flags;
  // A missing file is an error; otherwise it means the defaults.
  bool require_file = false;
  // Report every missing variable of mcpServers as an error too (config validate).
  bool require_server_variables = false;
  // Read variables and files; without it references outside mcpServers stay as they are. Editors of
  // the file switch it off: a variable that is missing in their shell is no fault of the file.
  bool resolve = true;
};

struct LoadResult {
  Config config;
  // Things worth saying: ignored keys of other clients, permissions, an old schema.
  std::vector<Problem> notes;
  // By setting path; every setting has one.
  std::map<std::string, ConfigOrigin> origins;
  // Where each server and virtual server stands, by "mcpServers.<name>", "virtualServers.<name>".
  std::map<std::string, Position> places;
  // The file existed.
  bool from_file = false;
};

// What is wrong with a text, and what could be read of it.
struct CheckResult {
  LoadResult loaded;
  std::vector<Problem> errors;  // at most 50, in order of place
};

// Reads `text` (JSON with comments and trailing commas, at most 4 MiB) as the content of `file`,
// then lays environment and flags over it. Total: any bytes give an answer. Blocks only for
// ${file:...}.
CheckResult CheckConfig(std::string_view text, const std::string& file, const LoadOptions& options);

// Reads the file at `path` and checks it; warns when it holds literal credentials that others can
// read. Blocks on the file system.
// Errors: CONFIG_INVALID with FormatErrors as its message; NOT_FOUND when require_file and there is
// none; PERMISSION_DENIED or INTERNAL when it cannot be read.
absl::StatusOr<LoadResult> LoadConfigBlocking(const std::string& path, const LoadOptions& options);

}  // namespace metamcp::config
