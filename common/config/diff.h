#pragma once

#include <string>
#include <vector>

#include "common/config/config.h"

namespace metamcp::config {

struct SettingChange {
  std::string path;
  std::string before;  // as text; "***" for secrets
  std::string after;
  bool restart = false;  // takes effect at the next start only
};

// Names added, removed and changed, sorted.
struct NameChanges {
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::vector<std::string> changed;
  bool empty() const { return added.empty() && removed.empty() && changed.empty(); }
};

struct ConfigDiff {
  NameChanges servers;
  NameChanges virtual_servers;
  NameChanges keys;  // of auth.keys
  std::vector<SettingChange> settings;

  bool empty() const {
    return servers.empty() && virtual_servers.empty() && keys.empty() && settings.empty();
  }
  bool needs_restart() const;
};

// What a reload from `before` to `after` changes. What is not named is equal, so its connections
// stay untouched.
ConfigDiff Diff(const Config& before, const Config& after);

// One line for the log and for people: "servers +a -b ~c; gateway.pageSize 10 -> 20". "no change"
// when empty.
std::string DiffText(const ConfigDiff& diff);

}  // namespace metamcp::config
