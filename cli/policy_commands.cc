// Rules of who may do what: checking them, trying them, asking the gateway about them.

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/call.h"
#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/load.h"
#include "common/config/policy_rules.h"
#include "common/json/dom.h"
#include "common/json/yaml.h"
#include "common/policy/cases.h"

namespace metamcp::cli {
namespace {

constexpr int kCasesDepthMax = 64;

struct PolicyOptions {
  std::string file, cases, otherwise = "allow";
  std::string principal, item, arguments, virtual_server, client, kind;
  std::vector<std::string> roles, teams, scopes;
};

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return UsageError(StrCat("cannot read ", path));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

absl::StatusOr<std::shared_ptr<const policy::Policy>> CompileFile(const PolicyOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(std::string text, ReadFile(o.file));
  std::vector<policy::Policy::Source> sources;
  sources.push_back({std::move(text), o.file});
  return policy::Policy::Compile(
      sources, o.otherwise == "deny" ? policy::Effect::kDeny : policy::Effect::kAllow);
}

// The rules of --file, else those of the configuration.
absl::StatusOr<std::shared_ptr<const policy::Policy>> RulesOf(CommandContext& ctx,
                                                              const PolicyOptions& o) {
  if (!o.file.empty()) return CompileFile(o);
  config::LoadOptions load;
  load.env = ctx.env;
  METAMCP_ASSIGN_OR_RETURN(const config::LoadResult loaded,
                           config::LoadConfigBlocking(ctx.ConfigPath(), load));
  const std::string& listen = loaded.config.gateway.listen;
  const bool loopback = listen.rfind("127.", 0) == 0 || listen.rfind("localhost:", 0) == 0 ||
                        listen.rfind("[::1]:", 0) == 0;
  return config::CompilePolicy(loaded.config.policy, loopback);
}

absl::Status CheckRules(CommandContext& ctx, const PolicyOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const auto policy, CompileFile(o));
  if (ctx.json()) {
    nlohmann::json out;
    out["rules"] = policy->rules().size();
    ctx.PrintJson(json::DumpJson(out));
  } else {
    ctx.Say(StrCat(o.file, ": ", policy->rules().size(), " rules, no mistakes."));
  }
  return absl::OkStatus();
}

absl::Status TestRules(CommandContext& ctx, const PolicyOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const auto policy, RulesOf(ctx, o));
  METAMCP_ASSIGN_OR_RETURN(const std::string text, ReadFile(o.cases));
  const auto document = json::ParseJsonOrYaml(text, kCasesDepthMax);
  if (!document.ok()) return UsageError(StrCat(o.cases, ": ", Sv(document.status().message())));
  METAMCP_ASSIGN_OR_RETURN(const auto cases, policy::ReadCases(json::DumpJson(*document)));
  nlohmann::json failed = nlohmann::json::array();
  for (const policy::Case& one : cases) {
    const std::string wrong = policy::Check(*policy, one);
    if (wrong.empty()) continue;
    nlohmann::json entry;
    entry["name"] = one.name;
    entry["problem"] = wrong;
    failed.push_back(std::move(entry));
    if (!ctx.json()) *ctx.out << "FAILED " << one.name << ": " << wrong << "\n";
  }
  if (ctx.json()) {
    nlohmann::json out;
    out["cases"] = cases.size();
    out["failed"] = failed;
    ctx.PrintJson(json::DumpJson(out));
  } else {
    *ctx.out << cases.size() - failed.size() << " of " << cases.size() << " cases are decided as "
             << "they say.\n";
  }
  if (!failed.empty()) ctx.exit_code = kExitFailed;
  return absl::OkStatus();
}

absl::Status ShowRules(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"policy"}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"EFFECT", "RULE", "REASON"});
  for (const nlohmann::json& rule : ArrayOf(reply, "rules")) {
    table.Row({TextOf(rule, "effect"), TextOf(rule, "name"), TextOf(rule, "reason")});
  }
  table.Row({TextOf(reply, "otherwise"), "policy.default", "where no rule matches"});
  ctx.PrintTable(table, "No rules.");
  return absl::OkStatus();
}

