#include "services/catalog/pins/pin.h"

#include <nlohmann/json.hpp>
#include <set>

#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::catalog {
namespace {

using nlohmann::json;

// A name as a reference token (RFC 6901).
std::string Token(const std::string& name) {
  std::string out;
  for (const char c : name) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string Text(const json* value) {
  return value == nullptr ? std::string() : metamcp::json::DumpJson(*value);
}

// Definitions are at most kDefinitionDepthMax deep, so this recursion is bounded.
void Compare(const json* before, const json* after, const std::string& path,
             std::vector<PinChange>& out) {
  if (out.size() >= kPinChangesMax) return;
  const bool both = before != nullptr && after != nullptr;
  if (both && *before == *after) return;
  if (both && before->is_object() && after->is_object()) {
    std::set<std::string> names;
    for (const auto& [name, value] : before->items()) names.insert(name);
    for (const auto& [name, value] : after->items()) names.insert(name);
    for (const std::string& name : names) {
      const auto b = before->find(name), a = after->find(name);
      Compare(b == before->end() ? nullptr : &*b, a == after->end() ? nullptr : &*a,
              StrCat(path, "/", Token(name)), out);
    }
    return;
  }
  if (both && before->is_array() && after->is_array()) {
    const size_t count = std::max(before->size(), after->size());
    for (size_t i = 0; i < count; ++i) {
      Compare(i < before->size() ? &(*before)[i] : nullptr,
              i < after->size() ? &(*after)[i] : nullptr, StrCat(path, "/", i), out);
    }
    return;
  }
  out.push_back({path, Text(before), Text(after)});
}

}  // namespace

PinPolicy MakePinPolicy(std::string_view pins, std::string_view new_tools, bool alone) {
  PinPolicy policy;
  if (pins == "auto") pins = alone ? "record" : "warn";
  if (pins == "record") policy.mode = PinMode::kRecord;
  if (pins == "warn") policy.mode = PinMode::kWarn;
  if (pins == "quarantine") policy.mode = PinMode::kQuarantine;
  policy.quarantine_new = policy.mode != PinMode::kOff && new_tools == "quarantine";
  return policy;
}

std::string_view PinStateName(PinState state) {
  switch (state) {
    case PinState::kNone:
      return "";
    case PinState::kApproved:
      return "approved";
    case PinState::kChanged:
      return "changed";
    case PinState::kNew:
      return "new";
  }
  return "";
}

ShownItem ShowItem(const ItemPtr& now, const PinPtr& pin, const PinPolicy& policy) {
  ShownItem out;
  out.item = now;
  if (policy.mode == PinMode::kOff || now->item.kind() != pb::ITEM_KIND_TOOL ||
      !now->invalid.empty()) {
    return out;
  }
  if (pin == nullptr) {
    out.state = PinState::kNew;
    out.quarantined = policy.quarantine_new;
    return out;
  }
  if (pin->approved->item.fingerprint() == now->item.fingerprint()) {
    out.state = PinState::kApproved;
    return out;
  }
  out.state = PinState::kChanged;
  if (policy.mode == PinMode::kRecord) return out;
  out.quarantined = policy.mode == PinMode::kQuarantine || !pin->approved->invalid.empty();
  if (!out.quarantined) out.item = pin->approved;
  return out;
}

std::vector<PinChange> CompareDefinitions(std::string_view before, std::string_view after) {
  std::vector<PinChange> out;
  const auto old = metamcp::json::ParseJson(before, kDefinitionDepthMax);
  const auto now = metamcp::json::ParseJson(after, kDefinitionDepthMax);
  if (old.ok() && now.ok()) Compare(&*old, &*now, "", out);
  return out;
}

std::vector<std::string> ChangedMembers(std::string_view before, std::string_view after) {
  std::vector<std::string> out;
  const auto old = metamcp::json::ParseJson(before, kDefinitionDepthMax);
  const auto now = metamcp::json::ParseJson(after, kDefinitionDepthMax);
  if (!old.ok() || !now.ok() || !old->is_object() || !now->is_object()) return out;
  std::set<std::string> names;
  for (const auto& [name, value] : old->items()) names.insert(name);
  for (const auto& [name, value] : now->items()) names.insert(name);
  for (const std::string& name : names) {
    const auto b = old->find(name), a = now->find(name);
    const bool same = b != old->end() && a != now->end() && *b == *a;
    if (!same) out.push_back(name);
  }
  return out;
}

}  // namespace metamcp::catalog
