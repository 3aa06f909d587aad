#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp::config {

using Environment = std::map<std::string, std::string, std::less<>>;

// The variables of this process.
Environment ProcessEnvironment();

struct ExpandOptions {
  // ${file:...} is refused when false.
  bool allow_files = true;
  // A file with more bytes is an error.
  size_t file_bytes_max = 64 << 10;
};

// Returns `text` with its references replaced:
//   ${VAR}, ${env:VAR}      the variable; an error when it is not set
//   ${VAR:-text}            `text` (which may hold references) when VAR is not set or empty
//   ${file:/absolute/path}  the content of the file, without one newline at its end
//   ${secret:NAME}          the entry "secret:NAME" of `env`, which the vault's owner puts there
//   $${                     a literal ${
// A '$' before anything else is itself. Blocks only for ${file:...}. The value of a variable is not
// searched for references again.
// Errors: NOT_FOUND "variable X is not set" (or a missing file); INVALID_ARGUMENT for a reference
// that is not closed or has no such form. Messages name variables, never values.
absl::StatusOr<std::string> Expand(std::string_view text, const Environment& env,
                                   const ExpandOptions& options = {});

struct Reference {
  enum class Kind { kVariable, kFile, kSecret };
  Kind kind = Kind::kVariable;
  std::string name;  // the variable, the path, or the secret
  bool has_default = false;
};

// Returns the references of `text`, those inside defaults too, in order; malformed ones are left
// out.
std::vector<Reference> References(std::string_view text);

}  // namespace metamcp::config