absl::Status Explain(CommandContext& ctx, const PolicyOptions& o) {
  nlohmann::json body;
  body["subject"] = o.principal;
  body["item"] = o.item;
  body["roles"] = o.roles;
  body["teams"] = o.teams;
  body["scopes"] = o.scopes;
  body["kind"] = o.kind;
  body["virtualServer"] = o.virtual_server;
  body["client"] = o.client;
  METAMCP_ASSIGN_OR_RETURN(const std::string arguments, ReadArguments(ctx, o.arguments));
  METAMCP_ASSIGN_OR_RETURN(body["arguments"], json::ParseJson(arguments));
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"policy:explain"}), json::DumpJson(body))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  const std::string barred = TextOf(reply, "barred");
  const std::string rule = TextOf(reply, "rule");
  const std::string reason = TextOf(reply, "reason");
  *ctx.out << TextOf(reply, "effect") << ": "
           << (!barred.empty() ? barred
               : rule.empty()  ? std::string("no rule matches (policy.default)")
                               : StrCat("the rule ", rule, reason.empty() ? "" : ": ", reason))
           << "\n"
           << (BoolOf(reply, "hidden") ? "Lists leave it out.\n" : "Lists show it.\n");
  Table table({"MATCHES", "EFFECT", "RULE"});
  for (const nlohmann::json& verdict : ArrayOf(reply, "rules")) {
    const nlohmann::json& one = ObjectOf(verdict, "rule");
    table.Row(
        {BoolOf(verdict, "matched") ? "yes" : "no", TextOf(one, "effect"), TextOf(one, "name")});
  }
  ctx.PrintTable(table, "No rules.");
  return absl::OkStatus();
}

void AddExplain(Command& group, const std::shared_ptr<PolicyOptions>& o) {
  CommandContext& ctx = group.context();
  Command explain = group.Sub("explain", "Says what is decided of a call, and by which rule");
  explain.Example("meta-mcp policy explain ada git.push --role developer")
      .Example("meta-mcp policy explain bot files.write --arguments '{\"path\":\"/etc/hosts\"}'");
  explain.Argument("PRINCIPAL", &o->principal, "subject of who calls")
      .Argument("ITEM", &o->item, "tool or prompt (exposed or qualified name), or URI")
      .List("--role", &o->roles, "one of its roles", "ROLE")
      .List("--team", &o->teams, "one of its teams", "TEAM")
      .List("--scope", &o->scopes, "one of its scopes", "SCOPE")
      .Choice("--kind", &o->kind, {"user", "service", "run", "peer"}, "what the principal is")
      .Option("--arguments", &o->arguments, "JSON, @file or - for standard input", "JSON")
      .Option("--client", &o->client, "name of the client program", "NAME")
      .Option("--virtual", &o->virtual_server, "virtual server (default \"default\")", "NAME");
  explain.Run([&ctx, o] { return Explain(ctx, *o); });
}

}  // namespace

void AddPolicyCommands(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<PolicyOptions>();
  Command group = root.Sub("policy", "Rules of who may do what");
  Command check = group.Sub("check", "Looks for mistakes in a file of rules");
  check.Example("meta-mcp policy check rules.policy");
  check.Argument("FILE", &o->file, "the rules");
  check.Run([&ctx, o] { return CheckRules(ctx, *o); });
  Command test =
      group.Sub("test", "Tries rules on the cases of a file; exit status 1 if one fails");
  test.Example("meta-mcp policy test cases.yaml")
      .Example("meta-mcp policy test cases.json --file proposed.policy --default deny");
  test.Argument("CASES", &o->cases, "JSON or YAML: {\"cases\": [{\"tool\": ..., \"expect\": ...}]}")
      .Option("--file", &o->file, "these rules; without it those of the configuration", "FILE")
      .Choice("--default", &o->otherwise, {"allow", "deny"}, "with --file: where no rule matches");
  test.Run([&ctx, o] { return TestRules(ctx, *o); });
  Command show = group.Sub("show", "Lists the rules in force");
  show.Example("meta-mcp policy show");
  show.Run([&ctx] { return ShowRules(ctx); });
  AddExplain(group, o);
  AddPolicyReplay(group);
}

}  // namespace metamcp::cli
