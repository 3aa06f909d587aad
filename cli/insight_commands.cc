// What went wrong, and where the time goes: errors, perf, slow, map, profile.

#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/moment.h"
#include "cli/rest_json.h"
#include "common/base/key_ring.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct InsightOptions {
  std::string since, until, reason, server, item, trace, name, file, instance, kind = "cpu";
  bool by_item = false, by_client = false;
  int64_t limit = 20, seconds = 10, longer_ms = 0;
};

std::string Milliseconds(int64_t us) {
  if (us < 10'000) return StrCat(us / 1000, ".", us / 100 % 10, " ms");
  return us < 10'000'000 ? StrCat(us / 1000, " ms") : StrCat(us / 1'000'000, " s");
}

std::string Percent(int64_t per10000) {
  return StrCat(per10000 / 100, ".", per10000 / 10 % 10, " %");
}

// Says which processes gave no answer, and why.
void NoteSilent(CommandContext& ctx, const nlohmann::json& reply) {
  for (const nlohmann::json& source : ArrayOf(reply, "sources")) {
    const std::string error = TextOf(source, "error");
    if (error.empty()) continue;
    ctx.Note(StrCat("note: ", TextOf(source, "service"), " (", TextOf(source, "instance"),
                    ") is not in this: ", error));
  }
}

absl::StatusOr<nlohmann::json> Get(CommandContext& ctx,
                                   std::initializer_list<std::string_view> path,
                                   std::vector<std::pair<std::string, std::string>> query) {
  return CallJson(ctx, RestRequest("GET", ApiPath(path, query)));
}

absl::Status ShowErrors(CommandContext& ctx, const InsightOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string since, MomentUs(o.since));
  METAMCP_ASSIGN_OR_RETURN(const std::string until, MomentUs(o.until));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           Get(ctx, {"errors"},
                               {{"sinceUs", since},
                                {"untilUs", until},
                                {"reason", o.reason},
                                {"upstream", o.server},
                                {"item", o.item},
                                {"byItem", o.by_item ? "true" : ""},
                                {"byClient", o.by_client ? "true" : ""}}));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"COUNT", "REASON", "SERVER", "ITEM", "CLIENT", "WHO", "FIRST", "LAST", "TRACE"});
  for (const nlohmann::json& one : ArrayOf(reply, "failures")) {
    table.Row({StrCat(NumberOf(one, "count")), TextOf(one, "reason"), TextOf(one, "upstream"),
               Shorten(OneLine(TextOf(one, "item")), 40),
               Shorten(OneLine(TextOf(one, "client")), 24), StrCat(NumberOf(one, "subjects")),
               TimeText(NumberOf(one, "firstUs")), TimeText(NumberOf(one, "lastUs")),
               TextOf(one, "trace")});
  }
  ctx.PrintTable(table, "Nothing failed in that time.");
  for (const nlohmann::json& one : ArrayOf(reply, "failures")) {
    const std::string hint = TextOf(one, "hint");
    if (!hint.empty()) ctx.Say(StrCat(TextOf(one, "reason"), ": ", hint));
  }
  if (reply.value("cut", false)) ctx.Note("note: only the newest 20,000 failures were looked at");
  return absl::OkStatus();
}

absl::Status ShowPerformance(CommandContext& ctx, const InsightOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string since, MomentUs(o.since));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Get(ctx, {"telemetry", "performance"},
                                                           {{"item", o.item}, {"sinceUs", since}}));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  const int64_t calls = NumberOf(reply, "calls");
  NoteSilent(ctx, reply);
  if (calls == 0) {
    ctx.Say(o.item.empty() ? "No call is among the kept spans."
                           : StrCat("No call of ", o.item, " is among the kept spans."));
    return absl::OkStatus();
  }
  ctx.Say(StrCat(calls, " calls, ", NumberOf(reply, "failures"), " failed; mean ",
                 Milliseconds(NumberOf(reply, "meanUs")), ", p50 ",
                 Milliseconds(NumberOf(reply, "p50Us")), ", p95 ",
                 Milliseconds(NumberOf(reply, "p95Us")), ", p99 ",
                 Milliseconds(NumberOf(reply, "p99Us"))));
  Table table({"WHERE", "SHARE", "MEAN", "P95", "CALLS"});
  for (const nlohmann::json& stage : ArrayOf(reply, "stages")) {
    table.Row({OneLine(TextOf(stage, "name")), Percent(NumberOf(stage, "share")),
               Milliseconds(NumberOf(stage, "meanUs")), Milliseconds(NumberOf(stage, "p95Us")),
               StrCat(NumberOf(stage, "calls"))});
  }
  ctx.PrintTable(table, "");
  ctx.Say(StrCat("slowest: ", Milliseconds(NumberOf(reply, "slowestUs")), ", trace ",
                 TextOf(reply, "slowestTrace")));
  return absl::OkStatus();
}

