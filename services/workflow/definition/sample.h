#pragma once

#include <string>
#include <string_view>

namespace metamcp::workflow {

// A value that a JSON Schema describes, for showing what a call would give: named examples and
// defaults first, else the empty or smallest value of the type; all properties of objects, one
// element of lists. Empty for a text that is no schema. Not checked against the schema.
std::string SampleOf(std::string_view schema);

}  // namespace metamcp::workflow
