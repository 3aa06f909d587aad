// Characters that nobody sees. Those that writing needs are let pass: joiners within scripts and
// emoji, marks of direction in texts that run right to left, the tags of flags.
#include <algorithm>
#include <cstdint>

#include "common/detect/rules.h"

namespace metamcp::detect {
namespace {

struct Point {
  uint32_t code = 0;
  size_t size = 1;
};

// The code point at `at`; malformed bytes stand for themselves.
Point Decode(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const uint32_t first = byte(0);
  if (first >= 0xF0) {
    return {(first & 7) << 18 | (byte(1) & 63) << 12 | (byte(2) & 63) << 6 | (byte(3) & 63), 4};
  }
  if (first >= 0xE0) return {(first & 15) << 12 | (byte(1) & 63) << 6 | (byte(2) & 63), 3};
  if (first >= 0xC0) return {(first & 31) << 6 | (byte(1) & 63), 2};
  return {first, 1};
}

bool IsRightToLeft(uint32_t c) {
  return (c >= 0x590 && c <= 0x8FF) || (c >= 0xFB1D && c <= 0xFEFC && c != 0xFE0F);
}
bool IsTag(uint32_t c) { return c >= 0xE0000 && c <= 0xE007F; }
bool IsVariation(uint32_t c) {
  return (c >= 0xFE00 && c <= 0xFE0F) || (c >= 0xE0100 && c <= 0xE01EF);
}
bool IsJoiner(uint32_t c) { return c == 0x200C || c == 0x200D; }
bool IsMark(uint32_t c) {  // of direction
  return c == 0x200E || c == 0x200F || c == 0x061C || (c >= 0x202A && c <= 0x202E) ||
         (c >= 0x2066 && c <= 0x2069);
}
bool IsOverride(uint32_t c) { return c == 0x202D || c == 0x202E; }
bool IsInvisible(uint32_t c) {
  return c == 0x200B || c == 0x2060 || (c >= 0x2061 && c <= 0x2064) || c == 0xFEFF || c == 0x00AD ||
         c == 0x034F || c == 0x180E || c == 0x115F || c == 0x1160 || c == 0x3164 || c == 0xFFA0 ||
         (c >= 0x206A && c <= 0x206F);
}

bool RunsRightToLeft(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Point point = Decode(text, at);
    if (IsRightToLeft(point.code) && !IsMark(point.code)) return true;
    at += point.size;
  }
  return false;
}

constexpr uint32_t kBlackFlag = 0x1F3F4;
constexpr uint32_t kEndOfTags = 0xE007F;
constexpr size_t kFlagTagsMax = 6;

// Bytes of the tags that make a black flag a country's; 0 where they do not.
size_t FlagTags(std::string_view text, size_t at) {
  const size_t begin = at;
  for (size_t i = 0; i <= kFlagTagsMax && at < text.size(); ++i) {
    const Point point = Decode(text, at);
    if (!IsTag(point.code)) return 0;
    at += point.size;
    if (point.code == kEndOfTags) return i > 0 ? at - begin : 0;
  }
  return 0;
}

}  // namespace

void FindHidden(std::string_view text, std::vector<Finding>& out) {
  uint32_t before = 0;
  int right_to_left = -1;  // not known yet
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      before = static_cast<unsigned char>(text[at++]);
      continue;
    }
    const Point point = Decode(text, at);
    const uint32_t c = point.code;
    const size_t next = at + point.size;
    std::string_view rule;
    if (IsTag(c)) {
      const size_t flag = before == kBlackFlag ? FlagTags(text, at) : 0;
      if (flag > 0) {
        at += flag;
        before = kEndOfTags;
        continue;
      }
      rule = "tag-characters";
    } else if (IsMark(c)) {
      if (right_to_left < 0) right_to_left = RunsRightToLeft(text) ? 1 : 0;
      if (IsOverride(c) || right_to_left == 0) rule = "direction";
    } else if (IsJoiner(c)) {
      const uint32_t after = next < text.size() ? Decode(text, next).code : 0;
      const bool writing = before >= 0x300 && after >= 0x300 && !IsJoiner(before);
      if (!writing) rule = "zero-width";
    } else if (IsVariation(c)) {
      if (before < 0xA9 && before != '#' && before != '*' && !(before >= '0' && before <= '9')) {
        rule = "variation-selectors";
      }
      if (IsVariation(before)) rule = "variation-selectors";
    } else if (IsInvisible(c) && !(c == 0xFEFF && at == 0)) {
      rule = "zero-width";
    }
    if (!rule.empty()) {
      const bool goes_on =
          !out.empty() && out.back().rule == rule && out.back().begin + out.back().size == at;
      if (goes_on) {
        out.back().size += point.size;
      } else {
        Note(out, Kind::kHiddenUnicode, rule, at, std::min(point.size, text.size() - at));
      }
    }
    before = c;
    at = next;
  }
}

}  // namespace metamcp::detect
