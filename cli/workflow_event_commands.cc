// What starts runs and what they tell: schedules, hooks for events, webhooks.

#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct EventOptions {
  std::string name, id, url, workflow, event, secret;
  std::vector<std::string> states;
};

// Prints JSON where that is asked for; whether it did.
bool PrintedJson(CommandContext& ctx, const nlohmann::json& reply) {
  if (ctx.json()) ctx.PrintJson(json::DumpJson(reply));
  return ctx.json();
}

absl::Status ListSchedules(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"schedules"}))));
  if (PrintedJson(ctx, reply)) return absl::OkStatus();
  Table table({"WORKFLOW", "VERSION", "WHEN", "NEXT", "LAST", "FIRED", "RUNS AS", "NOTE"});
  for (const nlohmann::json& one : ArrayOf(reply, "schedules")) {
    const std::string next = BoolOf(one, "paused") ? "paused" : TimeText(NumberOf(one, "nextUs"));
    table.Row({TextOf(one, "workflow"), TextOf(one, "version"),
               Shorten(OneLine(json::DumpJson(ObjectOf(one, "spec"))), 40), next,
               TimeText(NumberOf(one, "lastUs")), StrCat(NumberOf(one, "fired")),
               TextOf(one, "runsAs"), Shorten(OneLine(TextOf(one, "note")), 40)});
  }
  ctx.PrintTable(table, "No schedules. A workflow with a \"schedule\" has one.");
  return absl::OkStatus();
}

absl::Status SetSchedule(CommandContext& ctx, const EventOptions& o, const std::string& verb) {
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"workflows", o.name, "schedule", verb}), "{}")));
  if (verb == "pause") {
    ctx.Say(StrCat("The schedule of ", OneLine(o.name), " rests."));
  } else if (!PrintedJson(ctx, reply)) {
    const std::string next = TimeText(NumberOf(ObjectOf(reply, "schedule"), "nextUs"));
    ctx.Say(StrCat("The schedule of ", OneLine(o.name), " goes on",
                   next.empty() ? "." : StrCat(": ", next, " UTC.")));
  }
  return absl::OkStatus();
}

void AddSchedules(Command& workflow) {
  Command group = workflow.Sub("schedule", "When workflows start by themselves");
  group.Example("meta-mcp workflow schedule list");
  CommandContext& ctx = group.context();
  auto o = std::make_shared<EventOptions>();
  Command list = group.Sub("list", "Lists schedules with their next times");
  list.Example("meta-mcp workflow schedule list");
  list.Run([&ctx] { return ListSchedules(ctx); });
  const auto add = [&](const std::string& verb, const std::string& summary) {
    Command command = group.Sub(verb, summary);
    command.Example(StrCat("meta-mcp workflow schedule ", verb, " notes"));
    command.Argument("NAME", &o->name, "the workflow");
    command.Run([&ctx, o, verb] { return SetSchedule(ctx, *o, verb); });
  };
  add("pause", "Starts no run until resumed");
  add("resume", "Goes on with the next time; what passed meanwhile is not made up for");
}

absl::Status AddWebhook(CommandContext& ctx, const EventOptions& o) {
  nlohmann::json body = {{"url", o.url}, {"workflow", o.workflow}, {"secret", o.secret}};
  body["states"] = o.states;
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"webhooks"}), json::DumpJson(body))));
  if (PrintedJson(ctx, reply)) return absl::OkStatus();
  *ctx.out << "id      " << OneLine(TextOf(ObjectOf(reply, "webhook"), "id")) << "\nsecret  "
           << OneLine(TextOf(reply, "secret")) << "\n";
  ctx.Say("The secret is not shown again; it checks the header webhook-signature.");
  return absl::OkStatus();
}

absl::Status ListWebhooks(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"webhooks"}))));
  if (PrintedJson(ctx, reply)) return absl::OkStatus();
  Table table({"ID", "URL", "STATES", "WORKFLOW", "OWNER"});
  for (const nlohmann::json& one : ArrayOf(reply, "webhooks")) {
    const std::string states = JoinedOf(one, "states");
    const std::string workflow = TextOf(one, "workflow");
    table.Row({TextOf(one, "id"), Shorten(OneLine(TextOf(one, "url")), 50),
               states.empty() ? "all" : states, workflow.empty() ? "all" : workflow,
               TextOf(one, "owner")});
  }
  ctx.PrintTable(table, "No webhooks. 'meta-mcp workflow webhook add URL' adds one.");
  return absl::OkStatus();
}

absl::Status Deliveries(CommandContext& ctx, const EventOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"webhooks", o.id, "deliveries"}))));
  if (PrintedJson(ctx, reply)) return absl::OkStatus();
  Table table({"TIME", "RUN", "STATE", "STATUS", "TRIES", "NEXT", "ERROR"});
  for (const nlohmann::json& one : ArrayOf(reply, "deliveries")) {
    table.Row({TimeText(NumberOf(one, "createdUs")), TextOf(one, "run"), TextOf(one, "state"),
               TextOf(one, "status"), StrCat(NumberOf(one, "attempts")),
               TimeText(NumberOf(one, "nextUs")), Shorten(OneLine(TextOf(one, "lastError")), 60)});
  }
  ctx.PrintTable(table, "Nothing was sent yet.");
  return absl::OkStatus();
}

