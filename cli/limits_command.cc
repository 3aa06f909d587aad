#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct LimitsOptions {
  std::string rule;
  int64_t count = 20;
};

std::string NumberOr(const nlohmann::json& object, std::string_view key, int64_t none,
                     std::string_view otherwise) {
  const int64_t number = NumberOf(object, key);
  return number == none ? std::string(otherwise) : StrCat(number);
}

absl::Status ShowLimits(CommandContext& ctx, const LimitsOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"limits"}, {{"rule", o.rule},
                                                            {"pageSize", StrCat(o.count)}}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table rules({"RULE", "SCOPE", "MATCH", "RATE", "BURST", "AT ONCE", "A DAY", "KEYS", "REFUSED"});
  for (const nlohmann::json& rule : ArrayOf(reply, "rules")) {
    const std::string per = TextOf(rule, "per");
    const bool admin = TextOf(rule, "surface") == "admin";
    const std::string rate = TextOf(rule, "rate");
    rules.Row({TextOf(rule, "name"),
               StrCat(admin ? "admin: " : "", TextOf(rule, "scope"), per.empty() ? "" : " + ", per),
               TextOf(rule, "match"), rate.empty() ? "-" : rate, NumberOr(rule, "burst", 0, "-"),
               NumberOr(rule, "concurrency", 0, "-"), NumberOr(rule, "dailyQuota", 0, "-"),
               StrCat(NumberOf(rule, "keys")), StrCat(NumberOf(rule, "refused"))});
  }
  ctx.PrintTable(rules,
                 "No limits. They are set under limits.rules; 'meta-mcp config show' has them.");
  Table states({"RULE", "VALUE", "LEFT", "FULL IN", "RUNNING", "USED TODAY"});
  for (const nlohmann::json& state : ArrayOf(reply, "states")) {
    const bool rated = NumberOf(state, "remaining") >= 0;
    states.Row({TextOf(state, "rule"), TextOf(state, "value"),
                rated ? StrCat(NumberOf(state, "remaining")) : "-",
                rated ? StrCat(NumberOf(state, "resetMs"), " ms") : "-",
                StrCat(NumberOf(state, "running")), NumberOr(state, "quotaUsed", -1, "-")});
  }
  if (!states.empty()) {
    *ctx.out << "\n";
    ctx.PrintTable(states, "");
  }
  return absl::OkStatus();
}

}  // namespace

void AddLimitsCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<LimitsOptions>();
  Command limits = root.Sub("limits", "Shows the limits as they stand at the gateway");
  limits.Example("meta-mcp limits").Example("meta-mcp limits --rule per-user -n 100");
  limits.Option("--rule", &o->rule, "only this rule", "NAME")
      .Integer("-n,--count", &o->count, 1, 1000, "allowances at most, the fullest first");
  limits.Run([&ctx, o] { return ShowLimits(ctx, *o); });
}

}  // namespace metamcp::cli
