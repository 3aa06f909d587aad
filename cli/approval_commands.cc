// Calls that wait for a person.

#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct ApprovalOptions {
  std::string id, scope = "once", state = "waiting";
};

std::string ScopeText(const std::string& scope) {
  if (scope == "APPROVAL_SCOPE_SESSION") return "15 minutes";
  if (scope == "APPROVAL_SCOPE_ALWAYS") return "always";
  return "once";
}

absl::Status Decide(CommandContext& ctx, const ApprovalOptions& o, bool approve) {
  nlohmann::json body;
  body["approve"] = approve;
  if (approve) {
    body["scope"] = o.scope == "always" ? "APPROVAL_SCOPE_ALWAYS"
                    : o.scope == "15m"  ? "APPROVAL_SCOPE_SESSION"
                                        : "APPROVAL_SCOPE_ONCE";
  }
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("POST", ApiPath({"approvals", o.id, "decide"}),
                                                     json::DumpJson(body))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  const nlohmann::json& approval = ObjectOf(reply, "approval");
  ctx.Say(StrCat(approve ? "Approved" : "Denied", ": ", TextOf(approval, "item"), " for ",
                 TextOf(approval, "subject"),
                 approve ? StrCat(" (", ScopeText(TextOf(approval, "scope")),
                                  "). The same call goes through now.")
                         : std::string(".")));
  return absl::OkStatus();
}

absl::Status ListApprovals(CommandContext& ctx, const ApprovalOptions& o) {
  Query query;
  query.emplace_back("state", o.state);
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"approvals"}, query))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"ID", "STATE", "WHO", "CLIENT", "ITEM", "ARGUMENTS", "SCOPE", "RULE", "UNTIL"});
  for (const nlohmann::json& one : ArrayOf(reply, "approvals")) {
    table.Row({TextOf(one, "id"), TextOf(one, "state"), TextOf(one, "subject"),
               TextOf(one, "client"), TextOf(one, "item"), TextOf(one, "shown"),
               ScopeText(TextOf(one, "scope")), TextOf(one, "rule"),
               TimeText(NumberOf(one, "expiresUs"))});
  }
  ctx.PrintTable(table, o.state == "waiting" ? "Nothing waits for a person." : "None.");
  return absl::OkStatus();
}

absl::Status Revoke(CommandContext& ctx, const ApprovalOptions& o) {
  METAMCP_RETURN_IF_ERROR(
      CallJson(ctx, RestRequest("DELETE", ApiPath({"approvals", o.id}))).status());
  ctx.Say("It is taken back.");
  return absl::OkStatus();
}

}  // namespace

void AddApprovalCommands(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<ApprovalOptions>();
  Command approve = root.Sub("approve", "Lets a call pass that waits for a person");
  approve.Example("meta-mcp approve 019300a1-7c2e-7000-8000-000000000000")
      .Example("meta-mcp approve 019300a1-7c2e-7000-8000-000000000000 --scope always");
  approve.Argument("ID", &o->id, "the approval, as the refused call named it")
      .Choice("--scope", &o->scope, {"once", "15m", "always"},
              "this call; the tool for this client and 15 minutes; the tool until it changes");
  approve.Run([&ctx, o] { return Decide(ctx, *o, true); });
  Command deny = root.Sub("deny", "Refuses a call that waits for a person");
  deny.Example("meta-mcp deny 019300a1-7c2e-7000-8000-000000000000");
  deny.Argument("ID", &o->id, "the approval");
  deny.Run([&ctx, o] { return Decide(ctx, *o, false); });
  Command group = root.Sub("approval", "Calls that wait for a person, and what was allowed");
  Command list = group.Sub("list", "Lists them, newest first");
  list.Example("meta-mcp approval list").Example("meta-mcp approval list --state granted");
  list.Choice("--state", &o->state, {"waiting", "granted", "all"}, "which");
  list.Run([&ctx, o] { return ListApprovals(ctx, *o); });
  Command revoke = group.Sub("revoke", "Takes back what was allowed");
  revoke.Example("meta-mcp approval revoke 019300a1-7c2e-7000-8000-000000000000");
  revoke.Argument("ID", &o->id, "the approval");
  revoke.Run([&ctx, o] { return Revoke(ctx, *o); });
}

}  // namespace metamcp::cli
