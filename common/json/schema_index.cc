#include "common/json/schema_index.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::json {
namespace {

using Json = nlohmann::json;

absl::Status Invalid(std::string_view message) {
  return MakeError("INVALID_PARAMS", "json", message);
}

struct UriParts {
  std::string_view scheme, authority, path, query, fragment;
  bool has_authority = false, has_query = false, has_fragment = false;
};

UriParts SplitUri(std::string_view uri) {
  UriParts p;
  if (const std::size_t hash = uri.find('#'); hash != std::string_view::npos) {
    p.has_fragment = true;
    p.fragment = uri.substr(hash + 1);
    uri = uri.substr(0, hash);
  }
  if (const std::size_t mark = uri.find('?'); mark != std::string_view::npos) {
    p.has_query = true;
    p.query = uri.substr(mark + 1);
    uri = uri.substr(0, mark);
  }
  const std::size_t colon = uri.find(':');
  if (colon != std::string_view::npos && colon > 0 && uri.find('/') > colon) {
    p.scheme = uri.substr(0, colon);
    uri = uri.substr(colon + 1);
  }
  if (uri.starts_with("//")) {
    p.has_authority = true;
    uri = uri.substr(2);
    const std::size_t slash = std::min(uri.find('/'), uri.size());
    p.authority = uri.substr(0, slash);
    uri = uri.substr(slash);
  }
  p.path = uri;
  return p;
}

std::string RemoveDots(std::string_view path) {
  std::vector<std::string_view> out;
  const bool absolute = path.starts_with('/');
  bool trailing = false;
  while (!path.empty()) {
    if (path.front() == '/') path.remove_prefix(1);
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, slash);
    path.remove_prefix(slash);
    trailing = segment == "." || segment == "..";
    if (segment == ".." && !out.empty()) out.pop_back();
    if (!trailing) out.push_back(segment);
  }
  std::string joined;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i > 0 || absolute) joined.push_back('/');
    joined.append(out[i]);
  }
  if (trailing) joined.push_back('/');
  return joined;
}

std::string PercentDecode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto hex = [&text](std::size_t at) {
      if (at >= text.size()) return -1;
      const char c = text[at];
      if (c >= '0' && c <= '9') return c - '0';
      if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') return (c | 0x20) - 'a' + 10;
      return -1;
    };
    const int high = text[i] == '%' ? hex(i + 1) : -1;
    const int low = high < 0 ? -1 : hex(i + 2);
    if (low < 0) {
      out.push_back(text[i]);
    } else {
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return out;
}

// The value at a JSON pointer that starts with '/', or nullptr.
const Json* AtPointer(const Json* value, std::string_view pointer) {
  while (!pointer.empty() && value != nullptr) {
    pointer.remove_prefix(1);
    const std::size_t slash = std::min(pointer.find('/'), pointer.size());
    std::string token(pointer.substr(0, slash));
    pointer.remove_prefix(slash);
    for (std::size_t at = 0; (at = token.find('~', at)) != std::string::npos; ++at) {
      if (token.compare(at, 2, "~1") == 0) token.replace(at, 2, "/");
      if (token.compare(at, 2, "~0") == 0) token.replace(at, 2, "~");
    }
    if (value->is_array()) {
      const bool digits = !token.empty() && token.size() < 10 &&
                          token.find_first_not_of("0123456789") == std::string::npos;
      const std::size_t index = digits ? std::stoul(token) : value->size();
      value = index < value->size() ? &(*value)[index] : nullptr;
    } else {
      value = FindMember(*value, token);
    }
  }
  return value;
}

absl::StatusOr<Dialect> DialectOf(const Json& schema, Dialect inherited) {
  const Json* name = FindMember(schema, "$schema");
  if (name == nullptr) return inherited;
  if (!name->is_string()) return Invalid("$schema must be a string");
  std::string uri = name->get<std::string>();
  if (!uri.empty() && uri.back() == '#') uri.pop_back();
  if (uri == "https://json-schema.org/draft/2020-12/schema") return Dialect::k2020;
  if (uri == "http://json-schema.org/draft-07/schema" ||
      uri == "https://json-schema.org/draft-07/schema") {
    return Dialect::kDraft7;
  }
  return Invalid(StrCat("Unsupported JSON Schema dialect ", uri.substr(0, 200)));
}

