// What other rules would have said to the calls of the audit.

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <tuple>

#include "cli/commands.h"
#include "cli/moment.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

// Groups that are told apart; what is beyond them is counted.
constexpr size_t kGroupsMax = 10'000;
constexpr size_t kShownMax = 50;

struct ReplayOptions {
  std::string file, otherwise = "allow", since = "7d", until;
  bool strict = false;
};

using Json = nlohmann::json;
using Counts = std::map<std::string, int64_t>;

struct Group {
  Json change;
  int64_t calls = 0;
};

// Sums of all pages. Bounded, however long the time is.
class Sums {
 public:
  void Add(const Json& page) {
    calls_ += NumberOf(page, "calls");
    same_ += NumberOf(page, "same");
    for (const Json& change : ArrayOf(page, "changes")) AddChange(change);
    for (const Json& one : ArrayOf(page, "skipped")) {
      Group& group = skipped_[TextOf(one, "why")];
      if (group.calls == 0) group.change = one;
      group.calls += NumberOf(one, "calls");
    }
  }
  // The most frequent first.
  std::vector<const Group*> Sorted() const {
    std::vector<const Group*> out;
    for (const auto& [key, group] : groups_) out.push_back(&group);
    std::stable_sort(out.begin(), out.end(),
                     [](const Group* a, const Group* b) { return a->calls > b->calls; });
    return out;
  }
  const std::map<std::string, Group>& skipped() const { return skipped_; }
  const Counts& kinds() const { return kinds_; }
  int64_t calls() const { return calls_; }
  int64_t same() const { return same_; }
  int64_t more() const { return more_; }
  int64_t undecided() const { return undecided_; }
  int64_t changed() const { return changed_; }

  Json ToJson() const {
    Json out;
    out["calls"] = calls_;
    out["same"] = same_;
    out["changed"] = changed_;
    out["undecided"] = undecided_;
    out["byChange"] = kinds_;
    out["byPrincipal"] = subjects_;
    out["byItem"] = items_;
    out["byRule"] = rules_;
    out["changes"] = Json::array();
    for (const Group* group : Sorted()) {
      Json one = group->change;
      one["calls"] = group->calls;
      out["changes"].push_back(std::move(one));
    }
    out["skipped"] = Json::array();
    for (const auto& [why, group] : skipped_) {
      Json one = group.change;
      one["calls"] = group.calls;
      out["skipped"].push_back(std::move(one));
    }
    out["callsNotListed"] = more_;
    return out;
  }

 private:
  static void Count(Counts& counts, const std::string& key, int64_t calls) {
    if (counts.size() < kGroupsMax || counts.count(key) > 0) counts[key] += calls;
  }
  void AddChange(const Json& change) {
    const int64_t calls = NumberOf(change, "calls");
    const std::string after = TextOf(change, "after");
    const std::string rule = TextOf(change, "rule");
    (after == "undecided" ? undecided_ : changed_) += calls;
    Count(kinds_, StrCat(TextOf(change, "before"), " to ", after), calls);
    Count(subjects_, TextOf(change, "subject"), calls);
    Count(items_, TextOf(change, "item"), calls);
    Count(rules_, rule.empty() ? "policy.default" : rule, calls);
    const Key key{TextOf(change, "subject"),
                  TextOf(change, "item"),
                  TextOf(change, "virtualServer"),
                  TextOf(change, "before"),
                  after,
                  rule};
    if (groups_.size() >= kGroupsMax && groups_.count(key) == 0) {
      more_ += calls;
      return;
    }
    Group& group = groups_[key];
    if (group.calls == 0) group.change = change;
    group.calls += calls;
  }

  using Key =
      std::tuple<std::string, std::string, std::string, std::string, std::string, std::string>;
  std::map<Key, Group> groups_;
  std::map<std::string, Group> skipped_;
  Counts kinds_, subjects_, items_, rules_;
  int64_t calls_ = 0, same_ = 0, more_ = 0, undecided_ = 0, changed_ = 0;
};

