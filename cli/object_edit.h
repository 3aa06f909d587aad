#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cli/context.h"

namespace metamcp::config {
struct ImportResult;
}

namespace metamcp::cli {

// Tells a running gateway on this machine to read config.json again, and says what became of it.
// Nothing running is no failure. Errors: the gateway's, prefixed by what is in force then.
absl::Status ReloadRunning(CommandContext& ctx);

// What stands in config.json and in the gateway's catalog: servers, and virtual servers.
struct ObjectKind {
  std::string_view name;        // "server"
  std::string_view collection;  // of the API: "servers"
  // Edits of config.json; NOT_FOUND where it has no such object.
  std::function<absl::Status(const std::string& path, const std::string& name)> remove;
  std::function<absl::Status(const std::string& path, const std::string& name, bool disabled)>
      set_disabled;
};
const ObjectKind& ServerKind();
const ObjectKind& VirtualServerKind();

// Whether a running gateway on this machine has an object of that name that is not in config.json:
// one in the file could not take effect. Errors: ALREADY_EXISTS.
absl::Status CheckNameIsFree(CommandContext& ctx, const ObjectKind& kind, const std::string& name);

// Removes it from config.json and reloads; where the file does not have it, through the API.
absl::Status RemoveObject(CommandContext& ctx, const ObjectKind& kind, const std::string& name);

// Switches it on or off in config.json and in a running gateway.
absl::Status SetObjectEnabled(CommandContext& ctx, const ObjectKind& kind, const std::string& name,
                              bool enabled);

// Prints what was done: one sentence, or {"done": ..., "name": ...} with --output json.
void SayDone(CommandContext& ctx, std::string_view verb, std::string_view kind,
             std::string_view name);

// Adds what was found in another client's file to config.json and says so; servers that are there
// already stay as they are.
absl::Status AddImported(CommandContext& ctx, const config::ImportResult& found, bool dry_run);

}  // namespace metamcp::cli
