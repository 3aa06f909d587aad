#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace metamcp::json {

// An ECMAScript pattern: RE2, which is linear in the text, or where RE2 cannot express it (look
// around, back references) PCRE2 with a match limit. Immutable; any thread.
class Pattern {
 public:
  enum class Match { kNo, kYes, kLimit };
  virtual ~Pattern() = default;
  // Searches the pattern anywhere in the text.
  virtual Match Find(std::string_view text) const = 0;
};

// Errors: INVALID_PARAMS.
absl::StatusOr<std::unique_ptr<const Pattern>> CompilePattern(std::string_view ecma);

}  // namespace metamcp::json
