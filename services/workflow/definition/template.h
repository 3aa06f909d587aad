#pragma once

#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>

namespace metamcp::workflow {

// A value of a definition that may hold expressions, compiled to one jq expression so that it costs
// one evaluation.
struct Template {
  // Nothing to evaluate: `text` is the value as JSON. Else `text` is jq.
  bool constant = true;
  std::string text = "null";
  // What it refers to as $name, known names or not.
  std::set<std::string> variables;
};

// Strings of the form "${ … }" are expressions, at any depth; other strings stand for themselves.
Template CompileValue(const nlohmann::ordered_json& value);
// A string where the format wants an expression: "${ … }" and bare text are the same.
Template CompileExpression(std::string_view text);
// An object is as CompileValue, a string as CompileExpression.
Template CompileFilter(const nlohmann::ordered_json& value);
// Text with {name} parts, each replaced by that member of the input, percent-encoded (the simple
// form of RFC 6570). "${ … }" is an expression.
Template CompileUri(std::string_view text);

// The program that evaluates `body`: its input is {"d": data, "v": {name: value}}, of which the
// names in `bound` are visible as $name. It yields one value; several are an error.
std::string MakeProgram(const Template& body, const std::set<std::string>& bound);

// Whether the text is "${ … }"; returns what is inside through `inner`.
bool IsExpression(std::string_view text, std::string_view* inner);

}  // namespace metamcp::workflow
