#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

// Objects of nlohmann::ordered_json are lists: finding a member takes as long as the object is.
// What looks for many members of an object that may be large uses an index.
namespace metamcp::json {

class MemberIndex {
 public:
  // The object must stay; members may be added at its end, and are not found. No object: as an
  // empty one.
  explicit MemberIndex(const nlohmann::ordered_json& object);

  std::optional<std::size_t> Position(const std::string& key) const;
  // Null where there is none. Until the object changes.
  const nlohmann::ordered_json* Find(const std::string& key) const;

 private:
  const nlohmann::ordered_json& object_;
  std::unordered_map<std::string, std::size_t> places_;
};

// Parses a text whose syntax has been checked. Of equal keys the last counts, at the place of the
// first. None for a number that no double can hold. Linear in the text.
std::optional<nlohmann::ordered_json> BuildOrdered(std::string_view text);

}  // namespace metamcp::json
