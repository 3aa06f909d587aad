// API keys, users and teams.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

constexpr int64_t kMicros = 1'000'000;
constexpr int64_t kDayUs = 86'400 * kMicros;
constexpr int64_t kDaysMax = 36'500;
constexpr int64_t kOverlapHoursMax = 720;

struct KeyOptions {
  std::string id, name, owner;
  std::vector<std::string> roles, teams, scopes;
  int64_t days = 0;
  int64_t overlap_hours = 24;
  bool all = false;
};

struct PeopleOptions {
  std::string subject, team;
};

absl::Status Show(CommandContext& ctx, const nlohmann::json& reply) {
  ctx.PrintJson(json::DumpJson(reply));
  return absl::OkStatus();
}

// Says the secret, which nobody can say again.
absl::Status ShowSecret(CommandContext& ctx, const nlohmann::json& reply) {
  if (ctx.json()) return Show(ctx, reply);
  const nlohmann::json& key = ObjectOf(reply, "key");
  *ctx.out << TextOf(reply, "secret") << "\n";
  const std::string ends = TimeText(NumberOf(key, "expiresUs"));
  ctx.Note(StrCat("Key ", TextOf(key, "id"), " (", TextOf(key, "name"), ") speaks for ",
                  TextOf(key, "owner"), ends.empty() ? "" : StrCat(" until ", ends),
                  ". Its secret is shown this once."));
  return absl::OkStatus();
}

absl::Status CreateKey(CommandContext& ctx, const KeyOptions& o) {
  if (o.name.empty()) return UsageError("a key needs a name", "Add --name NAME.");
  nlohmann::json body;
  body["name"] = o.name;
  if (!o.owner.empty()) body["owner"] = o.owner;
  body["roles"] = o.roles;
  body["teams"] = o.teams;
  body["scopes"] = o.scopes;
  if (o.days > 0) body["expiresUs"] = std::to_string(NowUs() + o.days * kDayUs);
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"keys"}), json::DumpJson(body))));
  return ShowSecret(ctx, reply);
}

absl::Status ListKeys(CommandContext& ctx, const KeyOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"keys"}, {{"all", o.all ? "true" : ""}}))));
  if (ctx.json()) return Show(ctx, reply);
  Table table({"ID", "NAME", "OWNER", "BEGINS", "ROLES", "SCOPES", "ENDS", "LAST USED"});
  for (const nlohmann::json& one : ArrayOf(reply, "keys")) {
    const bool revoked = NumberOf(one, "revokedUs") > 0;
    table.Row({TextOf(one, "id"), TextOf(one, "name"), TextOf(one, "owner"),
               StrCat(TextOf(one, "prefix"), "…"), JoinedOf(one, "roles"), JoinedOf(one, "scopes"),
               revoked ? "revoked" : TimeText(NumberOf(one, "expiresUs")),
               TimeText(NumberOf(one, "lastUsedUs"))});
  }
  ctx.PrintTable(table, "No keys.");
  return absl::OkStatus();
}

absl::Status RotateKey(CommandContext& ctx, const KeyOptions& o) {
  nlohmann::json body;
  body["overlapS"] = std::to_string(o.overlap_hours * 3600);
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"keys", o.id, "rotate"}), json::DumpJson(body))));
  return ShowSecret(ctx, reply);
}

absl::Status RevokeKey(CommandContext& ctx, const KeyOptions& o) {
  METAMCP_RETURN_IF_ERROR(CallJson(ctx, RestRequest("DELETE", ApiPath({"keys", o.id}))).status());
  ctx.Say("The key is revoked; what its holders had open ends.");
  return absl::OkStatus();
}

absl::Status ListUsers(CommandContext& ctx, const std::string& subject) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"users"}))));
  Table table({"SUBJECT", "NAME", "ISSUER", "ROLES", "STATE", "LAST SEEN"});
  nlohmann::json found = nlohmann::json::array();
  for (const nlohmann::json& one : ArrayOf(reply, "users")) {
    if (!subject.empty() && TextOf(one, "subject") != subject) continue;
    found.push_back(one);
    table.Row({TextOf(one, "subject"), TextOf(one, "displayName"), TextOf(one, "issuer"),
               JoinedOf(one, "roles"), BoolOf(one, "disabled") ? "kept out" : "ok",
               TimeText(NumberOf(one, "lastSeenUs"))});
  }
  if (!subject.empty() && found.empty()) {
    return Fail("NOT_FOUND", StrCat("nobody called \"", subject, "\" was seen"));
  }
  if (ctx.json()) return Show(ctx, {{"users", found}});
  ctx.PrintTable(table, "Nobody with a token was seen yet.");
  return absl::OkStatus();
}

absl::Status SetUser(CommandContext& ctx, const std::string& subject, bool disabled) {
  nlohmann::json body;
  body["subject"] = subject;
  body["disabled"] = disabled;
  METAMCP_RETURN_IF_ERROR(
      CallJson(ctx, RestRequest("POST", ApiPath({"users"}), json::DumpJson(body))).status());
  ctx.Say(disabled ? StrCat(subject, " is kept out, whatever they show.")
                   : StrCat(subject, " may come in again."));
  return absl::OkStatus();
}

absl::Status ListTeams(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"teams"}))));
  if (ctx.json()) return Show(ctx, reply);
  Table table({"TEAM", "MEMBERS"});
  for (const nlohmann::json& one : ArrayOf(reply, "teams")) {
    table.Row({TextOf(one, "name"), JoinedOf(one, "members")});
  }
  ctx.PrintTable(table, "No teams.");
  return absl::OkStatus();
}

