#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

// Expressions and criteria of Arazzo 1.0 (sections "Runtime Expressions" and "Criterion Object") as
// jq of our workflows. Pure. Errors are UNIMPLEMENTED with what is not there, by its name.
namespace metamcp::cli::arazzo {

// What expressions may refer to.
struct Scope {
  std::set<std::string> inputs;  // names
  // jq of the outputs of steps that have run: by step id, then by name.
  std::map<std::string, std::map<std::string, std::string>> outputs;
  std::string body;  // jq of $response.body; empty where there is no answer yet
};

// "$inputs.a", "$steps.x.outputs.y#/0", "$response.body#/a/b".
absl::StatusOr<std::string> RuntimeJq(std::string_view expression, const Scope& scope);

// A value in which strings may be runtime expressions, or have them in braces: the jq of the
// string. Empty where it is a plain text.
absl::StatusOr<std::string> TextJq(std::string_view text, const Scope& scope);

// A criterion of type simple. $statusCode is that of a tool that worked: any of 200 to 299.
absl::StatusOr<std::string> SimpleJq(std::string_view condition, const Scope& scope);

// A criterion of type jsonpath over a context: whether it selects something. Names, positions, `*`
// and a filter with comparisons, !, &&, ||, count() and length().
absl::StatusOr<std::string> JsonPathJq(std::string_view context, std::string_view condition,
                                       const Scope& scope);
// A criterion of type regex.
absl::StatusOr<std::string> RegexJq(std::string_view context, std::string_view pattern,
                                    const Scope& scope);

}  // namespace metamcp::cli::arazzo
