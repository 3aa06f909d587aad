#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/catalog/item.h"

namespace metamcp::catalog {

// Whether the override changes more of a definition than its name.
bool ChangesDefinition(const pb::ItemOverride& change, pb::ItemKind kind);

// Returns the definition that clients see: title, description and annotations replaced (annotations
// member by member, null removes one); arguments renamed, given a default (then no longer
// required), removed where fixed or hidden, and accepting strings too where coerced, in the input
// schema of a tool or the argument list of a prompt. `exposed_name` becomes its name (its URI stays
// for resources and templates; there `change.name` is the display name).
// Errors: INVALID_ARGUMENT when a renamed argument meets another one, or nothing is left to rename.
absl::StatusOr<std::string> DeriveDefinition(const ItemEntry& item, const pb::ItemOverride& change,
                                             std::string_view exposed_name);

// Checks what can be checked without a definition: JSON values, coercions, two renames to the same
// name. Errors: INVALID_ARGUMENT.
absl::Status CheckOverride(std::string_view qualified_name, const pb::ItemOverride& change);

}  // namespace metamcp::catalog