absl::Status CreateTeam(CommandContext& ctx, const PeopleOptions& o) {
  nlohmann::json body;
  body["name"] = o.team;
  METAMCP_RETURN_IF_ERROR(
      CallJson(ctx, RestRequest("POST", ApiPath({"teams"}), json::DumpJson(body))).status());
  ctx.Say(StrCat("Team ", o.team, " is there."));
  return absl::OkStatus();
}

absl::Status SetMember(CommandContext& ctx, const PeopleOptions& o, bool absent) {
  nlohmann::json body;
  body["subject"] = o.subject;
  body["absent"] = absent;
  METAMCP_RETURN_IF_ERROR(CallJson(ctx, RestRequest("POST", ApiPath({"teams", o.team, "members"}),
                                                    json::DumpJson(body)))
                              .status());
  ctx.Say(
      StrCat(o.subject, absent ? " is not in " : " is in ", o.team, absent ? " any more." : "."));
  return absl::OkStatus();
}

absl::Status DeleteTeam(CommandContext& ctx, const PeopleOptions& o) {
  METAMCP_RETURN_IF_ERROR(
      CallJson(ctx, RestRequest("DELETE", ApiPath({"teams", o.team}))).status());
  ctx.Say(StrCat("Team ", o.team, " is gone."));
  return absl::OkStatus();
}

}  // namespace

void AddKeyCommands(Command& group) {
  CommandContext& ctx = group.context();
  auto o = std::make_shared<KeyOptions>();
  Command key = group.Sub("key", "API keys, which the gateway keeps and can take back");
  Command create = key.Sub("create", "Makes a key and shows its secret once");
  create.Example("meta-mcp token key create --name ci --role operator --days 90");
  create.Option("--name", &o->name, "what it is for")
      .Option("--owner", &o->owner, "the subject that it speaks for (default: you)", "NAME")
      .List("--role", &o->roles, "admin, operator, developer, viewer or auditor", "ROLE")
      .List("--team", &o->teams, "a team", "TEAM")
      .List("--scope", &o->scopes, "a scope; with any, it needs those of auth.scopes", "SCOPE")
      .Integer("--days", &o->days, 1, kDaysMax, "how long it holds (default auth.keyMaxAgeDays)");
  create.Run([&ctx, o] { return CreateKey(ctx, *o); });
  Command list = key.Sub("list", "Lists keys");
  list.Example("meta-mcp token key list --all");
  list.Flag("--all", &o->all, "those that are revoked or have ended, too");
  list.Run([&ctx, o] { return ListKeys(ctx, *o); });
  Command rotate =
      key.Sub("rotate", "Gives a key another secret; the old one works on for a while");
  rotate.Example("meta-mcp token key rotate 019300a1-7c2e-7000-8000-000000000000");
  rotate.Argument("ID", &o->id, "the key")
      .Integer("--overlap", &o->overlap_hours, 0, kOverlapHoursMax,
               "how long the old secret works on (default 24)", "HOURS");
  rotate.Run([&ctx, o] { return RotateKey(ctx, *o); });
  Command revoke = key.Sub("revoke", "Ends a key, and what its holders have open, at once");
  revoke.Example("meta-mcp token key revoke 019300a1-7c2e-7000-8000-000000000000");
  revoke.Argument("ID", &o->id, "the key");
  revoke.Run([&ctx, o] { return RevokeKey(ctx, *o); });
}

void AddUserCommands(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<PeopleOptions>();
  Command group = root.Sub("user", "People whose tokens were seen");
  Command list = group.Sub("list", "Lists them");
  list.Example("meta-mcp user list");
  list.Run([&ctx] { return ListUsers(ctx, ""); });
  Command show = group.Sub("show", "Shows one");
  show.Example("meta-mcp user show okta:00u1");
  show.Argument("SUBJECT", &o->subject, "who");
  show.Run([&ctx, o] { return ListUsers(ctx, o->subject); });
  Command disable = group.Sub("disable", "Keeps somebody out, whatever they show");
  disable.Example("meta-mcp user disable okta:00u1");
  disable.Argument("SUBJECT", &o->subject, "who");
  disable.Run([&ctx, o] { return SetUser(ctx, o->subject, true); });
  Command enable = group.Sub("enable", "Lets somebody in again");
  enable.Example("meta-mcp user enable okta:00u1");
  enable.Argument("SUBJECT", &o->subject, "who");
  enable.Run([&ctx, o] { return SetUser(ctx, o->subject, false); });
}

void AddTeamCommands(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<PeopleOptions>();
  Command group = root.Sub("team", "Teams and their members");
  Command list = group.Sub("list", "Lists teams");
  list.Example("meta-mcp team list");
  list.Run([&ctx] { return ListTeams(ctx); });
  Command create = group.Sub("create", "Makes a team");
  create.Example("meta-mcp team create blue");
  create.Argument("TEAM", &o->team, "its name");
  create.Run([&ctx, o] { return CreateTeam(ctx, *o); });
  Command add = group.Sub("add", "Adds somebody to a team");
  add.Example("meta-mcp team add blue okta:00u1");
  add.Argument("TEAM", &o->team, "the team").Argument("SUBJECT", &o->subject, "who");
  add.Run([&ctx, o] { return SetMember(ctx, *o, false); });
  Command remove = group.Sub("remove", "Removes somebody from a team");
  remove.Example("meta-mcp team remove blue okta:00u1");
  remove.Argument("TEAM", &o->team, "the team").Argument("SUBJECT", &o->subject, "who");
  remove.Run([&ctx, o] { return SetMember(ctx, *o, true); });
  Command drop = group.Sub("delete", "Deletes a team");
  drop.Example("meta-mcp team delete blue");
  drop.Argument("TEAM", &o->team, "the team");
  drop.Run([&ctx, o] { return DeleteTeam(ctx, *o); });
}

}  // namespace metamcp::cli
