// Workflows as others see them: as tools, and who may use them.

#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct ShareOptions {
  std::string name, version, owner, team, visibility;
};

absl::StatusOr<nlohmann::json> Post(CommandContext& ctx, const std::string& name,
                                    const std::string& verb, const nlohmann::json& body) {
  return CallJson(ctx,
                  RestRequest("POST", ApiPath({"workflows", name, verb}), json::DumpJson(body)));
}

absl::Status Publish(CommandContext& ctx, const ShareOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           Post(ctx, o.name, "publish", {{"version", o.version}}));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  const std::string tool = TextOf(ObjectOf(reply, "workflow"), "tool");
  ctx.Say(StrCat(OneLine(o.name), " is the tool ", OneLine(tool),
                 " of the server \"workflow\": 'meta-mcp tool show workflow.", OneLine(tool),
                 "'."));
  return absl::OkStatus();
}

absl::Status Unpublish(CommandContext& ctx, const ShareOptions& o) {
  METAMCP_RETURN_IF_ERROR(Post(ctx, o.name, "unpublish", nlohmann::json::object()).status());
  ctx.Say(StrCat(OneLine(o.name), " is no tool any more."));
  return absl::OkStatus();
}

absl::Status Share(CommandContext& ctx, const ShareOptions& o) {
  if (o.owner.empty() && o.team.empty() && o.visibility.empty()) {
    return UsageError("say what changes: --visibility, --team or --owner");
  }
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      Post(ctx, o.name, "share",
           {{"owner", o.owner}, {"team", o.team}, {"visibility", o.visibility}}));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  const nlohmann::json& workflow = ObjectOf(reply, "workflow");
  const std::string team = TextOf(workflow, "team");
  ctx.Say(StrCat(OneLine(o.name), " belongs to ", OneLine(TextOf(workflow, "owner")), " and is ",
                 TextOf(workflow, "visibility"),
                 team.empty() ? "" : StrCat(" (", OneLine(team), ")"), "."));
  return absl::OkStatus();
}

}  // namespace

void AddWorkflowShareCommands(Command& group) {
  CommandContext& ctx = group.context();
  auto o = std::make_shared<ShareOptions>();

  Command publish = group.Sub("publish", "Makes a workflow a tool that MCP clients call");
  publish.Example("meta-mcp workflow publish notes")
      .Example("meta-mcp workflow publish notes --version 1.2.0");
  publish.Argument("NAME", &o->name, "the workflow")
      .Option("--version", &o->version, "that calls run; default: the newest at that time",
              "VERSION");
  publish.Run([&ctx, o] { return Publish(ctx, *o); });

  Command unpublish = group.Sub("unpublish", "Takes the tool away; runs that have begun go on");
  unpublish.Example("meta-mcp workflow unpublish notes");
  unpublish.Argument("NAME", &o->name, "the workflow");
  unpublish.Run([&ctx, o] { return Unpublish(ctx, *o); });

  Command share = group.Sub("share", "Says who may see and run a workflow, and whose it is");
  share.Example("meta-mcp workflow share notes --visibility public")
      .Example("meta-mcp workflow share notes --owner anna --team data");
  share.Argument("NAME", &o->name, "the workflow")
      .Choice("--visibility", &o->visibility, {"private", "team", "public"},
              "its owner; a team, or everybody where none is named; everybody")
      .Option("--team", &o->team, "the team", "TEAM")
      .Option("--owner", &o->owner, "who may change it, beside administrators", "NAME");
  share.Run([&ctx, o] { return Share(ctx, *o); });
}

}  // namespace metamcp::cli
