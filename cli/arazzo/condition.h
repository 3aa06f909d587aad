#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace metamcp::cli::arazzo {

// Comparisons with ==, !=, <, <=, >, >=, and !, &&, ||, parentheses, as jq. Words that are no
// literals are given to `operand`. Errors: UNIMPLEMENTED.
class Condition {
 public:
  using Operand = std::function<absl::StatusOr<std::string>(std::string_view word)>;
  // `simple`: as criteria of type simple have it: texts compare without regard to case, and
  // $statusCode is that of success.
  Condition(std::string_view text, Operand operand, bool simple)
      : text_(text), operand_(std::move(operand)), simple_(simple) {}

  absl::StatusOr<std::string> Read();

 private:
  struct Value {
    std::string jq;
    bool status = false;  // $statusCode
    bool text = false;    // a literal text
    std::optional<double> number;
    bool bare = false;  // what `operand` made
  };
  void Skip();
  bool Take(std::string_view token);
  absl::StatusOr<std::string> Or(int depth);
  absl::StatusOr<std::string> And(int depth);
  absl::StatusOr<std::string> Not(int depth);
  absl::StatusOr<Value> Operands(int depth);
  absl::StatusOr<std::string> Compare(const Value& left, const std::string& op,
                                      const Value& right) const;
  absl::Status Odd() const;

  const std::string_view text_;
  const Operand operand_;
  const bool simple_;
  size_t at_ = 0;
};

// The filter of a JSONPath, behind its question mark, about "."
absl::StatusOr<std::string> FilterJq(std::string_view filter);

}  // namespace metamcp::cli::arazzo
