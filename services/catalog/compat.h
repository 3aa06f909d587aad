#pragma once

#include <string>
#include <string_view>

#include "services/catalog/item.h"

namespace metamcp::catalog {

// Says what in `new_definition` may break a caller that was written for `old_definition`: a removed
// argument, a newly required one, a narrowed type or enum of an input; a removed or retyped
// property of an output. Returns the first such thing, empty if there is none. Both must be valid
// definitions of `kind`. Schemas are compared structurally (properties, items, type, enum,
// required, additionalProperties), not by logic: a change inside anyOf and the like is not judged.
std::string FindBreakingChange(pb::ItemKind kind, std::string_view old_definition,
                               std::string_view new_definition);

}  // namespace metamcp::catalog