absl::Status ShowSpans(CommandContext& ctx, const InsightOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string since, MomentUs(o.since));
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      Get(ctx, {"telemetry", "spans"},
          {{"trace", o.trace},
           {"name", o.name},
           {"sinceUs", since},
           {"slowest", o.trace.empty() ? "true" : ""},
           {"longerThanUs", o.longer_ms > 0 ? std::to_string(o.longer_ms * 1000) : ""},
           {"limit", std::to_string(o.limit)}}));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  NoteSilent(ctx, reply);
  Table table({"TOOK", "SPAN", "SERVICE", "SERVER", "FAILED", "TIME", "TRACE"});
  for (const nlohmann::json& span : ArrayOf(reply, "spans")) {
    const int64_t us = (NumberOf(span, "endedNs") - NumberOf(span, "begunNs")) / 1000;
    table.Row({Milliseconds(us), Shorten(OneLine(TextOf(span, "name")), 48),
               TextOf(span, "service"), TextOf(ObjectOf(span, "attributes"), "metamcp.upstream"),
               span.value("failed", false) ? "yes" : "", TimeText(NumberOf(span, "begunNs") / 1000),
               TextOf(span, "trace")});
  }
  ctx.PrintTable(table, "No kept span fits.");
  return absl::OkStatus();
}

absl::Status ShowMap(CommandContext& ctx, const InsightOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string since, MomentUs(o.since));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           Get(ctx, {"telemetry", "map"}, {{"sinceUs", since}}));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  NoteSilent(ctx, reply);
  Table table({"FROM", "TO", "CALLS", "FAILED", "P50", "P95"});
  for (const nlohmann::json& edge : ArrayOf(reply, "edges")) {
    table.Row({OneLine(TextOf(edge, "from")), OneLine(TextOf(edge, "to")),
               StrCat(NumberOf(edge, "calls")), StrCat(NumberOf(edge, "failures")),
               Milliseconds(NumberOf(edge, "p50Us")), Milliseconds(NumberOf(edge, "p95Us"))});
  }
  ctx.PrintTable(table, "No call is among the kept spans.");
  return absl::OkStatus();
}

absl::Status TakeProfile(CommandContext& ctx, const InsightOptions& o) {
  if (o.file.empty()) return UsageError("a profile needs a file", "Add --file cpu.prof.");
  RestRequest request("POST", ApiPath({"telemetry", "profile"}));
  const nlohmann::json body = {{"kind", o.kind}, {"seconds", o.seconds}, {"instance", o.instance}};
  request.body = json::DumpJson(body);
  request.timeout = std::chrono::seconds(o.seconds + 30);
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallJson(ctx, std::move(request)));
  const auto profile = Base64Decode(TextOf(reply, "profile"));
  if (!profile) return absl::InternalError("the gateway's answer holds no profile");
  std::ofstream out(o.file, std::ios::binary);
  out << *profile;
  out.close();
  if (!out) return absl::UnavailableError(StrCat("cannot write ", o.file));
  ctx.Say(StrCat("wrote ", profile->size(), " bytes to ", o.file));
  const bool sampled = TextOf(reply, "mediaType") == "application/octet-stream";
  ctx.Say(sampled ? StrCat("read it with: google-pprof --text PROGRAM ", o.file)
                  : "these are malloc_info's totals: where memory was allocated is known of a "
                    "process that was started with LD_PRELOAD=libtcmalloc.so.4 "
                    "TCMALLOC_SAMPLE_PARAMETER=524288");
  return absl::OkStatus();
}

