// Workflows: definitions. Their runs are in workflow_run_commands.cc.

#include <fstream>
#include <istream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct DefinitionOptions {
  std::string file, name, version, output_file;
};

absl::StatusOr<std::string> ReadDocument(CommandContext& ctx, const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(*ctx.in), {});
  std::ifstream file(path, std::ios::binary);
  if (!file) return UsageError(StrCat("cannot read ", path));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string SourceBody(const std::string& source) {
  nlohmann::json body;
  body["source"] = source;
  return json::DumpJson(body);
}

void PrintProblems(CommandContext& ctx, const std::string& file, const nlohmann::json& reply) {
  for (const nlohmann::json& problem : ArrayOf(reply, "problems")) {
    const std::string path = TextOf(problem, "path");
    *ctx.out << OneLine(file) << ": " << OneLine(path.empty() ? "document" : path) << ": "
             << OneLine(TextOf(problem, "message")) << "\n";
  }
}

absl::Status Validate(CommandContext& ctx, const DefinitionOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string source, ReadDocument(ctx, o.file));
  const RestRequest request("POST", ApiPath({"workflows:validate"}), SourceBody(source));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallJson(ctx, request));
  const bool valid = BoolOf(reply, "valid");
  if (!valid) ctx.exit_code = kExitFailed;
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  PrintProblems(ctx, o.file, reply);
  if (valid) {
    const nlohmann::json& workflow = ObjectOf(reply, "workflow");
    ctx.Say(StrCat(TextOf(workflow, "name"), " ", TextOf(workflow, "version"),
                   " is valid; it calls ",
                   ArrayOf(reply, "tools").empty() ? "no tool" : JoinedOf(reply, "tools"), "."));
  }
  return absl::OkStatus();
}

absl::Status Create(CommandContext& ctx, const DefinitionOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string source, ReadDocument(ctx, o.file));
  const RestRequest request("POST", ApiPath({"workflows"}), SourceBody(source));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallJson(ctx, request));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  const nlohmann::json& workflow = ObjectOf(reply, "workflow");
  ctx.Say(StrCat(TextOf(workflow, "name"), " ", TextOf(workflow, "version"),
                 BoolOf(reply, "created") ? " is stored." : " was stored before."));
  return absl::OkStatus();
}

absl::Status List(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, ListAll(ctx, "workflows", "workflows"));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"NAME", "VERSION", "OWNER", "SHARED", "TOOL", "TITLE"});
  for (const nlohmann::json& one : ArrayOf(reply, "workflows")) {
    std::string title = TextOf(one, "title");
    if (title.empty()) title = TextOf(one, "summary");
    table.Row({TextOf(one, "name"), TextOf(one, "version"), TextOf(one, "owner"),
               TextOf(one, "visibility"), TextOf(one, "tool").empty() ? "" : "yes",
               Shorten(OneLine(title), 60)});
  }
  ctx.PrintTable(table, "No workflows. 'meta-mcp workflow create FILE' stores one.");
  return absl::OkStatus();
}

std::string RunsText(const nlohmann::json& workflow) {
  const int64_t ended = NumberOf(workflow, "runsEnded");
  if (ended == 0) return "none has ended";
  const int64_t completed = NumberOf(workflow, "runsCompleted");
  return StrCat(completed, " of ", ended, " completed (", completed * 100 / ended, " %)");
}

absl::StatusOr<nlohmann::json> Get(CommandContext& ctx, const DefinitionOptions& o) {
  return CallJson(ctx,
                  RestRequest("GET", ApiPath({"workflows", o.name}, {{"version", o.version}})));
}

