#include "services/workflow/face/templates.h"

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/schema.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::ordered_json;

absl::Status Invalid(std::string_view why) {
  return MakeError("ARGUMENT_INVALID", "workflow", why);
}

std::string Text(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// Replaces {{name}} in texts and names of members, at any depth.
class Filler {
 public:
  explicit Filler(const Json& values) : values_(values) {}

  Json Fill(const Json& value) const {
    if (value.is_string()) return FillText(value.get<std::string>());
    if (value.is_array()) {
      Json out = Json::array();
      for (const Json& one : value) out.push_back(Fill(one));
      return out;
    }
    if (!value.is_object()) return value;
    Json out = Json::object();
    for (auto it = value.begin(); it != value.end(); ++it) {
      const Json key = FillText(it.key());
      out[key.is_string() ? key.get<std::string>() : it.key()] = Fill(*it);
    }
    return out;
  }

 private:
  // "name", or "name.member" of one that is an object.
  const Json* Find(const std::string& name) const {
    const size_t dot = name.find('.');
    const auto it = values_.find(name.substr(0, dot));
    if (it == values_.end()) return nullptr;
    if (dot == std::string::npos) return &*it;
    if (!it->is_object()) return nullptr;
    const auto member = it->find(name.substr(dot + 1));
    return member == it->end() ? nullptr : &*member;
  }

  Json FillText(const std::string& text) const {
    std::string out;
    size_t at = 0;
    for (;;) {
      const size_t open = text.find("{{", at);
      const size_t close = open == std::string::npos ? open : text.find("}}", open);
      if (close == std::string::npos) return out + text.substr(at);
      const Json* value = Find(text.substr(open + 2, close - open - 2));
      if (value == nullptr) {
        out += text.substr(at, close + 2 - at);
      } else if (open == 0 && close + 2 == text.size()) {
        return *value;
      } else {
        out += text.substr(at, open - at);
        out += value->is_string() ? value->get<std::string>() : json::DumpJson(*value);
      }
      at = close + 2;
    }
  }

  const Json& values_;
};

absl::Status CheckValue(const TemplateParameterSpec& parameter, const Json& value) {
  const auto schema = json::CompileSchema(parameter.schema);
  if (!schema.ok()) return schema.status();
  const absl::Status valid = (*schema)->ValidateText(json::DumpJson(value));
  if (valid.ok()) return valid;
  return Invalid(StrCat("parameter \"", parameter.name, "\": ", Sv(valid.message())));
}

}  // namespace

const TemplateSpec* FindTemplate(std::string_view name) {
  for (const TemplateSpec& spec : BuiltinTemplates()) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

absl::StatusOr<std::string> FillTemplate(const TemplateSpec& spec, std::string_view values) {
  const auto given = json::ParseOrderedJson(values.empty() ? std::string_view("{}") : values);
  if (!given.ok() || !given->is_object()) return Invalid("values must be a JSON object");
  Json all = Json::object();
  for (const TemplateParameterSpec& parameter : spec.parameters) {
    const auto it = given->find(parameter.name);
    if (it != given->end()) {
      if (absl::Status valid = CheckValue(parameter, *it); !valid.ok()) return valid;
      all[parameter.name] = *it;
    } else if (!parameter.default_value.empty()) {
      all[parameter.name] = *json::ParseOrderedJson(parameter.default_value);
    } else {
      return Invalid(
          StrCat("parameter \"", parameter.name, "\" is needed: ", parameter.description));
    }
  }
  for (auto it = given->begin(); it != given->end(); ++it) {
    if (!all.contains(it.key())) {
      return Invalid(StrCat("the template ", spec.name, " has no parameter \"", it.key(), "\""));
    }
  }
  const auto body = json::ParseOrderedJson(spec.body);
  if (!body.ok()) return body.status();
  return json::DumpJson(Filler(all).Fill(*body));
}

absl::StatusOr<std::vector<TemplateSpec>> ReadTemplates(std::string_view text) {
  const auto list = json::ParseOrderedJson(text);
  if (!list.ok() || !list->is_array()) return Invalid("templates must be a JSON array");
  std::vector<TemplateSpec> out;
  for (const Json& one : *list) {
    if (!one.is_object() || !one.contains("workflow") || Text(one, "name").empty()) {
      return Invalid("a template needs name and workflow");
    }
    TemplateSpec spec;
    spec.name = Text(one, "name");
    spec.title = Text(one, "title");
    spec.description = Text(one, "description");
    spec.body = json::DumpJson(one["workflow"]);
    const Json parameters = one.contains("parameters") ? one["parameters"] : Json::object();
    for (auto it = parameters.begin(); it != parameters.end(); ++it) {
      TemplateParameterSpec parameter;
      parameter.name = it.key();
      parameter.description = Text(*it, "description");
      parameter.schema = it->contains("schema") ? json::DumpJson((*it)["schema"]) : "true";
      if (it->contains("default")) parameter.default_value = json::DumpJson((*it)["default"]);
      parameter.slot = it->contains("slot") && (*it)["slot"] == true;
      spec.parameters.push_back(std::move(parameter));
    }
    out.push_back(std::move(spec));
  }
  return out;
}

}  // namespace metamcp::workflow
