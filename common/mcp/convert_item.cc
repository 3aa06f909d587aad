#include <algorithm>
#include <vector>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/json/unescape.h"
#include "common/mcp/convert.h"
#include "common/mcp/convert_internal.h"

namespace metamcp::mcp {
namespace {

using json::Cursor;
using json::Kind;
using json::ObjectView;
using json::Value;

constexpr std::string_view kNewRoot = "#/properties/result";

// A place in a text and what to write there instead.
struct Patch {
  std::size_t at;
  std::size_t length;
  std::string text;
};

bool IsData(std::string_view key) {
  return key == "const" || key == "enum" || key == "default" || key == "examples";
}
bool IsSchemaMap(std::string_view key) {
  return key == "properties" || key == "patternProperties" || key == "$defs" ||
         key == "definitions" || key == "dependentSchemas" || key == "dependencies";
}

// Collects the patches that let a schema live one level deeper. Recursion is as deep as the text,
// which the cursor limits.
class RefRewriter {
 public:
  explicit RefRewriter(std::string_view text) : text_(text), cursor_(text) {}

  absl::StatusOr<std::string> Run() {
    if (!Schema() || !cursor_.Finish()) return cursor_.status();
    std::string out;
    std::size_t copied = 0;
    for (const Patch& p : patches_) {
      out.append(text_.substr(copied, p.at - copied)).append(p.text);
      copied = p.at + p.length;
    }
    out.append(text_.substr(copied));
    return out;
  }

 private:
  bool Schema() {
    Kind kind;
    if (!cursor_.Peek(&kind)) return false;
    Value ignored;
    if (kind == Kind::kArray) return SchemaArray();
    if (kind != Kind::kObject) return cursor_.Skip(&ignored);
    const std::size_t first = patches_.size();
    bool own_id = false;
    if (!cursor_.Enter(Kind::kObject)) return false;
    std::string_view raw_key;
    while (cursor_.NextKey(&raw_key)) {
      const std::string key = json::UnescapeTrusted(raw_key);
      if (!Keyword(key, &own_id)) return false;
    }
    // Below its own $id a schema's references do not see the new root.
    if (own_id) patches_.resize(first);
    return cursor_.ok();
  }

  bool Keyword(std::string_view key, bool* own_id) {
    if (IsSchemaMap(key)) return SchemaMap();
    const bool reference = key == "$ref" || key == "$dynamicRef" || key == "$recursiveRef";
    if (!reference && !IsData(key) && key != "$id") return Schema();
    Value value;
    if (!cursor_.Skip(&value)) return false;
    if (key == "$id") *own_id = value.is_string();
    if (reference && value.is_string()) Reference(value.raw);
    return true;
  }

  bool SchemaMap() {
    Kind kind;
    if (!cursor_.Peek(&kind)) return false;
    if (kind != Kind::kObject) return Schema();
    if (!cursor_.Enter(Kind::kObject)) return false;
    std::string_view name;
    while (cursor_.NextKey(&name)) {
      if (!Schema()) return false;
    }
    return cursor_.ok();
  }

  bool SchemaArray() {
    if (!cursor_.Enter(Kind::kArray)) return false;
    while (cursor_.NextElement()) {
      if (!Schema()) return false;
    }
    return cursor_.ok();
  }

  void Reference(std::string_view raw) {
    const std::string target = json::UnescapeTrusted(raw.substr(1, raw.size() - 2));
    if (target != "#" && !target.starts_with("#/")) return;
    patches_.push_back(Patch{static_cast<std::size_t>(raw.data() - text_.data()), raw.size(),
                             json::JsonQuote(StrCat(kNewRoot, target.substr(1)))});
  }

  std::string_view text_;
  Cursor cursor_;
  std::vector<Patch> patches_;
};

bool IsObjectSchema(std::string_view schema) {
  const absl::StatusOr<ObjectView> view = json::ScanObject(schema);
  return view.ok() && view->String("type") == "object";
}

// Legacy schemas want objects as property schemas: true becomes {}, false {"not":{}}.
absl::StatusOr<std::string> WithoutBooleanProperties(std::string_view schema) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(schema));
  const json::Member* properties = view.Find("properties");
  if (properties == nullptr || !properties->value.is_object()) return std::string(schema);
  METAMCP_ASSIGN_OR_RETURN(const ObjectView map, json::ScanObject(properties->value.raw));
  json::Splicer inner(map);
  for (const json::Member& m : map.members()) {
    if (m.value.is_bool()) inner.Set(m.key, m.value.raw == "true" ? "{}" : R"({"not":{}})");
  }
  if (!inner.changed()) return std::string(schema);
  json::Splicer outer(view);
  outer.Set("properties", inner.Build());
  return outer.Build();
}