absl::Status Show(CommandContext& ctx, const DefinitionOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Get(ctx, o));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  const nlohmann::json& workflow = ObjectOf(reply, "workflow");
  Table table({"FIELD", "VALUE"});
  table.Row({"name", TextOf(workflow, "name")});
  table.Row({"version", TextOf(workflow, "version")});
  table.Row({"versions", JoinedOf(reply, "versions")});
  table.Row({"created", StrCat(TimeText(NumberOf(workflow, "createdUs")), " by ",
                               TextOf(workflow, "createdBy"))});
  table.Row({"digest", TextOf(workflow, "digest")});
  const std::string team = TextOf(workflow, "team");
  table.Row({"owner", TextOf(workflow, "owner")});
  table.Row({"shared", StrCat(TextOf(workflow, "visibility"), team.empty() ? "" : " ", team)});
  if (const std::string tool = TextOf(workflow, "tool"); !tool.empty()) {
    const std::string pinned = TextOf(workflow, "publishedVersion");
    table.Row({"tool", StrCat("workflow.", tool, pinned.empty() ? "" : " at version ", pinned)});
  }
  table.Row({"runs", RunsText(workflow)});
  ctx.PrintTable(table, "");
  *ctx.out << "\n" << Printable(TextOf(workflow, "source")) << "\n";
  return absl::OkStatus();
}

absl::Status Export(CommandContext& ctx, const DefinitionOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Get(ctx, o));
  ctx.PrintJson(json::DumpJson(ObjectOf(ObjectOf(reply, "workflow"), "document")));
  return absl::OkStatus();
}

absl::Status Remove(CommandContext& ctx, const DefinitionOptions& o) {
  METAMCP_RETURN_IF_ERROR(
      ctx.rest().Call(RestRequest("DELETE", ApiPath({"workflows", o.name}))).status());
  ctx.Say(StrCat(OneLine(o.name), " is removed; runs that have begun go on."));
  return absl::OkStatus();
}

}  // namespace

void AddWorkflowCommands(Command& root) {
  Command group = root.Sub("workflow", "Durable workflows over the tools of all servers");
  group.Example("meta-mcp workflow run notes.yaml --input '{\"dir\": \"/tmp\"}'")
      .Example("meta-mcp workflow runs --state failed");
  CommandContext& ctx = group.context();
  auto o = std::make_shared<DefinitionOptions>();

  Command list = group.Sub("list", "Lists workflows in their newest versions");
  list.Example("meta-mcp workflow list");
  list.Run([&ctx] { return List(ctx); });

  Command show = group.Sub("show", "Shows a workflow as it was written");
  show.Example("meta-mcp workflow show notes");
  show.Argument("NAME", &o->name, "the workflow")
      .Option("--version", &o->version, "instead of the newest", "VERSION");
  show.Run([&ctx, o] { return Show(ctx, *o); });

  Command validate = group.Sub("validate", "Checks a file and names every mistake");
  validate.Example("meta-mcp workflow validate notes.yaml");
  validate.Argument("FILE", &o->file, "JSON or YAML; - for standard input");
  validate.Run([&ctx, o] { return Validate(ctx, *o); });

  Command create = group.Sub("create", "Stores a version of a workflow");
  create.Example("meta-mcp workflow create notes.yaml");
  create.Argument("FILE", &o->file, "JSON or YAML; - for standard input");
  create.Run([&ctx, o] { return Create(ctx, *o); });

  Command remove = group.Sub("remove", "Removes a workflow; its runs stay");
  remove.Example("meta-mcp workflow remove notes");
  remove.Argument("NAME", &o->name, "the workflow");
  remove.Run([&ctx, o] { return Remove(ctx, *o); });

  Command exported = group.Sub("export", "Prints the Open Workflow document of a workflow");
  exported.Example("meta-mcp workflow export notes > notes.json");
  exported.Argument("NAME", &o->name, "the workflow")
      .Option("--version", &o->version, "instead of the newest", "VERSION");
  exported.Run([&ctx, o] { return Export(ctx, *o); });

  AddWorkflowShareCommands(group);
  AddRunCommands(group);
  AddRunAgainCommands(group);
  AddWorkflowEventCommands(group);
  AddWorkflowTemplateCommands(group);
  AddWorkflowImportCommand(group);
}

}  // namespace metamcp::cli