constexpr std::string_view kOne[] = {"additionalProperties",
                                     "additionalItems",
                                     "items",
                                     "contains",
                                     "propertyNames",
                                     "not",
                                     "if",
                                     "then",
                                     "else",
                                     "unevaluatedItems",
                                     "unevaluatedProperties",
                                     "contentSchema"};
constexpr std::string_view kLists[] = {"allOf", "anyOf", "oneOf", "prefixItems", "items"};
constexpr std::string_view kMaps[] = {"properties",  "patternProperties", "$defs",
                                      "definitions", "dependentSchemas",  "dependencies"};

}  // namespace

std::string ResolveUri(std::string_view base, std::string_view reference) {
  const UriParts r = SplitUri(reference);
  const UriParts b = SplitUri(base);
  UriParts t = r;
  std::string path(r.path);
  if (r.scheme.empty()) {
    t.scheme = b.scheme;
    if (!r.has_authority) {
      t.has_authority = b.has_authority;
      t.authority = b.authority;
      if (r.path.empty()) {
        path = b.path;
        if (!r.has_query) {
          t.has_query = b.has_query;
          t.query = b.query;
        }
      } else if (!r.path.starts_with('/')) {
        const std::size_t slash = b.path.rfind('/');
        path = slash == std::string_view::npos ? (b.has_authority ? StrCat("/", r.path) : path)
                                               : StrCat(b.path.substr(0, slash + 1), r.path);
      }
    }
  }
  if (t.has_authority || path.starts_with('/')) path = RemoveDots(path);
  std::string out;
  if (!t.scheme.empty()) out += StrCat(t.scheme, ":");
  if (t.has_authority) out += StrCat("//", t.authority);
  out += path;
  if (t.has_query) out += StrCat("?", t.query);
  if (r.has_fragment) out += StrCat("#", r.fragment);
  return out;
}

int SchemaIndex::ResourceOf(const Json* schema, int otherwise) const {
  const auto it = resource_of_.find(schema);
  return it == resource_of_.end() ? otherwise : it->second;
}

int SchemaIndex::NewResource(std::string uri, Dialect dialect, const Json* root) {
  const int index = static_cast<int>(resources_.size());
  by_uri_.try_emplace(uri, index);
  Resource r;
  r.uri = std::move(uri);
  r.dialect = dialect;
  r.root = root;
  resources_.push_back(std::move(r));
  return index;
}

absl::StatusOr<SchemaPlace> SchemaIndex::Add(std::string_view uri, Json document,
                                             Dialect inherited) {
  documents_.push_back(std::move(document));
  const Json& root = documents_.back();
  METAMCP_ASSIGN_OR_RETURN(const Dialect dialect, DialectOf(root, inherited));
  const int resource = NewResource(std::string(uri), dialect, &root);
  METAMCP_RETURN_IF_ERROR(Walk(root, resource));
  return SchemaPlace{&root, ResourceOf(&root, resource)};
}

