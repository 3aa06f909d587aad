#include <algorithm>
#include <cmath>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/schema_nodes.h"

namespace metamcp::json {
namespace {

using Json = nlohmann::json;

absl::Status Invalid(std::string_view message) {
  return MakeError("INVALID_PARAMS", "json", StrCat("Invalid JSON Schema: ", message));
}

unsigned TypeBit(std::string_view name) {
  if (name == "null") return kTypeNull;
  if (name == "boolean") return kTypeBoolean;
  if (name == "integer") return kTypeInteger;
  if (name == "number") return kTypeNumber;
  if (name == "string") return kTypeString;
  if (name == "array") return kTypeArray;
  if (name == "object") return kTypeObject;
  return 0;
}

class Compiler {
 public:
  explicit Compiler(Program* program) : program_(*program) {}

  absl::Status Run(SchemaPlace root) {
    NodeFor(root);
    // Nodes are made when they are first named and filled here, so nothing recurses.
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (i >= program_.options.nodes_max) return Invalid("too many subschemas");
      Node node;
      node.resource = places_[i].resource;
      METAMCP_RETURN_IF_ERROR(Fill(*places_[i].schema, &node));
      program_.nodes.push_back(std::move(node));
    }
    return absl::OkStatus();
  }

 private:
  int NodeFor(SchemaPlace place) {
    const auto [it, added] = known_.try_emplace(place.schema, static_cast<int>(places_.size()));
    if (added) {
      places_.push_back(place);
      NodesForDynamicAnchors(place.resource);
    }
    return it->second;
  }

  // Once a resource is entered, its dynamic anchors may be the target of a $dynamicRef.
  void NodesForDynamicAnchors(int resource) {
    if (!entered_.insert(resource).second) return;
    for (const auto& [name, schema] : program_.index.resource(resource).dynamic_anchors) {
      const int node = NodeFor(SchemaPlace{schema, resource});
      program_.dynamic_anchors[{resource, name}] = node;
    }
  }

  absl::StatusOr<int> Child(const Json& schema, int resource) {
    if (!schema.is_object() && !schema.is_boolean()) return Invalid("a subschema has a wrong type");
    return NodeFor(SchemaPlace{&schema, program_.index.ResourceOf(&schema, resource)});
  }

  absl::Status One(const Json& schema, std::string_view key, int resource, int* out) {
    const Json* child = FindMember(schema, key);
    if (child == nullptr) return absl::OkStatus();
    METAMCP_ASSIGN_OR_RETURN(*out, Child(*child, resource));
    return absl::OkStatus();
  }

  absl::Status List(const Json& schema, std::string_view key, int resource, std::vector<int>* out) {
    const Json* list = FindMember(schema, key);
    if (list == nullptr) return absl::OkStatus();
    if (!list->is_array()) return Invalid(StrCat(key, " must be an array"));
    for (const Json& child : *list) {
      METAMCP_ASSIGN_OR_RETURN(const int node, Child(child, resource));
      out->push_back(node);
    }
    return absl::OkStatus();
  }

  static absl::StatusOr<const Json*> Map(const Json& schema, std::string_view key) {
    static const Json kEmpty = Json::object();
    const Json* map = FindMember(schema, key);
    if (map == nullptr) return &kEmpty;
    if (!map->is_object()) return Invalid(StrCat(key, " must be an object"));
    return map;
  }

  static absl::Status Number(const Json& schema, std::string_view key, std::optional<double>* out) {
    const Json* value = FindMember(schema, key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_number()) return Invalid(StrCat(key, " must be a number"));
    *out = value->get<double>();
    return absl::OkStatus();
  }

