#pragma once

#include <string>
#include <string_view>

namespace metamcp::audit {

// Valid UTF-8 without NUL, which databases and protos refuse, of at most `bytes_max`. What is not
// valid loses its bytes outside ASCII.
std::string CleanText(std::string_view text, size_t bytes_max);

}  // namespace metamcp::audit