absl::StatusOr<int> SchemaIndex::Enter(const Json& schema, int resource) {
  Dialect dialect = resources_[static_cast<std::size_t>(resource)].dialect;
  if (schema.contains("$id") && &schema != resources_[static_cast<std::size_t>(resource)].root) {
    METAMCP_ASSIGN_OR_RETURN(dialect, DialectOf(schema, dialect));
  }
  const bool draft7 = dialect == Dialect::kDraft7;
  const Json* id = FindMember(schema, "$id");
  if (id != nullptr && id->is_string() && !(draft7 && schema.contains("$ref"))) {
    const auto& text = id->get_ref<const std::string&>();
    const std::size_t hash = text.find('#');
    if (hash != 0) {
      const std::string uri = ResolveUri(resources_[static_cast<std::size_t>(resource)].uri,
                                         std::string_view(text).substr(0, hash));
      Resource& current = resources_[static_cast<std::size_t>(resource)];
      if (current.root == &schema) {
        // A document's own name; it stays known under the one it was found by.
        current.uri = uri;
        by_uri_.try_emplace(uri, resource);
      } else {
        resource = NewResource(uri, dialect, &schema);
      }
    }
    if (draft7 && hash != std::string::npos && hash + 1 < text.size()) {
      resources_[static_cast<std::size_t>(resource)].anchors[text.substr(hash + 1)] = &schema;
    }
  }
  if (draft7) return resource;
  Resource& r = resources_[static_cast<std::size_t>(resource)];
  for (const char* key : {"$anchor", "$dynamicAnchor"}) {
    const Json* anchor = FindMember(schema, key);
    if (anchor == nullptr || !anchor->is_string()) continue;
    const auto& name = anchor->get_ref<const std::string&>();
    r.anchors[name] = &schema;
    if (key[1] == 'd') r.dynamic_anchors[name] = &schema;
  }
  return resource;
}

// Recursion is as deep as the text, which ParseJson bounds.
absl::Status SchemaIndex::Walk(const Json& schema, int resource) {
  if (!schema.is_object()) {
    resource_of_[&schema] = resource;
    return absl::OkStatus();
  }
  METAMCP_ASSIGN_OR_RETURN(const int inner, Enter(schema, resource));
  resource_of_[&schema] = inner;
  return WalkChildren(schema, inner);
}

absl::Status SchemaIndex::WalkChildren(const Json& schema, int resource) {
  for (const std::string_view key : kOne) {
    const Json* child = FindMember(schema, key);
    if (child != nullptr && !child->is_array()) METAMCP_RETURN_IF_ERROR(Walk(*child, resource));
  }
  for (const std::string_view key : kLists) {
    const Json* list = FindMember(schema, key);
    if (list == nullptr || !list->is_array()) continue;
    for (const Json& child : *list) METAMCP_RETURN_IF_ERROR(Walk(child, resource));
  }
  for (const std::string_view key : kMaps) {
    const Json* map = FindMember(schema, key);
    if (map == nullptr || !map->is_object()) continue;
    for (const auto& [name, child] : map->items()) {
      if (!child.is_array()) METAMCP_RETURN_IF_ERROR(Walk(child, resource));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int> SchemaIndex::FindResource(const std::string& uri, Dialect inherited) {
  if (const auto it = by_uri_.find(uri); it != by_uri_.end()) return it->second;
  const auto document = options_.documents.find(uri);
  if (document == options_.documents.end()) {
    return Invalid(
        StrCat("Reference to ", uri.substr(0, 200), " is not resolved: nothing is fetched"));
  }
  METAMCP_ASSIGN_OR_RETURN(Json json, ParseJson(document->second));
  METAMCP_ASSIGN_OR_RETURN(const SchemaPlace place, Add(uri, std::move(json), inherited));
  return place.resource;
}

absl::StatusOr<SchemaPlace> SchemaIndex::Resolve(int from, std::string_view reference) {
  const std::string full = ResolveUri(resource(from).uri, reference);
  const std::size_t hash = full.find('#');
  const std::string fragment =
      hash == std::string::npos ? "" : PercentDecode(full.substr(hash + 1));
  METAMCP_ASSIGN_OR_RETURN(const int found,
                           FindResource(full.substr(0, hash), resource(from).dialect));
  const Resource& r = resource(found);
  const Json* target = r.root;
  if (fragment.starts_with('/')) {
    target = AtPointer(r.root, fragment);
  } else if (!fragment.empty()) {
    const auto it = r.anchors.find(fragment);
    target = it == r.anchors.end() ? nullptr : it->second;
  }
  if (target == nullptr || !(target->is_object() || target->is_boolean())) {
    return Invalid(StrCat("Reference ", reference.substr(0, 200), " points at no schema"));
  }
  return SchemaPlace{target, ResourceOf(target, found)};
}

}  // namespace metamcp::json
