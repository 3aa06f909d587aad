#include "common/json/unescape.h"

#include <charconv>

#include "absl/status/statusor.h"
#include "common/base/error.h"
#include "common/json/scan.h"
#include "common/json/utf8.h"

namespace metamcp::json {
namespace {

unsigned Hex4(std::string_view text, std::size_t at) {
  unsigned value = 0;
  if (at + 4 <= text.size()) std::from_chars(text.data() + at, text.data() + at + 4, value, 16);
  return value;
}

// Decodes the \u escape whose digits begin at `at`, and its partner; returns the bytes consumed.
std::size_t AppendUnicodeEscape(std::string_view text, std::size_t at, std::string* out) {
  const unsigned high = Hex4(text, at);
  if (high < 0xD800 || high > 0xDFFF) {
    AppendUtf8(high, out);
    return 4;
  }
  const unsigned low = Hex4(text, at + 6);
  AppendUtf8(0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF), out);
  return 10;
}

char SimpleEscape(char c) {
  switch (c) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return c;
  }
}

void AppendEscapedByte(unsigned char c, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out->append("\\\"");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '\b':
      out->append("\\b");
      return;
    case '\f':
      out->append("\\f");
      return;
    case '\n':
      out->append("\\n");
      return;
    case '\r':
      out->append("\\r");
      return;
    case '\t':
      out->append("\\t");
      return;
    default:
      break;
  }
  out->append("\\u00");
  out->push_back(kHex[c >> 4]);
  out->push_back(kHex[c & 15]);
}

}  // namespace

void AppendUtf8(unsigned code, std::string* out) {
  const auto put = [out](unsigned byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

std::string UnescapeTrusted(std::string_view inside) {
  std::string out;
  out.reserve(inside.size());
  while (true) {
    const std::size_t slash = inside.find('\\');
    out.append(inside.substr(0, slash));
    if (slash == std::string_view::npos || slash + 1 >= inside.size()) return out;
    const char c = inside[slash + 1];
    std::size_t used = slash + 2;
    if (c == 'u') {
      used += AppendUnicodeEscape(inside, used, &out);
    } else {
      out.push_back(SimpleEscape(c));
    }
    inside.remove_prefix(used < inside.size() ? used : inside.size());
  }
}

void AppendJsonQuoted(std::string_view text, std::string* out) {
  out->push_back('"');
  std::size_t run = 0;  // start of the bytes not yet copied
  std::size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\' && c < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = c < 0x80 ? 0 : Utf8SequenceLength(text.substr(i));
    if (length > 0) {
      i += length;
      continue;
    }
    out->append(text.substr(run, i - run));
    if (c < 0x80) {
      AppendEscapedByte(c, out);
    } else {
      out->append("\xEF\xBF\xBD");
    }
    run = ++i;
  }
  out->append(text.substr(run));
  out->push_back('"');
}

std::string JsonQuote(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 2);
  AppendJsonQuoted(text, &out);
  return out;
}

absl::StatusOr<std::string> JsonUnquote(std::string_view raw) {
  const absl::StatusOr<Value> value = ScanValue(raw);
  if (!value.ok()) return value.status();
  if (!value->is_string()) return MakeError("PARSE_ERROR", "json", "Expected a string");
  return UnescapeTrusted(value->raw.substr(1, value->raw.size() - 2));
}

}  // namespace metamcp::json
