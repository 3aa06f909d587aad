#include "common/config/diff.h"

#include <algorithm>
#include <map>

#include "common/base/strings.h"
#include "common/config/fields.h"

namespace metamcp::config {
namespace {

template <typename Map>
NameChanges Compare(const Map& before, const Map& after) {
  NameChanges out;
  for (const auto& [name, value] : before) {
    const auto it = after.find(name);
    if (it == after.end()) {
      out.removed.push_back(name);
    } else if (!(it->second == value)) {
      out.changed.push_back(name);
    }
  }
  for (const auto& [name, value] : after) {
    if (!before.contains(name)) out.added.push_back(name);
  }
  return out;
}

std::map<std::string, KeyConfig> KeysByName(const Config& config) {
  std::map<std::string, KeyConfig> out;
  for (const KeyConfig& key : config.auth.keys) out.emplace(key.name, key);
  return out;
}

void Append(std::string_view what, const NameChanges& changes, std::string* out) {
  if (changes.empty()) return;
  *out += StrCat(out->empty() ? "" : "; ", what);
  for (const std::string& name : changes.added) *out += " +" + name;
  for (const std::string& name : changes.removed) *out += " -" + name;
  for (const std::string& name : changes.changed) *out += " ~" + name;
}

}  // namespace

bool ConfigDiff::needs_restart() const {
  return std::any_of(settings.begin(), settings.end(),
                     [](const SettingChange& change) { return change.restart; });
}

ConfigDiff Diff(const Config& before, const Config& after) {
  ConfigDiff out;
  out.servers = Compare(before.mcp_servers, after.mcp_servers);
  out.virtual_servers = Compare(before.virtual_servers, after.virtual_servers);
  out.keys = Compare(KeysByName(before), KeysByName(after));
  for (const Field& setting : Settings()) {
    // Secrets are compared as they are and shown hidden.
    Field plain = setting;
    plain.secret = false;
    if (FieldText(plain, &before) == FieldText(plain, &after)) continue;
    SettingChange change;
    change.path = std::string(setting.path);
    change.before = FieldText(setting, &before);
    change.after = FieldText(setting, &after);
    change.restart = setting.restart;
    out.settings.push_back(std::move(change));
  }
  if (before.limits.rules != after.limits.rules) {
    SettingChange change;
    change.path = "limits.rules";
    change.before = StrCat(before.limits.rules.size(), " rules");
    change.after = StrCat(after.limits.rules.size(), " rules");
    change.restart = false;
    out.settings.push_back(std::move(change));
  }
  // Their members are secret in part: only that they differ is said.
  const auto differs = [&out](bool changed, std::string_view path) {
    if (!changed) return;
    SettingChange change;
    change.path = std::string(path);
    change.before = "as before";
    change.after = "changed";
    change.restart = false;
    out.settings.push_back(std::move(change));
  };
  differs(before.auth.issuers != after.auth.issuers, "auth.issuers");
  differs(before.auth.certificates != after.auth.certificates, "auth.certificates");
  differs(before.auth.basic.users != after.auth.basic.users, "auth.basic.users");
  if (before.ai.providers != after.ai.providers) {
    // Their members are secret in part: only that they differ is said.
    SettingChange change;
    change.path = "ai.providers";
    change.before = "as before";
    change.after = "changed";
    change.restart = true;
    out.settings.push_back(std::move(change));
  }
  if (before.sandbox.profiles != after.sandbox.profiles) {
    SettingChange change;
    change.path = "sandbox.profiles";
    change.before = "as before";
    change.after = "changed";
    change.restart = true;
    out.settings.push_back(std::move(change));
  }
  return out;
}

std::string DiffText(const ConfigDiff& diff) {
  std::string out;
  Append("servers", diff.servers, &out);
  Append("virtual servers", diff.virtual_servers, &out);
  Append("keys", diff.keys, &out);
  for (const SettingChange& change : diff.settings) {
    out += StrCat(out.empty() ? "" : "; ", change.path, " \"", change.before, "\" -> \"",
                  change.after, "\"", change.restart ? " (after a restart)" : "");
  }
  return out.empty() ? "no change" : out;
}

}  // namespace metamcp::config
