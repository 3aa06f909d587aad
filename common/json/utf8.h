#pragma once

#include <cstddef>
#include <string_view>

namespace metamcp::json {

// Length of the well-formed UTF-8 sequence at the start of `text` (Unicode table 3-7: no overlong
// forms, no surrogates, at most U+10FFFF); 0 if there is none.
std::size_t Utf8SequenceLength(std::string_view text);

bool IsValidUtf8(std::string_view text);

}  // namespace metamcp::json