absl::StatusOr<std::string> ToolToLegacy(std::string_view tool, Revision to) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(tool));
  json::Splicer splicer(view);
  if (const json::Member* input = view.Find("inputSchema"); input && input->value.is_object()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string schema, WithoutBooleanProperties(input->value.raw));
    if (schema != input->value.raw) splicer.Set("inputSchema", schema);
  }
  const json::Member* output = view.Find("outputSchema");
  if (output != nullptr && !HasStructuredContent(to)) {
    splicer.Remove("outputSchema");
  } else if (output != nullptr) {
    const std::string_view raw = output->value.raw;
    METAMCP_ASSIGN_OR_RETURN(const std::string schema, IsObjectSchema(raw)
                                                           ? WithoutBooleanProperties(raw)
                                                           : WrapOutputSchema(raw));
    if (schema != raw) splicer.Set("outputSchema", schema);
  }
  return splicer.Build();
}

// Tasks of 2025-11-25 have no meaning in the canonical form.
absl::Status WithoutTaskSupport(const ObjectView& tool, json::Splicer& splicer) {
  const json::Member* execution = tool.Find("execution");
  if (execution == nullptr || !execution->value.is_object()) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(const ObjectView inner, json::ScanObject(execution->value.raw));
  json::Splicer rest(inner);
  rest.Remove("taskSupport");
  const std::string left = rest.Build();
  if (left == "{}") {
    splicer.Remove("execution");
  } else {
    splicer.Set("execution", left);
  }
  return absl::OkStatus();
}

}  // namespace

bool NeedsOutputWrapping(std::string_view tool) {
  const absl::StatusOr<ObjectView> view = json::ScanObject(tool);
  if (!view.ok()) return false;
  const std::string_view schema = view->Raw("outputSchema");
  return !schema.empty() && !IsObjectSchema(schema);
}

absl::StatusOr<std::string> WrapOutputSchema(std::string_view schema) {
  METAMCP_ASSIGN_OR_RETURN(const Value value, json::ScanValue(schema));
  std::string inner(value.raw);
  std::string dialect;
  if (value.is_bool()) inner = value.raw == "true" ? "{}" : R"({"not":{}})";
  if (value.is_object()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string rewritten, RefRewriter(value.raw).Run());
    METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(rewritten));
    dialect = view.Raw("$schema");
    json::Splicer splicer(view);
    splicer.Remove("$schema");
    inner = splicer.Build();
  }
  json::ObjectWriter properties;
  properties.Add("result", inner);
  json::ObjectWriter wrapper;
  if (!dialect.empty()) wrapper.Add("$schema", dialect);
  wrapper.AddString("type", "object").Add("properties", std::move(properties).Build());
  wrapper.Add("required", R"(["result"])");
  return std::move(wrapper).Build();
}

absl::StatusOr<std::string> ItemToModern(ItemKind kind, std::string_view item) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(item));
  json::Splicer splicer(view);
  for (const std::string_view key :
       {"title", "description", "mimeType", "size", "arguments", "annotations", "icons",
        "outputSchema", "execution", "_meta"}) {
    if (view.Raw(key) == "null") splicer.Remove(key);
  }
  if (kind == ItemKind::kTool) {
    METAMCP_RETURN_IF_ERROR(WithoutTaskSupport(view, splicer));
    // Arguments are objects, so a schema that does not say so means it.
    const absl::StatusOr<ObjectView> schema = json::ScanObject(view.Raw("inputSchema"));
    if (schema.ok() && !schema->Has("type")) {
      json::Splicer typed(*schema);
      typed.SetString("type", "object");
      splicer.Set("inputSchema", typed.Build());
    }
  } else if (kind != ItemKind::kPrompt && !view.String("name")) {
    const auto name = view.String(kind == ItemKind::kResource ? "uri" : "uriTemplate");
    if (name) splicer.SetString("name", *name);
  }
  return splicer.Build();
}

absl::StatusOr<std::string> ItemToRevision(ItemKind kind, std::string_view item, Revision to) {
  if (IsModern(to) || kind != ItemKind::kTool) {
    METAMCP_RETURN_IF_ERROR(json::ScanObject(item).status());
    return std::string(item);
  }
  return ToolToLegacy(item, to);
}

}  // namespace metamcp::mcp
