#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/schema_nodes.h"

namespace metamcp::json {
namespace {

using Json = nlohmann::json;

unsigned TypesOf(const Json& value) {
  if (value.is_null()) return kTypeNull;
  if (value.is_boolean()) return kTypeBoolean;
  if (value.is_number_integer()) return kTypeInteger | kTypeNumber;
  if (value.is_number()) {
    const double number = value.get<double>();
    return kTypeNumber | (std::trunc(number) == number ? kTypeInteger : 0u);
  }
  if (value.is_string()) return kTypeString;
  return value.is_array() ? kTypeArray : kTypeObject;
}

std::size_t CodePoints(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

bool IsMultiple(const Json& value, double of) {
  if (value.is_number_integer() && std::trunc(of) == of && of <= 9e15) {
    const auto divisor = static_cast<std::int64_t>(of);
    if (value.is_number_unsigned()) {
      return value.get<std::uint64_t>() % static_cast<std::uint64_t>(divisor) == 0;
    }
    return value.get<std::int64_t>() % divisor == 0;
  }
  const double quotient = value.get<double>() / of;
  if (!std::isfinite(quotient)) return false;
  // Decimal fractions are not exact in binary: 0.0075 is a multiple of 0.0001.
  return std::fabs(quotient - std::round(quotient)) <= 1e-12 * std::max(1.0, std::fabs(quotient));
}

// Where in the instance an evaluation stands; a chain on the stack.
struct Frame {
  const Frame* parent = nullptr;
  std::string_view key;
  std::size_t index = 0;
  bool is_index = false;
};

std::string PointerOf(const Frame* frame) {
  std::vector<std::string> steps;
  for (; frame != nullptr && frame->parent != nullptr; frame = frame->parent) {
    std::string step = "/";
    if (frame->is_index) {
      step += std::to_string(frame->index);
    } else {
      for (const char c : frame->key) {
        if (c == '~') {
          step += "~0";
        } else if (c == '/') {
          step += "~1";
        } else {
          step.push_back(c);
        }
      }
    }
    steps.push_back(std::move(step));
  }
  std::string out;
  for (auto it = steps.rbegin(); it != steps.rend(); ++it) out += *it;
  return out;
}

// What the subschemas so far have looked at, for the unevaluated* keywords.
struct Evaluated {
  std::set<std::string_view> members;
  std::set<std::size_t> items;

  void Merge(const Evaluated& other) {
    members.insert(other.members.begin(), other.members.end());
    items.insert(other.items.begin(), other.items.end());
  }
};

class Evaluator {
 public:
  explicit Evaluator(const Program& program) : program_(program) {}

  absl::Status Run(const Json& instance) {
    const Frame root;
    if (Eval(0, instance, root, nullptr) && !stopped_) return absl::OkStatus();
    return MakeError("INVALID_PARAMS", "json",
                     StrCat(pointer_.empty() ? "The value" : pointer_, ": ", reason_),
                     {{"pointer", pointer_}});
  }

 private:
  bool Fail(const Frame& frame, std::string_view reason) {
    if (stopped_) return false;
    pointer_ = PointerOf(&frame);
    reason_ = reason;
    return false;
  }
  bool Stop(const Frame& frame, std::string_view reason) {
    Fail(frame, reason);
    stopped_ = true;
    return false;
  }

  bool Eval(int index, const Json& value, const Frame& frame, Evaluated* outer) {
    if (stopped_) return false;
    if (++steps_ > program_.options.eval_steps_max) return Stop(frame, "too much work to check");
    if (depth_ >= program_.options.eval_depth_max) return Stop(frame, "nested too deeply to check");
    const Node& node = program_.nodes[static_cast<std::size_t>(index)];
    if (node.never) return Fail(frame, "nothing is allowed here");
    const bool enters = scope_.empty() || scope_.back() != node.resource;
    if (enters) scope_.push_back(node.resource);
    ++depth_;
    bool ok;
    if (program_.tracks_evaluated) {
      Evaluated mine;
      ok = EvalNode(node, value, frame, &mine);
      if (ok && outer != nullptr) outer->Merge(mine);
    } else {
      ok = EvalNode(node, value, frame, nullptr);
    }
    --depth_;
    if (enters) scope_.pop_back();
    return ok && !stopped_;
  }

  bool EvalNode(const Node& node, const Json& value, const Frame& frame, Evaluated* mine) {
    if (node.types != 0 && (node.types & TypesOf(value)) == 0) {
      return Fail(frame, "has the wrong type");
    }
    if (node.constant != nullptr && *node.constant != value) {
      return Fail(frame, "is not the expected constant");
    }
    if (node.choices != nullptr &&
        std::find(node.choices->begin(), node.choices->end(), value) == node.choices->end()) {
      return Fail(frame, "is not one of the allowed values");
    }
    if (value.is_number() && !CheckNumber(node, value, frame)) return false;
    if (value.is_string() && !CheckString(node, value, frame)) return false;
    if (node.ref != kNoNode && !Eval(node.ref, value, frame, mine)) return false;
    if (node.dynamic_ref && !Eval(DynamicTarget(*node.dynamic_ref), value, frame, mine)) {
      return false;
    }
    if (!CheckLogic(node, value, frame, mine)) return false;
    if (value.is_array()) return CheckArray(node, value, frame, mine);
    if (value.is_object()) return CheckObject(node, value, frame, mine);
    return true;
  }

  int DynamicTarget(const DynamicRef& ref) const {
    if (ref.anchor.empty()) return ref.target;
    for (const int resource : scope_) {
      const auto it = program_.dynamic_anchors.find({resource, ref.anchor});
      if (it != program_.dynamic_anchors.end()) return it->second;
    }
    return ref.target;
  }

  bool CheckNumber(const Node& node, const Json& value, const Frame& frame) {
    const double number = value.get<double>();
    if (node.minimum && number < *node.minimum) return Fail(frame, "is too small");
    if (node.maximum && number > *node.maximum) return Fail(frame, "is too large");
    if (node.above && number <= *node.above) return Fail(frame, "is too small");
    if (node.below && number >= *node.below) return Fail(frame, "is too large");
    if (node.multiple_of && !IsMultiple(value, *node.multiple_of)) {
      return Fail(frame, "is not a multiple of the required number");
    }
    return true;
  }

  bool CheckString(const Node& node, const Json& value, const Frame& frame) {
    const auto& text = value.get_ref<const std::string&>();
    if (node.length_min || node.length_max) {
      const std::size_t length = CodePoints(text);
      if (node.length_min && length < *node.length_min) return Fail(frame, "is too short");
      if (node.length_max && length > *node.length_max) return Fail(frame, "is too long");
    }
    return node.pattern == nullptr || Matches(*node.pattern, text, frame) ||
           Fail(frame, "does not match the pattern");
  }

  bool Matches(const Pattern& pattern, std::string_view text, const Frame& frame) {
    const Pattern::Match match = pattern.Find(text);
    if (match == Pattern::Match::kLimit) Stop(frame, "a pattern needs too much work");
    return match == Pattern::Match::kYes;
  }

  bool CheckLogic(const Node& node, const Json& value, const Frame& frame, Evaluated* mine) {
    for (const int n : node.all_of) {
      if (!Eval(n, value, frame, mine)) return false;
    }
    if (!node.any_of.empty()) {
      bool any = false;
      for (const int n : node.any_of) {
        any = Eval(n, value, frame, mine) || any;
        // With unevaluated* every branch that holds contributes.
        if (any && mine == nullptr) break;
      }
      if (!any) return Fail(frame, "matches none of the alternatives");
    }
    if (!node.one_of.empty()) {
      int matches = 0;
      for (const int n : node.one_of) matches += Eval(n, value, frame, mine) ? 1 : 0;
      if (matches != 1) return Fail(frame, "must match exactly one of the alternatives");
    }
    if (node.negated != kNoNode && Eval(node.negated, value, frame, nullptr)) {
      return Fail(frame, "matches what is excluded");
    }
    if (node.condition != kNoNode) {
      const int branch = Eval(node.condition, value, frame, mine) ? node.then : node.otherwise;
      if (branch != kNoNode && !Eval(branch, value, frame, mine)) return false;
    }
    return !stopped_;
  }

  bool CheckArray(const Node& node, const Json& value, const Frame& frame, Evaluated* mine) {
    if (node.items_min && value.size() < *node.items_min) return Fail(frame, "has too few items");
    if (node.items_max && value.size() > *node.items_max) return Fail(frame, "has too many items");
    for (std::size_t i = 0; i < value.size(); ++i) {
      const bool listed = i < node.prefix_items.size();
      const int n = listed ? node.prefix_items[i] : node.items;
      if (n == kNoNode) break;
      const Frame at{&frame, {}, i, true};
      if (!Eval(n, value[i], at, nullptr)) return false;
      if (mine != nullptr) mine->items.insert(i);
    }
    if (node.contains != kNoNode && !CheckContains(node, value, frame, mine)) return false;
    if (node.unique && !IsUnique(value)) return Fail(frame, "has equal items");
    if (node.unevaluated_items == kNoNode) return !stopped_;
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (mine->items.contains(i)) continue;
      const Frame at{&frame, {}, i, true};
      if (!Eval(node.unevaluated_items, value[i], at, nullptr)) return false;
      mine->items.insert(i);
    }
    return true;
  }

  bool CheckContains(const Node& node, const Json& value, const Frame& frame, Evaluated* mine) {
    std::size_t matches = 0;
    for (std::size_t i = 0; i < value.size(); ++i) {
      const Frame at{&frame, {}, i, true};
      if (!Eval(node.contains, value[i], at, nullptr)) continue;
      ++matches;
      if (mine != nullptr) mine->items.insert(i);
    }
    if (matches < node.contains_min) return Fail(frame, "lacks a required item");
    if (node.contains_max && matches > *node.contains_max) {
      return Fail(frame, "has too many items of one kind");
    }
    return !stopped_;
  }

  // Canonical texts make this linear; equal numbers have equal texts.
  bool IsUnique(const Json& array) {
    std::unordered_set<std::string> seen;
    for (const Json& item : array) {
      steps_ += 1;
      if (!seen.insert(CanonicalJson(item)).second) return false;
    }
    return true;
  }

  bool CheckObject(const Node& node, const Json& value, const Frame& frame, Evaluated* mine) {
    if (node.members_min && value.size() < *node.members_min) {
      return Fail(frame, "has too few members");
    }
    if (node.members_max && value.size() > *node.members_max) {
      return Fail(frame, "has too many members");
    }
    for (const std::string& name : node.required) {
      if (!value.contains(name)) {
        return Fail(frame, StrCat("lacks the member \"", name.substr(0, 100), "\""));
      }
    }
    for (const auto& [name, names] : node.needs) {
      if (!value.contains(name)) continue;
      for (const std::string& other : names) {
        if (!value.contains(other)) return Fail(frame, "lacks a member that another one needs");
      }
    }
    for (const auto& [name, n] : node.needs_schema) {
      if (value.contains(name) && !Eval(n, value, frame, mine)) return false;
    }
    for (auto it = value.begin(); it != value.end(); ++it) {
      if (!CheckMember(node, it.key(), it.value(), frame, mine)) return false;
    }
    if (node.unevaluated_properties == kNoNode) return !stopped_;
    for (auto it = value.begin(); it != value.end(); ++it) {
      if (mine->members.contains(it.key())) continue;
      const Frame at{&frame, it.key(), 0, false};
      if (!Eval(node.unevaluated_properties, it.value(), at, nullptr)) return false;
      mine->members.insert(it.key());
    }
    return true;
  }

  bool CheckMember(const Node& node, const std::string& key, const Json& value, const Frame& parent,
                   Evaluated* mine) {
    const Frame at{&parent, key, 0, false};
    if (node.names != kNoNode && !Eval(node.names, Json(key), at, nullptr)) return false;
    bool known = false;
    const auto own = std::lower_bound(
        node.properties.begin(), node.properties.end(), key,
        [](const std::pair<std::string, int>& p, const std::string& k) { return p.first < k; });
    if (own != node.properties.end() && own->first == key) {
      known = true;
      if (!Eval(own->second, value, at, nullptr)) return false;
    }
    for (const auto& [pattern, n] : node.pattern_properties) {
      if (!Matches(*pattern, key, at)) continue;
      known = true;
      if (!Eval(n, value, at, nullptr)) return false;
    }
    if (!known && node.additional != kNoNode) {
      known = true;
      if (!Eval(node.additional, value, at, nullptr)) return false;
    }
    if (known && mine != nullptr) mine->members.insert(key);
    return !stopped_;
  }

  const Program& program_;
  std::vector<int> scope_;  // resources entered, outermost first
  std::size_t depth_ = 0;
  std::size_t steps_ = 0;
  bool stopped_ = false;
  std::string pointer_;
  std::string reason_;
};

}  // namespace

absl::Status RunProgram(const Program& program, const Json& instance) {
  return Evaluator(program).Run(instance);
}

}  // namespace metamcp::json
