#include "common/json/ordered.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace metamcp::json {
namespace {

using Json = nlohmann::ordered_json;

// Objects with fewer members are searched.
constexpr std::size_t kIndexFrom = 16;

// nlohmann's own builder looks through all members for each new one.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Put(Json()); }
  bool boolean(bool value) override { return Put(Json(value)); }
  bool number_integer(number_integer_t value) override { return Put(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Put(Json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return Put(Json(value)); }
  bool string(string_t& value) override { return Put(Json(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Push(Json::object()); }
  bool start_array(std::size_t) override { return Push(Json::array()); }
  bool key(string_t& value) override {
    levels_.back().key = std::move(value);
    return true;
  }
  bool end_object() override { return Pop(); }
  bool end_array() override { return Pop(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

  Json Take() { return std::move(root_); }

 private:
  struct Level {
    explicit Level(Json value_in) : value(std::move(value_in)) {}
    Json value;
    std::string key;
    std::unordered_map<std::string, std::size_t> places;
  };

  bool Push(Json value) {
    levels_.emplace_back(std::move(value));
    return true;
  }
  bool Pop() {
    Json value = std::move(levels_.back().value);
    levels_.pop_back();
    return Put(std::move(value));
  }
  static Json* Known(Level& level) {
    auto& members = level.value.get_ref<Json::object_t&>();
    if (members.size() < kIndexFrom) {
      for (auto& member : members) {
        if (member.first == level.key) return &member.second;
      }
      return nullptr;
    }
    if (level.places.empty()) {
      for (std::size_t i = 0; i < members.size(); ++i)
        level.places[(members.begin() + i)->first] = i;
    }
    const auto [place, fresh] = level.places.emplace(level.key, members.size());
    return fresh ? nullptr : &(members.begin() + place->second)->second;
  }
  bool Put(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Level& level = levels_.back();
    if (level.value.is_array()) {
      level.value.push_back(std::move(value));
    } else if (Json* known = Known(level)) {
      *known = std::move(value);
    } else {
      level.value.get_ref<Json::object_t&>().emplace_back(std::move(level.key), std::move(value));
    }
    return true;
  }

  std::vector<Level> levels_;
  Json root_;
};

}  // namespace

MemberIndex::MemberIndex(const Json& object) : object_(object) {
  if (!object.is_object() || object.size() < kIndexFrom) return;
  std::size_t place = 0;
  for (auto it = object.begin(); it != object.end(); ++it) places_.emplace(it.key(), place++);
}

std::optional<std::size_t> MemberIndex::Position(const std::string& key) const {
  if (!places_.empty()) {
    const auto it = places_.find(key);
    return it == places_.end() ? std::nullopt : std::make_optional(it->second);
  }
  if (!object_.is_object()) return std::nullopt;
  std::size_t place = 0;
  for (auto it = object_.begin(); it != object_.end(); ++it, ++place) {
    if (it.key() == key) return place;
  }
  return std::nullopt;
}

const Json* MemberIndex::Find(const std::string& key) const {
  const auto place = Position(key);
  if (!place) return nullptr;
  const auto& members = object_.get_ref<const Json::object_t&>();
  return &(members.begin() + static_cast<std::ptrdiff_t>(*place))->second;
}

std::optional<Json> BuildOrdered(std::string_view text) {
  Builder builder;
  if (!Json::sax_parse(text, &builder)) return std::nullopt;
  return builder.Take();
}

}  // namespace metamcp::json