void AddErrors(Command& root) {
  auto o = std::make_shared<InsightOptions>();
  auto& ctx = root.context();
  root.Sub("errors", "What failed, grouped by why, with an example and what to do.")
      .More(
          "From the audit: reason, server, how often, for how many principals, first and last "
          "time, and the trace of the newest. Times are those of 'meta-mcp audit query'.")
      .Option("--since", &o->since, "From this time on; without it the last 24 hours", "TIME")
      .Option("--until", &o->until, "Before this time", "TIME")
      .Option("--reason", &o->reason, "Only this reason", "REASON")
      .Option("--server", &o->server, "Only calls to this server", "NAME")
      .Option("--item", &o->item, "Only this tool, prompt or resource", "NAME")
      .Flag("--by-item", &o->by_item, "Tell items apart")
      .Flag("--by-client", &o->by_client, "Tell clients apart")
      .Example("meta-mcp errors --since 1h --by-item")
      .Run([o, &ctx] { return ShowErrors(ctx, *o); });
}

}  // namespace

void AddInsightCommands(Command& root) {
  AddErrors(root);
  auto& ctx = root.context();
  auto perf = std::make_shared<InsightOptions>();
  root.Sub("perf", "Where the time of calls goes: gateway, connector or server.")
      .More("From the spans that processes keep (telemetry.traces.keep).")
      .OptionalArgument("ITEM", &perf->item, "Tool or prompt as clients see it; all calls without")
      .Option("--since", &perf->since, "From this time on", "TIME")
      .Example("meta-mcp perf git__status")
      .Run([perf, &ctx] { return ShowPerformance(ctx, *perf); });
  auto slow = std::make_shared<InsightOptions>();
  root.Sub("slow", "The slowest spans, or all of one trace.")
      .More("From the spans that processes keep (telemetry.traces.keep).")
      .Option("--trace", &slow->trace, "All spans of this trace, newest first", "ID")
      .Option("--name", &slow->name, "Only spans of this name; a final * stands for any end",
              "NAME")
      .Option("--since", &slow->since, "From this time on", "TIME")
      .Integer("--longer-than", &slow->longer_ms, 0, 86'400'000, "Only spans at least this long",
               "MS")
      .Integer("--limit", &slow->limit, 1, 20'000, "At most")
      .Example("meta-mcp slow --name 'tools/call*' --since 15m")
      .Run([slow, &ctx] { return ShowSpans(ctx, *slow); });
  auto map = std::make_shared<InsightOptions>();
  root.Sub("map", "Who calls whom, how often, how fast.")
      .More("From the spans that processes keep (telemetry.traces.keep).")
      .Option("--since", &map->since, "From this time on", "TIME")
      .Example("meta-mcp map --since 1h")
      .Run([map, &ctx] { return ShowMap(ctx, *map); });
  auto profile = std::make_shared<InsightOptions>();
  root.Sub("profile", "A profile of a running process: its CPU, or its heap.")
      .More(
          "Needs the role admin. CPU profiles need libgoogle-perftools4 where the process runs; "
          "nothing is measured before and after. Of the heap it shows where memory was allocated, "
          "if the process was started with LD_PRELOAD=libtcmalloc.so.4 "
          "TCMALLOC_SAMPLE_PARAMETER=524288, otherwise its totals.")
      .ChoiceArgument("KIND", &profile->kind, {"cpu", "heap"}, "What is profiled")
      .Option("--file", &profile->file, "Where the profile goes", "FILE")
      .Integer("--seconds", &profile->seconds, 1, 120, "How long the CPU is sampled")
      .Option("--instance", &profile->instance, "The process, as 'meta-mcp logs' names it", "ID")
      .Example("meta-mcp profile cpu --seconds 10 --file cpu.prof")
      .Run([profile, &ctx] { return TakeProfile(ctx, *profile); });
}

}  // namespace metamcp::cli
