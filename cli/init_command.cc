#include <unistd.h>

#include <filesystem>

#include "cli/commands.h"
#include "cli/connect_client.h"
#include "cli/object_edit.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/edit.h"
#include "common/config/import.h"

namespace metamcp::cli {
namespace {

struct InitOptions {
  std::string model;
  std::string folder;
};

// The reference servers of the quickstart, pinned to versions that were tried.
constexpr std::string_view kServerVersion = "2026.8.31";

config::ServerConfig NpmServer(std::string_view name) {
  config::ServerConfig server;
  server.type = "stdio";
  server.command = "npx";
  server.args = {"-y", StrCat("@modelcontextprotocol/server-", name, "@", kServerVersion)};
  return server;
}

absl::Status AddQuickstart(CommandContext& ctx, std::string folder) {
  if (folder.empty()) {
    std::error_code failed;
    const std::string here = std::filesystem::current_path(failed).string();
    folder = ctx.Ask("Which folder may the filesystem server use?", here);
  }
  std::error_code failed;
  if (!std::filesystem::is_directory(folder, failed)) {
    return UsageError(StrCat(folder, " is no folder"), "Name one that exists with --folder.");
  }
  const std::string path = ctx.ConfigPath();
  config::ServerConfig files = NpmServer("filesystem");
  files.args.push_back(std::filesystem::absolute(folder, failed).string());
  METAMCP_RETURN_IF_ERROR(config::AddServerBlocking(path, "everything", NpmServer("everything")));
  METAMCP_RETURN_IF_ERROR(config::AddServerBlocking(path, "filesystem", files));
  METAMCP_RETURN_IF_ERROR(config::AddServerBlocking(path, "memory", NpmServer("memory")));
  ctx.Say("Added the servers everything, filesystem and memory; they need Node.js (npx).");
  return absl::OkStatus();
}

absl::Status AddFromClients(CommandContext& ctx) {
  const config::ClientPlaces places = PlacesOf(ctx);
  bool any = false;
  for (const config::Client client : config::AllClients()) {
    const auto found = config::ImportClientBlocking(client, places);
    if (absl::IsNotFound(found.status())) continue;
    any = true;
    if (!found.ok()) {
      ctx.Note(StrCat("note: ", config::ClientName(client), ": ", Sv(found.status().message())));
      continue;
    }
    ctx.Say(StrCat("From ", config::ClientName(client), ":"));
    METAMCP_RETURN_IF_ERROR(AddImported(ctx, *found, false));
  }
  if (!any) ctx.Say("No files of other clients were found.");
  return absl::OkStatus();
}

absl::StatusOr<std::string> ChooseModel(CommandContext& ctx, const std::string& given) {
  if (!given.empty()) return given;
  if (!ctx.interactive()) return std::string("empty");
  ctx.Note("What to begin with?");
  ctx.Note("  empty       no servers yet");
  ctx.Note("  quickstart  three reference servers to try things with (needs Node.js)");
  ctx.Note("  import      the servers that Claude, VS Code and Cursor have already");
  const std::string model = ctx.Ask("empty, quickstart or import?", "quickstart");
  if (model == "empty" || model == "quickstart" || model == "import") return model;
  return UsageError(StrCat("there is no template \"", model, "\""));
}

absl::Status Init(CommandContext& ctx, const InitOptions& options) {
  const std::string path = ctx.ConfigPath();
  if (::access(path.c_str(), F_OK) == 0) {
    return Fail("ALREADY_EXISTS", StrCat(path, " exists already"),
                "Change it with 'meta-mcp server add', or check it with 'meta-mcp config "
                "validate'.");
  }
  METAMCP_ASSIGN_OR_RETURN(const std::string model, ChooseModel(ctx, options.model));
  METAMCP_RETURN_IF_ERROR(config::CreateConfigBlocking(path));
  absl::Status status;
  if (model == "quickstart") status = AddQuickstart(ctx, options.folder);
  if (model == "import") status = AddFromClients(ctx);
  if (!status.ok()) {
    // Half a configuration would stop the next try.
    ::unlink(path.c_str());
    return status;
  }
  SayDone(ctx, "wrote", "configuration", path);
  ctx.Say("Next: 'meta-mcp serve', or 'meta-mcp connect CLIENT', which starts it when needed.");
  return absl::OkStatus();
}

}  // namespace

void AddInitCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<InitOptions>();
  Command init = root.Sub("init", "Writes the first configuration");
  init.Example("meta-mcp init")
      .Example("meta-mcp init --template quickstart --folder ~/notes --non-interactive");
  init.Choice("--template", &o->model, {"empty", "quickstart", "import"}, "what to begin with")
      .Option("--folder", &o->folder, "which the quickstart's filesystem server may use", "FOLDER");
  init.Run([&ctx, o] { return Init(ctx, *o); });
}

}  // namespace metamcp::cli
