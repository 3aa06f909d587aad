// The approved definitions of tools.
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct PinOptions {
  std::string name, server, state;
  bool all = false;
};

constexpr size_t kShownMax = 2000;

absl::Status List(CommandContext& ctx, const PinOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      ListAll(ctx, "pins", "pins", {{"upstream", o.server}, {"state", o.state}}));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"TOOL", "STATE", "APPROVED BY", "APPROVED", "CHANGED"});
  for (const nlohmann::json& pin : ArrayOf(reply, "pins")) {
    const std::string state = TextOf(pin, "state");
    table.Row({TextOf(pin, "name"),
               BoolOf(pin, "quarantined") ? StrCat(state, ", quarantined") : state,
               TextOf(pin, "approvedBy"), TimeText(NumberOf(pin, "approvedUs")),
               JoinedOf(pin, "changed")});
  }
  ctx.PrintTable(table, "No pins. They are kept unless catalog.pins is off.");
  return absl::OkStatus();
}

absl::StatusOr<nlohmann::json> Get(CommandContext& ctx, const std::string& name) {
  return CallJson(ctx, RestRequest("GET", ApiPath({"pins", name})));
}

// A JSON text with a sign before each of its lines.
void PrintSide(CommandContext& ctx, char sign, const std::string& text) {
  if (text.empty()) return;
  const auto parsed = nlohmann::json::parse(text, nullptr, false);
  const std::string shown = parsed.is_string()      ? parsed.get<std::string>()
                            : parsed.is_discarded() ? text
                                                    : json::DumpJson(parsed);
  const std::string cut = Shorten(Printable(shown), kShownMax);
  size_t begin = 0;
  while (begin <= cut.size()) {
    const size_t end = std::min(cut.find('\n', begin), cut.size());
    *ctx.out << "  " << sign << " " << cut.substr(begin, end - begin) << "\n";
    begin = end + 1;
  }
}

absl::Status Diff(CommandContext& ctx, const PinOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Get(ctx, o.name));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  const nlohmann::json& pin = ObjectOf(reply, "pin");
  const std::string name = OneLine(TextOf(pin, "name"));
  const std::string state = TextOf(pin, "state");
  if (state == "new") {
    *ctx.out << name << " is new: nobody has approved it.\n";
    PrintSide(ctx, '+', json::DumpJson(ObjectOf(reply, "definition")));
  } else if (state == "approved") {
    *ctx.out << name << " is as it was approved.\n";
  } else {
    *ctx.out << name << " differs from what " << OneLine(TextOf(pin, "approvedBy"))
             << " approved at " << TimeText(NumberOf(pin, "approvedUs")) << ":\n";
    for (const nlohmann::json& difference : ArrayOf(reply, "differences")) {
      *ctx.out << "\n" << OneLine(TextOf(difference, "path")) << "\n";
      PrintSide(ctx, '-', TextOf(difference, "before"));
      PrintSide(ctx, '+', TextOf(difference, "after"));
    }
  }
  if (state != "approved") {
    *ctx.out << "\nTo approve it as it is now: meta-mcp tool approve " << name << "\n";
  }
  return absl::OkStatus();
}

absl::Status Approve(CommandContext& ctx, const PinOptions& o) {
  if (o.all == !o.name.empty()) {
    return UsageError("name one tool, or say --all", "'meta-mcp tool pins' lists what waits.");
  }
  nlohmann::json body;
  if (o.all) {
    body["all"] = true;
  } else {
    body["names"] = {o.name};
  }
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"pins:approve"}), json::DumpJson(body))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  const nlohmann::json& approved = ArrayOf(reply, "approved");
  for (const nlohmann::json& name : approved) {
    if (name.is_string()) ctx.Say(StrCat("Approved ", OneLine(name.get<std::string>()), "."));
  }
  if (approved.empty()) ctx.Say("Nothing was waiting.");
  return absl::OkStatus();
}

}  // namespace

void AddPinCommands(Command& group) {
  CommandContext& ctx = group.context();
  auto o = std::make_shared<PinOptions>();
  Command pins = group.Sub("pins", "Lists approved definitions, and what differs from them");
  pins.Example("meta-mcp tool pins --state changed");
  pins.Option("--server", &o->server, "only this server's", "NAME")
      .Choice("--state", &o->state, {"approved", "changed", "new"}, "only these");
  pins.Run([&ctx, o] { return List(ctx, *o); });
  Command diff = group.Sub("diff", "Shows how a tool differs from what was approved");
  diff.Example("meta-mcp tool diff git.git_push");
  diff.Argument("NAME", &o->name, "qualified name");
  diff.Run([&ctx, o] { return Diff(ctx, *o); });
  Command approve = group.Sub("approve", "Approves tools as they are now");
  approve.Example("meta-mcp tool approve git.git_push").Example("meta-mcp tool approve --all");
  approve.OptionalArgument("NAME", &o->name, "qualified name")
      .Flag("--all", &o->all, "all that are new or changed");
  approve.Run([&ctx, o] { return Approve(ctx, *o); });
}

}  // namespace metamcp::cli
