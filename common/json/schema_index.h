#pragma once

#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/json/schema.h"

// Which schemas there are and what they are called: URIs, anchors and pointers.
namespace metamcp::json {

enum class Dialect { kDraft7, k2020 };

// RFC 3986, 5.2: `reference` against `base`, without removing the fragment.
std::string ResolveUri(std::string_view base, std::string_view reference);

struct Resource {
  std::string uri;  // without fragment
  Dialect dialect = Dialect::k2020;
  const nlohmann::json* root = nullptr;
  std::map<std::string, const nlohmann::json*, std::less<>> anchors;  // dynamic ones too
  std::map<std::string, const nlohmann::json*, std::less<>> dynamic_anchors;
};

struct SchemaPlace {
  const nlohmann::json* schema = nullptr;
  int resource = 0;
};

class SchemaIndex {
 public:
  explicit SchemaIndex(const SchemaOptions& options) : options_(options) {}

  // Takes over a document and indexes its subschemas; returns its root.
  absl::StatusOr<SchemaPlace> Add(std::string_view uri, nlohmann::json document, Dialect inherited);
  // Finds what a $ref, written in a schema of `from`, points at.
  absl::StatusOr<SchemaPlace> Resolve(int from, std::string_view reference);
  // The resource that a subschema belongs to; `otherwise` if it was not indexed.
  int ResourceOf(const nlohmann::json* schema, int otherwise) const;
  const Resource& resource(int i) const { return resources_[static_cast<std::size_t>(i)]; }

 private:
  absl::Status Walk(const nlohmann::json& schema, int resource);
  absl::StatusOr<int> Enter(const nlohmann::json& schema, int resource);
  absl::Status WalkChildren(const nlohmann::json& schema, int resource);
  absl::StatusOr<int> FindResource(const std::string& uri, Dialect inherited);
  int NewResource(std::string uri, Dialect dialect, const nlohmann::json* root);

  const SchemaOptions& options_;
  std::deque<nlohmann::json> documents_;
  std::deque<Resource> resources_;
  std::map<std::string, int, std::less<>> by_uri_;
  std::unordered_map<const nlohmann::json*, int> resource_of_;
};

}  // namespace metamcp::json
