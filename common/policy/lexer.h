#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp::policy {

// A place in a text; both count from 1, columns in bytes.
struct Place {
  int line = 1;
  int column = 1;
};

enum class TokenKind { kWord, kString, kSign, kEnd };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // of a string what it stands for
  Place at;
};

// "file:line:column: message; mend" as CONFIG_INVALID.
absl::Status PolicyError(std::string_view file, Place at, std::string_view message,
                         std::string_view mend);

// The tokens of a policy; the last is kEnd. '#' begins a comment. Errors: PolicyError.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view text, std::string_view file);

}  // namespace metamcp::policy
