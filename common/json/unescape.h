#pragma once

#include <string>
#include <string_view>

namespace metamcp::json {

// Decodes the inside of a JSON string that a Cursor has already passed. Total: on bytes that no
// Cursor would pass the result is unspecified but safe.
std::string UnescapeTrusted(std::string_view inside);

// Appends a code point (not a surrogate, at most U+10FFFF) as UTF-8.
void AppendUtf8(unsigned code, std::string* out);

}  // namespace metamcp::json
