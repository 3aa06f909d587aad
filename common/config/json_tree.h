#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/problem.h"

// JSON with comments (// and /* */) and trailing commas, read into a tree in which every value
// knows its place. Our own reader because the JSON libraries keep no positions, stop at the first
// error, and cannot say how to mend it. Grammar otherwise RFC 8259; duplicate keys are errors.
namespace metamcp::config {

struct JsonMember;

// One value. `begin` and `end` are byte offsets into the text, for edits that keep the rest.
struct JsonNode {
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

  // The value of `key`, or nullptr. For objects.
  const JsonNode* Find(std::string_view key) const;
  const JsonMember* FindMember(std::string_view key) const;

  Kind kind = Kind::kNull;
  Position at;
  size_t begin = 0;
  size_t end = 0;
  bool boolean = false;
  bool is_integer = false;  // a number that fits into int64
  int64_t integer = 0;
  std::string text;                 // a string's value, or a number as written
  std::vector<JsonNode> items;      // of an array
  std::vector<JsonMember> members;  // of an object, in order
};

struct JsonMember {
  std::string key;
  Position at;
  size_t begin = 0;  // of the key's opening quote
  JsonNode value;
};

struct JsonTree {
  JsonNode root;
  std::vector<Problem> errors;  // at most 50; `root` is what could be read
};

inline constexpr size_t kConfigBytesMax = 4 << 20;
inline constexpr int kConfigDepthMax = 64;

// Parses `text`; `file` is named in the errors. Total: any bytes give an answer, in linear time.
JsonTree ParseJsonc(std::string_view text, const std::string& file);

// "object", "array", "string", "number", "true or false", "null".
std::string_view KindName(JsonNode::Kind kind);

// The value as compact JSON: comments gone, keys in order.
std::string ToJson(const JsonNode& node);

// `text` as a JSON string with its quotes. Invalid UTF-8 is not expected.
std::string JsonQuote(std::string_view text);

}  // namespace metamcp::config
