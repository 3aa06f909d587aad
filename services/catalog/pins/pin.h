#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "services/catalog/item.h"

// Approved definitions of tools. What is approved is pinned by its fingerprint; a definition with
// another one is a change that waits for somebody to look at it.
namespace metamcp::catalog {

enum class PinMode {
  kOff,
  kRecord,      // clients see it as it is now
  kWarn,        // clients go on seeing the approved definition
  kQuarantine,  // nobody sees or calls a changed tool
};

struct PinPolicy {
  PinMode mode = PinMode::kOff;
  bool quarantine_new = false;  // what was never seen waits for an approval, too
  bool operator==(const PinPolicy&) const = default;
};
// Of the settings catalog.pins and catalog.newTools. `alone`: only this machine is served, by this
// process.
PinPolicy MakePinPolicy(std::string_view pins, std::string_view new_tools, bool alone);

struct Pin {
  ItemPtr approved;
  std::string by;
  int64_t at_us = 0;
};
using PinPtr = std::shared_ptr<const Pin>;

// Who approves what is accepted when it is first seen.
inline constexpr std::string_view kFirstSight = "first sight";

enum class PinState { kNone, kApproved, kChanged, kNew };
// "approved", "changed", "new"; empty for kNone.
std::string_view PinStateName(PinState state);

// What clients see of an item.
struct ShownItem {
  ItemPtr item;  // the approved one where the change is only warned of
  PinState state = PinState::kNone;
  bool quarantined = false;
};
// `pin` is null where nobody has approved any definition. Items that are not watched (other kinds
// than tools, refused definitions) are shown as they are.
ShownItem ShowItem(const ItemPtr& now, const PinPtr& pin, const PinPolicy& policy);

// One place in which two definitions differ; the texts are JSON, empty where there is nothing.
struct PinChange {
  std::string path;  // JSON Pointer
  std::string before;
  std::string after;
};
inline constexpr size_t kPinChangesMax = 200;
// In the order of members' names. Arrays are compared element by element.
std::vector<PinChange> CompareDefinitions(std::string_view before, std::string_view after);
// The members of a definition that differ, for example {"annotations", "description"}.
std::vector<std::string> ChangedMembers(std::string_view before, std::string_view after);

}  // namespace metamcp::catalog
