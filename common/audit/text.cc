#include "common/audit/text.h"

#include "common/json/utf8.h"

namespace metamcp::audit {

std::string CleanText(std::string_view text, size_t bytes_max) {
  std::string out(text.substr(0, bytes_max));
  // A character that was cut at the end goes as a whole.
  const size_t least = out.size() < 4 ? 0 : out.size() - 4;
  while (out.size() > least && text.size() > bytes_max && !json::IsValidUtf8(out)) out.pop_back();
  if (!json::IsValidUtf8(out)) {
    for (char& c : out) c = static_cast<unsigned char>(c) < 0x80 ? c : '?';
  }
  for (char& c : out) c = c == '\0' ? '?' : c;
  return out;
}

}  // namespace metamcp::audit