absl::Status Remove(CommandContext& ctx, const EventOptions& o, const std::string& collection) {
  METAMCP_RETURN_IF_ERROR(
      ctx.rest().Call(RestRequest("DELETE", ApiPath({collection, o.id}))).status());
  ctx.Say(StrCat(OneLine(o.id), " is removed."));
  return absl::OkStatus();
}

void AddWebhooks(Command& workflow) {
  Command group = workflow.Sub("webhook", "Addresses that are told when runs end or need a person");
  group.Example("meta-mcp workflow webhook add https://example.com/runs --state failed");
  CommandContext& ctx = group.context();
  auto o = std::make_shared<EventOptions>();
  Command add = group.Sub("add", "Adds an address, and prints the secret that signs");
  add.Example("meta-mcp workflow webhook add https://example.com/runs --workflow notes");
  add.Argument("URL", &o->url, "https://…")
      .List("--state", &o->states,
            "completed, failed, cancelled, rolled-back, waiting or needs-decision; default: all",
            "STATE")
      .Option("--workflow", &o->workflow, "only of this one", "NAME")
      .Option("--secret", &o->secret, "instead of a new one", "whsec_…");
  add.Run([&ctx, o] { return AddWebhook(ctx, *o); });
  Command list = group.Sub("list", "Lists webhooks");
  list.Example("meta-mcp workflow webhook list");
  list.Run([&ctx] { return ListWebhooks(ctx); });
  Command sent = group.Sub("deliveries", "Shows what was sent and what waits to be");
  sent.Example("meta-mcp workflow webhook deliveries wh_0193…");
  sent.Argument("ID", &o->id, "of the webhook");
  sent.Run([&ctx, o] { return Deliveries(ctx, *o); });
  Command remove = group.Sub("remove", "Removes a webhook");
  remove.Example("meta-mcp workflow webhook remove wh_0193…");
  remove.Argument("ID", &o->id, "of the webhook");
  remove.Run([&ctx, o] { return Remove(ctx, *o, "webhooks"); });
}

absl::Status AddHook(CommandContext& ctx, const EventOptions& o) {
  const nlohmann::json body = {
      {"name", o.name}, {"workflow", o.workflow}, {"eventType", o.event}, {"secret", o.secret}};
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"hooks"}), json::DumpJson(body))));
  if (PrintedJson(ctx, reply)) return absl::OkStatus();
  *ctx.out << "path    /api/v1/workflows/hooks/" << OneLine(TextOf(ObjectOf(reply, "hook"), "id"))
           << "\nsecret  " << OneLine(TextOf(reply, "secret")) << "\n";
  ctx.Say("The secret is not shown again; senders sign with it as Standard Webhooks describes.");
  return absl::OkStatus();
}

absl::Status ListHooks(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"hooks"}))));
  if (PrintedJson(ctx, reply)) return absl::OkStatus();
  Table table({"ID", "NAME", "STARTS", "EMITS", "OWNER", "RECEIVED", "LAST"});
  for (const nlohmann::json& one : ArrayOf(reply, "hooks")) {
    table.Row({TextOf(one, "id"), TextOf(one, "name"), TextOf(one, "workflow"),
               TextOf(one, "eventType"), TextOf(one, "owner"), StrCat(NumberOf(one, "received")),
               TimeText(NumberOf(one, "lastUs"))});
  }
  ctx.PrintTable(table, "No hooks. 'meta-mcp workflow hook add' makes one.");
  return absl::OkStatus();
}

void AddHooks(Command& workflow) {
  Command group = workflow.Sub("hook", "Addresses that take signed events of other systems");
  group.Example("meta-mcp workflow hook add orders --workflow handle-order");
  CommandContext& ctx = group.context();
  auto o = std::make_shared<EventOptions>();
  Command add = group.Sub("add", "Makes an address, and prints its secret");
  add.Example("meta-mcp workflow hook add orders --event order.created");
  add.Argument("NAME", &o->name, "for people")
      .Option("--workflow", &o->workflow, "started by each event, with its body as input", "NAME")
      .Option("--event", &o->event, "type of the event that runs and schedules hear", "TYPE")
      .Option("--secret", &o->secret, "instead of a new one", "whsec_…");
  add.Run([&ctx, o] { return AddHook(ctx, *o); });
  Command list = group.Sub("list", "Lists hooks");
  list.Example("meta-mcp workflow hook list");
  list.Run([&ctx] { return ListHooks(ctx); });
  Command remove = group.Sub("remove", "Removes a hook");
  remove.Example("meta-mcp workflow hook remove 0193…");
  remove.Argument("ID", &o->id, "of the hook");
  remove.Run([&ctx, o] { return Remove(ctx, *o, "hooks"); });
}

}  // namespace

void AddWorkflowEventCommands(Command& workflow) {
  AddSchedules(workflow);
  AddHooks(workflow);
  AddWebhooks(workflow);
}

}  // namespace metamcp::cli
