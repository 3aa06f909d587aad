#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/db/value.h"

// For the drivers: from named parameters to numbered ones.
namespace metamcp::db {

struct ParsedStatement {
  std::string sql;                 // with ?1 or $1 instead of :name
  std::vector<std::string> names;  // names[i] is number i + 1; each once
};

// Replaces every `:name` outside of literals, quoted identifiers and comments by `mark` and its
// number. Errors: INTERNAL for positional parameters, an unclosed literal, or a second statement.
absl::StatusOr<ParsedStatement> ParseStatement(std::string_view sql, char mark);

// Returns the values of `names` in that order. Errors: INTERNAL for a parameter that is missing,
// unknown or given twice; INVALID_ARGUMENT for a value that not every driver can store.
absl::StatusOr<std::vector<const Value*>> OrderParams(const std::vector<std::string>& names,
                                                      const Params& params);

// Returns whether `text` is well-formed UTF-8 (RFC 3629) without NUL.
bool IsStorableText(std::string_view text);

// At most this many prepared statements are kept per connection; our SQL is a fixed set of texts,
// so the bound only guards against a store that builds texts.
inline constexpr size_t kPreparedMax = 256;

}  // namespace metamcp::db
