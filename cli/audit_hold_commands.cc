// Legal holds of the audit.

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct HoldOptions {
  std::string subject, reason, id;
};

absl::Status Hold(CommandContext& ctx, const HoldOptions& o) {
  nlohmann::json body;
  body["subject"] = o.subject;
  body["reason"] = o.reason;
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"audit", "holds"}), json::DumpJson(body))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
  } else {
    ctx.Say(StrCat("Hold ", TextOf(ObjectOf(reply, "hold"), "id"), " keeps ",
                   o.subject.empty() ? "everything" : o.subject, "."));
  }
  return absl::OkStatus();
}

absl::Status Holds(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"audit", "holds"}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"ID", "SUBJECT", "REASON", "BY", "SINCE"});
  for (const nlohmann::json& one : ArrayOf(reply, "holds")) {
    const std::string subject = TextOf(one, "subject");
    table.Row({TextOf(one, "id"), subject.empty() ? "everything" : subject, TextOf(one, "reason"),
               TextOf(one, "createdBy"), TimeText(NumberOf(one, "createdUs"))});
  }
  ctx.PrintTable(table, "No holds.");
  return absl::OkStatus();
}

absl::Status Release(CommandContext& ctx, const HoldOptions& o) {
  METAMCP_RETURN_IF_ERROR(
      CallJson(ctx, RestRequest("DELETE", ApiPath({"audit", "holds", o.id}))).status());
  ctx.Say("The hold is ended.");
  return absl::OkStatus();
}

}  // namespace

void AddAuditHoldCommands(Command& group) {
  CommandContext& ctx = group.context();
  auto o = std::make_shared<HoldOptions>();
  Command hold = group.Sub("hold", "Legal holds: what they keep is neither erased nor removed");
  Command add = hold.Sub("add", "Keeps what is recorded of a subject, or everything");
  add.Example("meta-mcp audit hold add --subject bob --reason 'case 17'");
  add.Option("--subject", &o->subject, "who; without it everything", "NAME")
      .Option("--reason", &o->reason, "why");
  add.Run([&ctx, o] { return Hold(ctx, *o); });
  Command list = hold.Sub("list", "Lists holds");
  list.Example("meta-mcp audit hold list");
  list.Run([&ctx] { return Holds(ctx); });
  Command release = hold.Sub("remove", "Ends a hold");
  release.Example("meta-mcp audit hold remove 019300a1-7c2e-7000-8000-000000000000");
  release.Argument("ID", &o->id, "the hold");
  release.Run([&ctx, o] { return Release(ctx, *o); });
}

}  // namespace metamcp::cli
