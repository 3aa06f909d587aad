#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/json/schema_index.h"
#include "common/json/schema_pattern.h"

// A compiled schema: one node for each subschema that is reached. Shared by schema_*.cc only.
namespace metamcp::json {

inline constexpr int kNoNode = -1;

struct DynamicRef {
  int target = kNoNode;  // what it means when no outer scope redefines the anchor
  std::string anchor;    // empty: behaves as $ref
};

struct Node {
  int resource = 0;
  bool never = false;
  int ref = kNoNode;
  std::optional<DynamicRef> dynamic_ref;
  unsigned types = 0;  // bits as in TypeBits; 0: any
  const nlohmann::json* constant = nullptr;
  const nlohmann::json* choices = nullptr;
  std::optional<double> minimum, maximum, above, below, multiple_of;
  std::optional<std::size_t> length_min, length_max, items_min, items_max, members_min, members_max;
  std::size_t contains_min = 1;
  std::optional<std::size_t> contains_max;
  bool unique = false;
  std::unique_ptr<const Pattern> pattern;
  std::vector<int> prefix_items;
  int items = kNoNode, contains = kNoNode, unevaluated_items = kNoNode;
  std::vector<std::pair<std::string, int>> properties;  // sorted by name
  std::vector<std::pair<std::unique_ptr<const Pattern>, int>> pattern_properties;
  int additional = kNoNode, names = kNoNode, unevaluated_properties = kNoNode;
  std::vector<std::string> required;
  std::vector<std::pair<std::string, std::vector<std::string>>> needs;
  std::vector<std::pair<std::string, int>> needs_schema;
  std::vector<int> all_of, any_of, one_of;
  int negated = kNoNode, condition = kNoNode, then = kNoNode, otherwise = kNoNode;
};

enum TypeBits : unsigned {
  kTypeNull = 1,
  kTypeBoolean = 2,
  kTypeInteger = 4,
  kTypeNumber = 8,
  kTypeString = 16,
  kTypeArray = 32,
  kTypeObject = 64,
};

struct Program {
  explicit Program(const SchemaOptions& o) : options(o), index(options) {}
  SchemaOptions options;
  SchemaIndex index;  // owns the documents that nodes point into
  std::vector<Node> nodes;
  // For $dynamicRef: the node of each (resource, anchor).
  std::map<std::pair<int, std::string>, int> dynamic_anchors;
  bool tracks_evaluated = false;  // an unevaluated* keyword is there
};

absl::StatusOr<std::unique_ptr<Program>> CompileProgram(std::string_view schema,
                                                        const SchemaOptions& options);
absl::Status RunProgram(const Program& program, const nlohmann::json& instance);

}  // namespace metamcp::json
