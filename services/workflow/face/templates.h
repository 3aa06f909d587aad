#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// Templates of workflows: what people start from, and what proposes workflows where no model does.
// Pure.
namespace metamcp::workflow {

struct TemplateParameterSpec {
  std::string name, description;
  std::string schema;         // JSON Schema of its value
  std::string default_value;  // JSON; empty: it must be given
  bool slot = false;          // a model may fill it from a task in words
};

struct TemplateSpec {
  std::string name, title, description;
  std::vector<TemplateParameterSpec> parameters;
  // The flat form as JSON. A text that is "{{parameter}}" (or "{{parameter.member}}") is that
  // value; in a longer text it is replaced by the value's text.
  std::string body;
};

// The built-in ones, by name.
const std::vector<TemplateSpec>& BuiltinTemplates();
// Null: there is none.
const TemplateSpec* FindTemplate(std::string_view name);

// The workflow that a template is with these values (a JSON object; empty means {}). Errors:
// ARGUMENT_INVALID names the parameter that is missing, unknown or not what its schema says.
absl::StatusOr<std::string> FillTemplate(const TemplateSpec& spec, std::string_view values);

// Reads templates from JSON: a list of {name, title, description, parameters: {name: {description,
// schema, default, slot}}, workflow}. Errors: ARGUMENT_INVALID.
absl::StatusOr<std::vector<TemplateSpec>> ReadTemplates(std::string_view json);

}  // namespace metamcp::workflow
