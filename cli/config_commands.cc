#include <nlohmann/json.hpp>
#include <ostream>
#include <set>

#include "cli/commands.h"
#include "cli/object_edit.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/config_schema.h"
#include "common/config/edit.h"
#include "common/config/fields.h"
#include "common/config/import.h"
#include "common/config/load.h"
#include "common/config/render.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

config::LoadOptions Options(const CommandContext& ctx, bool require_file) {
  config::LoadOptions options;
  options.env = ctx.env;
  options.require_file = require_file;
  return options;
}

absl::Status Validate(CommandContext& ctx, const std::string& file) {
  const std::string path = file.empty() ? ctx.ConfigPath() : file;
  config::LoadOptions options = Options(ctx, true);
  options.require_server_variables = true;
  const auto loaded = config::LoadConfigBlocking(path, options);
  if (absl::IsNotFound(loaded.status())) {
    return Fail("CONFIG_INVALID", StrCat(path, ": there is no such file"),
                "Make one with 'meta-mcp init'.");
  }
  METAMCP_RETURN_IF_ERROR(loaded.status());
  for (const config::Problem& note : loaded->notes) {
    ctx.Note(StrCat("note: ", Printable(config::FormatProblem(note))));
  }
  if (ctx.json()) {
    nlohmann::ordered_json out;
    out["valid"] = true;
    out["file"] = path;
    out["servers"] = loaded->config.mcp_servers.size();
    out["virtualServers"] = loaded->config.virtual_servers.size();
    ctx.PrintJson(json::DumpJson(out));
    return absl::OkStatus();
  }
  ctx.Say(StrCat(path, " is valid: ", loaded->config.mcp_servers.size(), " servers, ",
                 loaded->config.virtual_servers.size(), " virtual servers."));
  return absl::OkStatus();
}

absl::Status ShowOrigins(CommandContext& ctx, const config::LoadResult& loaded) {
  config::Config values = loaded.config;
  Table table({"SETTING", "VALUE", "FROM", "WHERE"});
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const config::Field& field : config::Settings()) {
    const auto at = loaded.origins.find(std::string(field.path));
    const config::ConfigOrigin origin =
        at == loaded.origins.end() ? config::ConfigOrigin() : at->second;
    const std::string value = config::FieldText(field, &values);
    const std::string from(config::OriginName(origin.source));
    table.Row({std::string(field.path), value, from, origin.detail});
    nlohmann::ordered_json row;
    row["setting"] = field.path;
    row["value"] = value;
    row["from"] = from;
    row["where"] = origin.detail;
    rows.push_back(std::move(row));
  }
  if (ctx.json()) {
    nlohmann::ordered_json out;
    out["settings"] = std::move(rows);
    ctx.PrintJson(json::DumpJson(out));
  } else {
    ctx.PrintTable(table, "");
  }
  return absl::OkStatus();
}

absl::Status Show(CommandContext& ctx, bool origin, bool defaults) {
  METAMCP_ASSIGN_OR_RETURN(const config::LoadResult loaded,
                           config::LoadConfigBlocking(ctx.ConfigPath(), Options(ctx, false)));
  if (origin) return ShowOrigins(ctx, loaded);
  config::RenderOptions options;
  options.with_defaults = defaults;
  *ctx.out << config::ConfigToJson(loaded.config, options) << "\n";
  return absl::OkStatus();
}

absl::Status Migrate(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const config::MigrateResult result,
                           config::MigrateConfigBlocking(ctx.ConfigPath()));
  if (!result.changed) {
    ctx.Say(StrCat(ctx.ConfigPath(), " is current; nothing was changed."));
    return absl::OkStatus();
  }
  ctx.Say(
      StrCat("Brought ", ctx.ConfigPath(), " to version 1; the old file is ", result.backup, "."));
  if (!result.notes.empty()) ctx.Note(Printable(result.notes));
  return ReloadRunning(ctx);
}

absl::Status Import(CommandContext& ctx, const std::string& file, bool dry_run) {
  METAMCP_ASSIGN_OR_RETURN(const config::ImportResult found, config::ImportFileBlocking(file));
  return AddImported(ctx, found, dry_run);
}

