#include "services/workflow/check_arguments.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/schema.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::json;

const Json* Member(const Json& from, const std::string& key) {
  const auto it = from.is_object() ? from.find(key) : from.end();
  return from.is_object() && it != from.end() ? &*it : nullptr;
}

// What stands at a JSON pointer; null where nothing does.
const Json* At(const Json& root, const std::string& pointer) {
  const Json* at = &root;
  const std::vector<std::string> parts = absl::StrSplit(pointer, '/');
  for (size_t i = 1; at != nullptr && i < parts.size(); ++i) {
    const std::string part = absl::StrReplaceAll(parts[i], {{"~1", "/"}, {"~0", "~"}});
    if (at->is_array()) {
      const bool number = !part.empty() && part.size() < 7 &&
                          part.find_first_not_of("0123456789") == std::string::npos;
      const size_t index = number ? std::stoul(part) : at->size();
      at = index < at->size() ? &(*at)[index] : nullptr;
    } else {
      at = Member(*at, part);
    }
  }
  return at;
}

// The arguments of the call as they are written; null where an expression gives them all.
const Json* ArgumentsOf(const Json& call) {
  const Json* with = Member(call, "with");
  const Json* kind = Member(call, "call");
  if (with == nullptr || kind == nullptr) return nullptr;
  if (*kind == "mcp") {
    const Json* parameters = Member(*with, "parameters");
    with = parameters == nullptr ? nullptr : Member(*parameters, "arguments");
  }
  return with != nullptr && with->is_object() ? with : nullptr;
}

bool HasExpression(const Json& value) {
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    const size_t begin = text.find("${");
    return begin != std::string::npos && text.find('}', begin) != std::string::npos;
  }
  return value.is_structured() && std::any_of(value.begin(), value.end(), HasExpression);
}

// A property's schema with the definitions of the whole, to which it may refer.
std::string WithDefinitions(const Json& property, const Json& schema) {
  if (!property.is_object()) return json::DumpJson(property);
  Json out = property;
  for (const char* key : {"$defs", "definitions"}) {
    if (const Json* definitions = Member(schema, key)) out[key] = *definitions;
  }
  return json::DumpJson(out);
}

}  // namespace

void CheckArguments(const std::string& document, const Task& task, const std::string& input_schema,
                    std::vector<Problem>* problems) {
  if (input_schema.empty()) return;
  const auto root = json::ParseJson(document);
  const auto schema = json::ParseJson(input_schema);
  if (!root.ok() || !schema.ok()) return;
  const Json* call = At(*root, task.path);
  const Json* arguments = call == nullptr ? nullptr : ArgumentsOf(*call);
  if (arguments == nullptr) return;
  const std::string path = StrCat(task.path, "/with");
  if (const Json* required = Member(*schema, "required"); required && required->is_array()) {
    for (const Json& name : *required) {
      if (!name.is_string() || arguments->contains(name.get<std::string>())) continue;
      problems->push_back({path, StrCat("the argument \"", name.get<std::string>(), "\" of ",
                                        task.tool, " is missing")});
    }
  }
  const Json* properties = Member(*schema, "properties");
  const Json* more = Member(*schema, "additionalProperties");
  const bool closed = more != nullptr && more->is_boolean() && !more->get<bool>() &&
                      Member(*schema, "patternProperties") == nullptr;
  for (auto it = arguments->begin(); it != arguments->end(); ++it) {
    const Json* property = properties == nullptr ? nullptr : Member(*properties, it.key());
    if (property == nullptr) {
      if (closed) {
        problems->push_back({path, StrCat(task.tool, " has no argument \"", it.key(), "\"")});
      }
      continue;
    }
    if (HasExpression(*it)) continue;
    // What cannot be compiled here is the server's own matter.
    const auto compiled = json::CompileSchema(WithDefinitions(*property, *schema));
    const absl::Status fits = compiled.ok() ? (*compiled)->Validate(*it) : absl::OkStatus();
    if (fits.ok()) continue;
    problems->push_back({StrCat(path, "/", it.key()),
                         StrCat("does not fit ", task.tool, ": ", std::string(fits.message()))});
  }
}

}  // namespace metamcp::workflow
