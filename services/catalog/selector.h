#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "services/catalog/item.h"

namespace metamcp::catalog {

// A Selector made ready to be asked ten thousand times. Immutable.
class CompiledSelector {
 public:
  // Selects everything.
  CompiledSelector() = default;
  // Errors: INVALID_ARGUMENT when `annotations` is not a JSON object.
  static absl::StatusOr<CompiledSelector> Create(const pb::Selector& selector);

  // Returns why the item is not selected, empty if it is. An empty include list selects all;
  // annotations are asked of tools only.
  std::string WhyNot(std::string_view slug, const ItemEntry& item) const;

 private:
  std::vector<std::string> include_;
  std::vector<std::string> exclude_;
  std::vector<std::pair<std::string, std::string>> annotations_;  // member, canonical JSON
};

// Returns the tool's annotation `name` as canonical JSON; MCP's default where it is absent and has
// one, else empty.
std::string AnnotationValue(const ItemFacts& facts, std::string_view name);

}  // namespace metamcp::catalog
