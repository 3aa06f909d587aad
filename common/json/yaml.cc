#include "common/json/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unordered_set>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/utf8.h"

namespace metamcp::json {
namespace {

using Json = nlohmann::ordered_json;

bool IsInteger(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.empty()) return false;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

bool IsFloat(std::string_view text) {
  bool digit = false;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      digit = true;
    } else if (c != '.' && c != 'e' && c != 'E' && c != '+' && c != '-') {
      return false;
    }
  }
  return digit;
}

// A plain scalar by the core schema of YAML 1.2.
Json Typed(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  int64_t integer = 0;
  if (IsInteger(text) && absl::SimpleAtoi(text, &integer)) return integer;
  double number = 0;
  if (IsFloat(text) && absl::SimpleAtod(text, &number) && std::isfinite(number)) return number;
  return text;
}

struct Refused {
  std::string why;
  YAML::Mark mark;
};

class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(int depth_max) : depth_max_(depth_max) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw Refused{"a second document begins", mark};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    CheckPlain(mark, "", anchor);
    Put(nullptr, mark);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{"aliases (*name) are not supported", mark};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckPlain(mark, tag, anchor);
    // Of a quoted scalar the tag is "!", of a plain one "?".
    Put(tag == "?" && !IsKey() ? Typed(value) : Json(value), mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    CheckPlain(mark, tag, anchor);
    Push(Json::array(), mark);
  }
  void OnSequenceEnd() override { Pop(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    CheckPlain(mark, tag, anchor);
    Push(Json::object(), mark);
  }
  void OnMapEnd() override { Pop(); }

  Json Take() { return std::move(root_); }

 private:
  struct Level {
    Json value;
    std::string key;
    bool has_key = false;
    std::unordered_set<std::string> keys;
    YAML::Mark mark;
  };

  bool IsKey() const {
    return !levels_.empty() && levels_.back().value.is_object() && !levels_.back().has_key;
  }
  static void CheckPlain(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) throw Refused{"anchors (&name) are not supported", mark};
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Refused{"tags (" + tag + ") are not supported", mark};
    }
  }
  void Push(Json value, const YAML::Mark& mark) {
    if (IsKey()) throw Refused{"a key must be a string", mark};
    if (static_cast<int>(levels_.size()) >= depth_max_) throw Refused{"too deep", mark};
    Level level;
    level.value = std::move(value);
    level.mark = mark;
    levels_.push_back(std::move(level));
  }
  void Pop() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    Put(std::move(level.value), level.mark);
  }
  void Put(Json value, const YAML::Mark& mark) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return;
    }
    Level& level = levels_.back();
    if (level.value.is_array()) {
      level.value.push_back(std::move(value));
    } else if (!level.has_key) {
      if (!value.is_string()) throw Refused{"a key must be a string", mark};
      level.key = value.get<std::string>();
      if (!level.keys.insert(level.key).second) {
        throw Refused{"the key \"" + level.key + "\" occurs twice", mark};
      }
      level.has_key = true;
    } else {
      level.value.get_ref<Json::object_t&>().emplace_back(std::move(level.key), std::move(value));
      level.has_key = false;
    }
  }

  const int depth_max_;
  int documents_ = 0;
  std::vector<Level> levels_;
  Json root_;
};

absl::Status At(const YAML::Mark& mark, std::string_view why) {
  return absl::InvalidArgumentError(
      StrCat("line ", mark.line + 1, ", column ", mark.column + 1, ": ", why));
}

}  // namespace

absl::StatusOr<Json> ParseJsonOrYaml(std::string_view text, int depth_max) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return absl::InvalidArgumentError("the document is empty");
  if (!IsValidUtf8(text)) return absl::InvalidArgumentError("the document is not UTF-8");
  if (text[first] == '{') {
    auto parsed = ParseOrderedJson(text, static_cast<size_t>(depth_max));
    if (parsed.ok()) return parsed;
  }
  std::istringstream in{std::string(text)};
  // yaml-cpp reports by exceptions, which end here.
  try {
    YAML::Parser parser(in);
    Builder builder(depth_max);
    if (!parser.HandleNextDocument(builder)) {
      return absl::InvalidArgumentError("the document is empty");
    }
    Json value = builder.Take();
    (void)parser.HandleNextDocument(builder);
    return value;
  } catch (const Refused& refused) {
    return At(refused.mark, refused.why);
  } catch (const YAML::Exception& error) {
    return At(error.mark, error.msg);
  }
}

}  // namespace metamcp::json
