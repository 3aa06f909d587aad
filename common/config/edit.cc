#include "common/config/edit.h"

#include <unistd.h>

#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/atomic_file.h"
#include "common/config/json_tree.h"
#include "common/config/load.h"
#include "common/config/read.h"
#include "common/config/render.h"
#include "common/config/text_edit.h"

namespace metamcp::config {
namespace {

constexpr std::string_view kDomain = "config";

absl::StatusOr<Config> CheckText(const std::string& text, const std::string& path) {
  LoadOptions options;
  options.resolve = false;
  CheckResult check = CheckConfig(text, path, options);
  if (check.errors.empty()) return std::move(check.loaded.config);
  return MakeError("CONFIG_INVALID", kDomain, FormatErrors(check.errors));
}

// A file under its lock, read and checked.
struct OpenFile {
  FileLock lock;
  std::string text;
  Config config;
  std::string container;  // "mcpServers", or VS Code's "servers"
};

absl::StatusOr<OpenFile> OpenBlocking(const std::string& path) {
  METAMCP_ASSIGN_OR_RETURN(FileLock lock, FileLock::AcquireBlocking(path));
  auto text = ReadTextBlocking(path);
  if (!text.ok() && text.status().code() != absl::StatusCode::kNotFound) return text.status();
  OpenFile file{std::move(lock), text.ok() ? *std::move(text) : std::string("{}\n"), Config(),
                "mcpServers"};
  METAMCP_ASSIGN_OR_RETURN(file.config, CheckText(file.text, path));
  const JsonTree tree = ParseJsonc(file.text, path);
  if (IsVersion0(tree.root)) {
    return MakeError("CONFIG_INVALID", kDomain,
                     StrCat(path, ": has schema version 0; run 'meta-mcp config migrate' first"));
  }
  if (tree.root.Find("servers") != nullptr) file.container = "servers";
  return file;
}

absl::Status SaveBlocking(const std::string& path, const std::string& text) {
  METAMCP_RETURN_IF_ERROR(CheckText(text, path).status());
  return ReplaceTextBlocking(path, text);
}

// The key in the file of the object of that name or slug.
template <typename Map>
absl::StatusOr<std::string> FindKey(const Map& objects, std::string_view what,
                                    const std::string& name) {
  std::vector<std::string> names;
  for (const auto& [key, object] : objects) {
    if (key == name || Slug(key) == name) return key;
    names.push_back(key);
  }
  const std::string nearest = Nearest(name, names);
  return MakeError("NOT_FOUND", kDomain,
                   StrCat("there is no ", what, " \"", name, "\"",
                          nearest.empty() ? "" : StrCat("; did you mean \"", nearest, "\"?")));
}

absl::StatusOr<std::string> FindServer(const OpenFile& file, const std::string& name) {
  return FindKey(file.config.mcp_servers, "server", name);
}

absl::StatusOr<std::string> FindVirtualServer(const OpenFile& file, const std::string& name) {
  return FindKey(file.config.virtual_servers, "virtual server", name);
}

constexpr char kVirtualServers[] = "virtualServers";

}  // namespace

absl::Status AddServerBlocking(const std::string& path, const std::string& name,
                               const ServerConfig& server) {
  METAMCP_ASSIGN_OR_RETURN(const OpenFile file, OpenBlocking(path));
  for (const auto& [key, existing] : file.config.mcp_servers) {
    if (Slug(key) == Slug(name)) {
      return MakeError("ALREADY_EXISTS", kDomain,
                       StrCat("there is a server \"", key, "\" already"));
    }
  }
  METAMCP_ASSIGN_OR_RETURN(
      const std::string text,
      SetMember(file.text, path, {file.container, name}, ServerNode(name, server)));
  return SaveBlocking(path, text);
}

absl::Status RemoveServerBlocking(const std::string& path, const std::string& name) {
  METAMCP_ASSIGN_OR_RETURN(const OpenFile file, OpenBlocking(path));
  METAMCP_ASSIGN_OR_RETURN(const std::string key, FindServer(file, name));
  METAMCP_ASSIGN_OR_RETURN(const std::string text,
                           RemoveMember(file.text, path, {file.container, key}));
  return SaveBlocking(path, text);
}

absl::Status SetServerDisabledBlocking(const std::string& path, const std::string& name,
                                       bool disabled) {
  METAMCP_ASSIGN_OR_RETURN(const OpenFile file, OpenBlocking(path));
  METAMCP_ASSIGN_OR_RETURN(const std::string key, FindServer(file, name));
  if (file.config.mcp_servers.at(key).disabled == disabled) return absl::OkStatus();
  const JsonTree tree = ParseJsonc(file.text, path);
  const JsonNode* entry = tree.root.Find(file.container)->Find(key);
  // Some clients write "enabled" instead; two switches would contradict each other.
  const bool theirs = entry->Find("enabled") != nullptr;
  METAMCP_ASSIGN_OR_RETURN(
      const std::string text,
      SetMember(file.text, path, {file.container, key, theirs ? "enabled" : "disabled"},
                BoolNode(theirs ? !disabled : disabled)));
  return SaveBlocking(path, text);
}

absl::Status AddVirtualServerBlocking(const std::string& path, const std::string& name,
                                      const VirtualServerConfig& server) {
  METAMCP_ASSIGN_OR_RETURN(const OpenFile file, OpenBlocking(path));
  if (file.config.virtual_servers.contains(name)) {
    return MakeError("ALREADY_EXISTS", kDomain,
                     StrCat("there is a virtual server \"", name, "\" already"));
  }
  METAMCP_ASSIGN_OR_RETURN(
      const std::string text,
      SetMember(file.text, path, {kVirtualServers, name}, VirtualServerNode(server)));
  return SaveBlocking(path, text);
}

absl::Status RemoveVirtualServerBlocking(const std::string& path, const std::string& name) {
  METAMCP_ASSIGN_OR_RETURN(const OpenFile file, OpenBlocking(path));
  METAMCP_ASSIGN_OR_RETURN(const std::string key, FindVirtualServer(file, name));
  METAMCP_ASSIGN_OR_RETURN(const std::string text,
                           RemoveMember(file.text, path, {kVirtualServers, key}));
  return SaveBlocking(path, text);
}

absl::Status SetVirtualServerDisabledBlocking(const std::string& path, const std::string& name,
                                              bool disabled) {
  METAMCP_ASSIGN_OR_RETURN(const OpenFile file, OpenBlocking(path));
  METAMCP_ASSIGN_OR_RETURN(const std::string key, FindVirtualServer(file, name));
  if (file.config.virtual_servers.at(key).disabled == disabled) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(
      const std::string text,
      SetMember(file.text, path, {kVirtualServers, key, "disabled"}, BoolNode(disabled)));
  return SaveBlocking(path, text);
}

absl::Status CreateConfigBlocking(const std::string& path) {
  METAMCP_ASSIGN_OR_RETURN(const FileLock lock, FileLock::AcquireBlocking(path));
  if (access(path.c_str(), F_OK) == 0) {
    return MakeError("ALREADY_EXISTS", kDomain, StrCat(path, ": is there already"));
  }
  return SaveBlocking(path, DefaultConfigText());
}

absl::StatusOr<MigrateResult> MigrateConfigBlocking(const std::string& path) {
  METAMCP_ASSIGN_OR_RETURN(const FileLock lock, FileLock::AcquireBlocking(path));
  METAMCP_ASSIGN_OR_RETURN(const std::string text, ReadTextBlocking(path));
  JsonTree tree = ParseJsonc(text, path);
  if (!tree.errors.empty()) return MakeError("CONFIG_INVALID", kDomain, FormatErrors(tree.errors));
  MigrateResult result;
  if (!IsVersion0(tree.root)) {
    METAMCP_RETURN_IF_ERROR(CheckText(text, path).status());
    return result;
  }
  result.notes = FormatErrors(UpgradeTree(path, &tree.root));
  const std::string upgraded = ToPrettyJson(tree.root) + "\n";
  METAMCP_RETURN_IF_ERROR(CheckText(upgraded, path).status());
  METAMCP_ASSIGN_OR_RETURN(result.backup, BackupBlocking(path));
  METAMCP_RETURN_IF_ERROR(ReplaceTextBlocking(path, upgraded));
  result.changed = true;
  return result;
}

}  // namespace metamcp::config