  static absl::Status Count(const Json& schema, std::string_view key,
                            std::optional<std::size_t>* out) {
    std::optional<double> value;
    METAMCP_RETURN_IF_ERROR(Number(schema, key, &value));
    if (!value) return absl::OkStatus();
    if (*value < 0 || std::trunc(*value) != *value) return Invalid(StrCat(key, " must be a count"));
    *out = *value > 1e15 ? std::size_t{1'000'000'000'000'000} : static_cast<std::size_t>(*value);
    return absl::OkStatus();
  }

  static absl::StatusOr<std::vector<std::string>> Strings(const Json& list) {
    if (!list.is_array()) return Invalid("expected an array of strings");
    std::vector<std::string> out;
    for (const Json& s : list) {
      if (!s.is_string()) return Invalid("expected an array of strings");
      out.push_back(s.get<std::string>());
    }
    return out;
  }

  absl::Status Fill(const Json& schema, Node* node) {
    if (schema.is_boolean()) {
      node->never = !schema.get<bool>();
      return absl::OkStatus();
    }
    const bool draft7 = program_.index.resource(node->resource).dialect == Dialect::kDraft7;
    METAMCP_RETURN_IF_ERROR(FillReference(schema, draft7, node));
    // In draft-07 a $ref stands alone.
    if (draft7 && node->ref != kNoNode) return absl::OkStatus();
    METAMCP_RETURN_IF_ERROR(FillValue(schema, node));
    METAMCP_RETURN_IF_ERROR(FillArray(schema, draft7, node));
    METAMCP_RETURN_IF_ERROR(FillObject(schema, draft7, node));
    return FillLogic(schema, node);
  }

  absl::Status FillReference(const Json& schema, bool draft7, Node* node) {
    if (const Json* ref = FindMember(schema, "$ref")) {
      if (!ref->is_string()) return Invalid("$ref must be a string");
      METAMCP_ASSIGN_OR_RETURN(const SchemaPlace place,
                               program_.index.Resolve(node->resource, ref->get<std::string>()));
      node->ref = NodeFor(place);
    }
    const Json* dynamic = draft7 ? nullptr : FindMember(schema, "$dynamicRef");
    if (dynamic == nullptr) return absl::OkStatus();
    if (!dynamic->is_string()) return Invalid("$dynamicRef must be a string");
    const auto text = dynamic->get<std::string>();
    METAMCP_ASSIGN_OR_RETURN(const SchemaPlace place, program_.index.Resolve(node->resource, text));
    DynamicRef out;
    out.target = NodeFor(place);
    const std::size_t hash = text.find('#');
    const std::string anchor = hash == std::string::npos ? "" : text.substr(hash + 1);
    const Json* own = FindMember(*place.schema, "$dynamicAnchor");
    if (own != nullptr && own->is_string() && own->get<std::string>() == anchor) {
      out.anchor = anchor;
    }
    node->dynamic_ref = std::move(out);
    return absl::OkStatus();
  }

  static absl::Status FillTypes(const Json& type, Node* node) {
    const auto add = [node](const Json& name) {
      const unsigned bit = name.is_string() ? TypeBit(name.get_ref<const std::string&>()) : 0;
      node->types |= bit;
      return bit != 0;
    };
    if (!type.is_array()) return add(type) ? absl::OkStatus() : Invalid("unknown type");
    for (const Json& one : type) {
      if (!add(one)) return Invalid("unknown type");
    }
    return absl::OkStatus();
  }

  static absl::Status FillValue(const Json& schema, Node* node) {
    if (const Json* type = FindMember(schema, "type")) {
      METAMCP_RETURN_IF_ERROR(FillTypes(*type, node));
    }
    node->constant = FindMember(schema, "const");
    node->choices = FindMember(schema, "enum");
    if (node->choices != nullptr && !node->choices->is_array()) {
      return Invalid("enum must be an array");
    }
    METAMCP_RETURN_IF_ERROR(Number(schema, "minimum", &node->minimum));
    METAMCP_RETURN_IF_ERROR(Number(schema, "maximum", &node->maximum));
    METAMCP_RETURN_IF_ERROR(Number(schema, "exclusiveMinimum", &node->above));
    METAMCP_RETURN_IF_ERROR(Number(schema, "exclusiveMaximum", &node->below));
    METAMCP_RETURN_IF_ERROR(Number(schema, "multipleOf", &node->multiple_of));
    if (node->multiple_of && !(*node->multiple_of > 0)) return Invalid("multipleOf must be > 0");
    METAMCP_RETURN_IF_ERROR(Count(schema, "minLength", &node->length_min));
    METAMCP_RETURN_IF_ERROR(Count(schema, "maxLength", &node->length_max));
    const Json* pattern = FindMember(schema, "pattern");
    if (pattern == nullptr) return absl::OkStatus();
    if (!pattern->is_string()) return Invalid("pattern must be a string");
    METAMCP_ASSIGN_OR_RETURN(node->pattern, CompilePattern(pattern->get_ref<const std::string&>()));
    return absl::OkStatus();
  }

  absl::Status FillArray(const Json& schema, bool draft7, Node* node) {
    const int r = node->resource;
    METAMCP_RETURN_IF_ERROR(Count(schema, "minItems", &node->items_min));
    METAMCP_RETURN_IF_ERROR(Count(schema, "maxItems", &node->items_max));
    if (const Json* unique = FindMember(schema, "uniqueItems")) {
      node->unique = unique->is_boolean() && unique->get<bool>();
    }
    METAMCP_RETURN_IF_ERROR(One(schema, "contains", r, &node->contains));
    const Json* items = FindMember(schema, "items");
    if (draft7 && items != nullptr && items->is_array()) {
      METAMCP_RETURN_IF_ERROR(List(schema, "items", r, &node->prefix_items));
      return One(schema, "additionalItems", r, &node->items);
    }
    METAMCP_RETURN_IF_ERROR(One(schema, "items", r, &node->items));
    if (draft7) return absl::OkStatus();
    METAMCP_RETURN_IF_ERROR(List(schema, "prefixItems", r, &node->prefix_items));
    METAMCP_RETURN_IF_ERROR(One(schema, "unevaluatedItems", r, &node->unevaluated_items));
    program_.tracks_evaluated |= node->unevaluated_items != kNoNode;
    std::optional<std::size_t> least;
    METAMCP_RETURN_IF_ERROR(Count(schema, "minContains", &least));
    node->contains_min = least.value_or(1);
    return Count(schema, "maxContains", &node->contains_max);
  }

  absl::Status FillObject(const Json& schema, bool draft7, Node* node) {
    const int r = node->resource;
    METAMCP_RETURN_IF_ERROR(Count(schema, "minProperties", &node->members_min));
    METAMCP_RETURN_IF_ERROR(Count(schema, "maxProperties", &node->members_max));
    METAMCP_ASSIGN_OR_RETURN(const Json* properties, Map(schema, "properties"));
    for (const auto& [name, child] : properties->items()) {
      METAMCP_ASSIGN_OR_RETURN(const int n, Child(child, r));
      node->properties.emplace_back(name, n);
    }
    METAMCP_ASSIGN_OR_RETURN(const Json* patterns, Map(schema, "patternProperties"));
    for (const auto& [text, child] : patterns->items()) {
      METAMCP_ASSIGN_OR_RETURN(const int n, Child(child, r));
      METAMCP_ASSIGN_OR_RETURN(auto pattern, CompilePattern(text));
      node->pattern_properties.emplace_back(std::move(pattern), n);
    }
    METAMCP_RETURN_IF_ERROR(One(schema, "additionalProperties", r, &node->additional));
    METAMCP_RETURN_IF_ERROR(One(schema, "propertyNames", r, &node->names));
    if (const Json* required = FindMember(schema, "required")) {
      METAMCP_ASSIGN_OR_RETURN(node->required, Strings(*required));
    }
    if (!draft7) {
      METAMCP_RETURN_IF_ERROR(
          One(schema, "unevaluatedProperties", r, &node->unevaluated_properties));
      program_.tracks_evaluated |= node->unevaluated_properties != kNoNode;
      METAMCP_RETURN_IF_ERROR(Dependencies(schema, "dependentRequired", node));
      METAMCP_RETURN_IF_ERROR(Dependencies(schema, "dependentSchemas", node));
    }
    // Kept by 2020-12 for old schemas' sake.
    return Dependencies(schema, "dependencies", node);
  }

  absl::Status Dependencies(const Json& schema, std::string_view key, Node* node) {
    METAMCP_ASSIGN_OR_RETURN(const Json* map, Map(schema, key));
    for (const auto& [name, value] : map->items()) {
      if (value.is_array()) {
        METAMCP_ASSIGN_OR_RETURN(auto names, Strings(value));
        node->needs.emplace_back(name, std::move(names));
      } else {
        METAMCP_ASSIGN_OR_RETURN(const int n, Child(value, node->resource));
        node->needs_schema.emplace_back(name, n);
      }
    }
    return absl::OkStatus();
  }

  absl::Status FillLogic(const Json& schema, Node* node) {
    const int r = node->resource;
    METAMCP_RETURN_IF_ERROR(List(schema, "allOf", r, &node->all_of));
    METAMCP_RETURN_IF_ERROR(List(schema, "anyOf", r, &node->any_of));
    METAMCP_RETURN_IF_ERROR(List(schema, "oneOf", r, &node->one_of));
    METAMCP_RETURN_IF_ERROR(One(schema, "not", r, &node->negated));
    METAMCP_RETURN_IF_ERROR(One(schema, "if", r, &node->condition));
    if (node->condition == kNoNode) return absl::OkStatus();
    METAMCP_RETURN_IF_ERROR(One(schema, "then", r, &node->then));
    return One(schema, "else", r, &node->otherwise);
  }

  Program& program_;
  std::vector<SchemaPlace> places_;
  std::map<const Json*, int> known_;
  std::set<int> entered_;
};

class CompiledSchema final : public Schema {
 public:
  explicit CompiledSchema(std::unique_ptr<Program> program) : program_(std::move(program)) {}
  absl::Status Validate(const Json& instance) const override {
    return RunProgram(*program_, instance);
  }

 private:
  std::unique_ptr<const Program> program_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Program>> CompileProgram(std::string_view schema,
                                                        const SchemaOptions& options) {
  METAMCP_ASSIGN_OR_RETURN(Json document, ParseJson(schema));
  if (!document.is_object() && !document.is_boolean()) {
    return Invalid("a schema is an object or a boolean");
  }
  auto program = std::make_unique<Program>(options);
  METAMCP_ASSIGN_OR_RETURN(const SchemaPlace root,
                           program->index.Add("", std::move(document), Dialect::k2020));
  METAMCP_RETURN_IF_ERROR(Compiler(program.get()).Run(root));
  return program;
}

absl::StatusOr<std::shared_ptr<const Schema>> CompileSchema(std::string_view schema,
                                                            const SchemaOptions& options) {
  METAMCP_ASSIGN_OR_RETURN(std::unique_ptr<Program> program, CompileProgram(schema, options));
  return std::make_shared<const CompiledSchema>(std::move(program));
}

absl::Status Schema::ValidateText(std::string_view instance) const {
  METAMCP_ASSIGN_OR_RETURN(const Json json, ParseJson(instance));
  return Validate(json);
}

}  // namespace metamcp::json
