#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/context.h"

namespace metamcp::config {
struct ImportResult;
}

namespace metamcp::cli {

// Tells a running gateway on this machine to read config.json again, and says what became of it.
// Nothing running is no failure. Errors: the gateway's, prefixed by what is in force then.
absl::Status ReloadRunning(CommandContext& ctx);

// Prints what was done: one sentence, or {"done": ..., "name": ...} with --output json.
void SayDone(CommandContext& ctx, std::string_view verb, std::string_view kind,
             std::string_view name);

// Adds what was found in another client's file to config.json and says so; servers that are there
// already stay as they are.
absl::Status AddImported(CommandContext& ctx, const config::ImportResult& found, bool dry_run);

}  // namespace metamcp::cli