void Print(CommandContext& ctx, const Sums& sums) {
  Table table({"CALLS", "WHO", "ITEM", "BEFORE", "AFTER", "RULE", "EXAMPLE"});
  size_t shown = 0;
  for (const Group* group : sums.Sorted()) {
    if (++shown > kShownMax) break;
    const Json& change = group->change;
    const std::string rule = TextOf(change, "rule");
    table.Row({StrCat(group->calls), Shorten(OneLine(TextOf(change, "subject")), 32),
               Shorten(OneLine(TextOf(change, "item")), 48), TextOf(change, "before"),
               TextOf(change, "after"), rule.empty() ? "policy.default" : rule,
               TextOf(change, "example")});
  }
  ctx.PrintTable(table, "Every call would be decided as it was.");
  if (shown > kShownMax) *ctx.out << "... more with --output json\n";
  *ctx.out << sums.calls() << " calls: " << sums.same() << " as before, " << sums.changed()
           << " otherwise, " << sums.undecided() << " undecided.\n";
  for (const auto& [kind, calls] : sums.kinds()) *ctx.out << "  " << kind << ": " << calls << "\n";
  if (sums.undecided() > 0) {
    *ctx.out << "Undecided: the rule looks at what the audit does not have, such as arguments.\n";
  }
  for (const auto& [why, group] : sums.skipped()) {
    *ctx.out << "Not replayed: " << group.calls << ", " << OneLine(why) << " (for example "
             << TextOf(group.change, "example") << ")\n";
  }
}

absl::Status Replay(CommandContext& ctx, const ReplayOptions& o) {
  std::ifstream file(o.file, std::ios::binary);
  if (!file) return UsageError(StrCat("cannot read ", o.file));
  METAMCP_ASSIGN_OR_RETURN(const std::string since, MomentUs(o.since));
  METAMCP_ASSIGN_OR_RETURN(std::string until, MomentUs(o.until));
  // Not those that come while it reads.
  if (until.empty()) until = std::to_string(NowUs());
  Json body;
  body["rules"] = std::string(std::istreambuf_iterator<char>(file), {});
  body["otherwise"] = o.otherwise;
  body["sinceUs"] = since;
  body["untilUs"] = until;
  body["pageSize"] = 1000;
  Sums sums;
  std::string token;
  do {
    body["pageToken"] = token;
    METAMCP_ASSIGN_OR_RETURN(
        const Json page,
        CallJson(ctx, RestRequest("POST", ApiPath({"policy:replay"}), json::DumpJson(body))));
    sums.Add(page);
    token = TextOf(page, "nextPageToken");
  } while (!token.empty());
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(sums.ToJson()));
  } else {
    Print(ctx, sums);
  }
  if (sums.changed() > 0 || (o.strict && sums.undecided() > 0)) ctx.exit_code = kExitFailed;
  return absl::OkStatus();
}

}  // namespace

void AddPolicyReplay(Command& group) {
  CommandContext& ctx = group.context();
  auto o = std::make_shared<ReplayOptions>();
  Command replay = group.Sub(
      "replay",
      "Tries rules on the audited calls; exit status 1 if one would be decided otherwise");
  replay.Example("meta-mcp policy replay proposed.policy")
      .Example("meta-mcp policy replay proposed.policy --since 24h --default deny --output json");
  replay
      .More(
          "Roles and teams are those of the call, items and annotations those of now. What the "
          "audit does not have, such as arguments, is not guessed: such calls are undecided.")
      .Argument("FILE", &o->file, "the proposed rules")
      .Choice("--default", &o->otherwise, {"allow", "deny"}, "where no rule matches")
      .Option("--since", &o->since, "calls since then (default 7d)", "TIME")
      .Option("--until", &o->until, "calls before then (default now)", "TIME")
      .Flag("--strict", &o->strict, "exit status 1 for undecided calls, too");
  replay.Run([&ctx, o] { return Replay(ctx, *o); });
}

}  // namespace metamcp::cli
