#pragma once

#include <string>
#include <string_view>

namespace metamcp::gateway {

// The names and types of a JSON value without its content: {"path":"string","n":["number"]}. Of an
// array the first element stands for all. Bounded: objects of more than 32 members and values
// nested deeper than 4 are cut ("…":"more", "object"); text that is not JSON is "invalid".
std::string ShapeOf(std::string_view raw);

}  // namespace metamcp::gateway