std::set<std::string> KnownSlugs(const CommandContext& ctx) {
  std::set<std::string> out;
  config::LoadOptions options = Options(ctx, false);
  options.resolve = false;
  const auto loaded = config::LoadConfigBlocking(ctx.ConfigPath(), options);
  if (!loaded.ok()) return out;
  for (const auto& [name, server] : loaded->config.mcp_servers) out.insert(Slug(name));
  return out;
}

}  // namespace

absl::Status AddImported(CommandContext& ctx, const config::ImportResult& found, bool dry_run) {
  for (const config::Problem& note : found.notes) {
    ctx.Note(StrCat("note: ", Printable(config::FormatProblem(note))));
  }
  Table table({"NAME", "RESULT", "FROM"});
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  int added = 0;
  const std::set<std::string> known = dry_run ? KnownSlugs(ctx) : std::set<std::string>();
  for (const config::ImportedServer& imported : found.servers) {
    std::string outcome = dry_run ? "would be added" : "added";
    if (dry_run) {
      if (known.count(Slug(imported.name)) > 0) outcome = "there already";
    } else {
      const absl::Status status =
          config::AddServerBlocking(ctx.ConfigPath(), imported.name, imported.server);
      if (absl::IsAlreadyExists(status)) {
        outcome = "there already";
      } else if (!status.ok()) {
        return Annotate(status, StrCat("while adding \"", imported.name, "\": "));
      } else {
        ++added;
      }
    }
    table.Row({imported.name, outcome, imported.file});
    nlohmann::ordered_json row;
    row["name"] = imported.name;
    row["result"] = outcome;
    row["from"] = imported.file;
    rows.push_back(std::move(row));
  }
  if (ctx.json()) {
    nlohmann::ordered_json out;
    out["servers"] = std::move(rows);
    ctx.PrintJson(json::DumpJson(out));
  } else {
    ctx.PrintTable(table, "No servers found in it.");
  }
  return added > 0 ? ReloadRunning(ctx) : absl::OkStatus();
}

void AddConfigCommands(Command& root) {
  Command group = root.Sub("config", "The configuration file");
  group.Example("meta-mcp config validate").Example("meta-mcp config show --origin");
  CommandContext& ctx = group.context();
  auto file = std::make_shared<std::string>();
  Command validate = group.Sub("validate", "Checks the configuration and names each slip's place");
  validate.Example("meta-mcp config validate").Example("meta-mcp config validate ./config.json");
  validate.OptionalArgument("FILE", file.get(), "instead of the file in use");
  validate.Run([&ctx, file] { return Validate(ctx, *file); });

  auto origin = std::make_shared<bool>(false);
  auto defaults = std::make_shared<bool>(false);
  Command show = group.Sub("show", "Prints the configuration in force, secrets masked");
  show.Example("meta-mcp config show --origin").Example("meta-mcp config show --defaults");
  show.Flag("--origin", origin.get(), "each setting with the place its value comes from")
      .Flag("--defaults", defaults.get(), "also what has its default");
  show.Run([&ctx, origin, defaults] { return Show(ctx, *origin, *defaults); });

  Command migrate = group.Sub("migrate", "Brings an old file to the current form, with a backup");
  migrate.Example("meta-mcp config migrate");
  migrate.Run([&ctx] { return Migrate(ctx); });

  auto dry_run = std::make_shared<bool>(false);
  Command take = group.Sub("import", "Adds the servers of another client's file");
  take.Example("meta-mcp config import ~/.cursor/mcp.json")
      .Example("meta-mcp config import .vscode/mcp.json --dry-run")
      .More("Reads the files of Claude Desktop, Claude Code, VS Code and Cursor.");
  take.Argument("FILE", file.get(), "the client's file")
      .Flag("--dry-run", dry_run.get(), "only say what would be added");
  take.Run([&ctx, file, dry_run] { return Import(ctx, *file, *dry_run); });

  Command schema = group.Sub("schema", "Prints the JSON Schema of config.json, for editors");
  schema.Example("meta-mcp config schema > config.schema.json");
  schema.Run([&ctx] {
    *ctx.out << config::GenerateConfigSchema() << "\n";
    return absl::OkStatus();
  });
}

}  // namespace metamcp::cli
