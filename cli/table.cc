#include <algorithm>

#include "cli/context.h"
#include "common/base/strings.h"

namespace metamcp::cli {
namespace {

// Length of the UTF-8 character at `i`, 0 when there is none.
size_t CharacterBytes(std::string_view text, size_t i) {
  const auto byte = static_cast<unsigned char>(text[i]);
  const size_t bytes = byte < 0x80           ? 1
                       : (byte >> 5) == 0x06 ? 2
                       : (byte >> 4) == 0x0E ? 3
                       : (byte >> 3) == 0x1E ? 4
                                             : 0;
  if (bytes == 0 || i + bytes > text.size()) return 0;
  for (size_t k = 1; k < bytes; ++k) {
    if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return 0;
  }
  return bytes;
}

// C1 controls and the marks that reverse or hide text (a name could pretend to be another).
bool Deceptive(std::string_view character) {
  if (character.size() == 2) return character[0] == '\xC2' && character[1] < '\xA0';
  if (character.size() != 3 || character[0] != '\xE2') return false;
  const auto second = static_cast<unsigned char>(character[1]);
  const auto third = static_cast<unsigned char>(character[2]);
  return (second == 0x80 && ((third >= 0x8B && third <= 0x8F) || (third >= 0xAA && third <= 0xAE) ||
                             third == 0xA8 || third == 0xA9)) ||
         (second == 0x81 && third >= 0xA6 && third <= 0xA9);
}

std::string Clean(std::string_view text, bool keep_lines) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t bytes = CharacterBytes(text, i);
    const char c = text[i];
    if (bytes == 0 || (bytes > 1 && Deceptive(text.substr(i, bytes)))) {
      out += "\xEF\xBF\xBD";
    } else if (c == '\n' && keep_lines) {
      out += c;
    } else if (c == '\n' || c == '\t') {
      out += ' ';
    } else if (c == '\r') {
      if (!keep_lines) out += ' ';
    } else if (bytes == 1 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)) {
      out += '^';
      out += static_cast<char>(c ^ 0x40);
    } else {
      out.append(text.substr(i, bytes));
    }
    i += std::max<size_t>(bytes, 1);
  }
  return out;
}

}  // namespace

std::string OneLine(std::string_view text) { return Clean(text, false); }
std::string Printable(std::string_view text) { return Clean(text, true); }

size_t DisplayWidth(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string Shorten(std::string_view text, size_t columns) {
  if (DisplayWidth(text) <= columns) return std::string(text);
  std::string out;
  size_t width = 0;
  for (size_t i = 0; i < text.size() && width + 1 < columns; ++width) {
    const size_t bytes = std::max<size_t>(CharacterBytes(text, i), 1);
    out.append(text.substr(i, bytes));
    i += bytes;
  }
  return out + "…";
}

std::string Table::Aligned(bool bold) const {
  std::vector<size_t> widths;
  for (const std::string& header : headers_) widths.push_back(DisplayWidth(header));
  std::vector<std::vector<std::string>> cells;
  for (const auto& row : rows_) {
    auto& clean = cells.emplace_back();
    for (size_t i = 0; i < headers_.size(); ++i) {
      clean.push_back(i < row.size() ? OneLine(row[i]) : std::string());
      widths[i] = std::max(widths[i], DisplayWidth(clean[i]));
    }
  }
  const auto line = [&widths](const std::vector<std::string>& row) {
    std::string text;
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - DisplayWidth(row[i]) + 2, ' ');
    }
    return text.substr(0, text.find_last_not_of(' ') + 1);
  };
  std::string out = bold ? StrCat("\x1b[1m", line(headers_), "\x1b[0m\n") : line(headers_) + "\n";
  for (const auto& row : cells) out += line(row) + "\n";
  return out;
}

std::string Table::Linear() const {
  std::string out;
  for (size_t r = 0; r < rows_.size(); ++r) {
    if (r > 0) out += "\n";
    for (size_t i = 0; i < headers_.size() && i < rows_[r].size(); ++i) {
      if (!rows_[r][i].empty()) out += StrCat(headers_[i], ": ", OneLine(rows_[r][i]), "\n");
    }
  }
  return out;
}

}  // namespace metamcp::cli
