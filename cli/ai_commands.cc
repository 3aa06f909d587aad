// Models behind suggestions: which there are, what they used, how good suggestions were.

#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/ai_eval.h"
#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct AiOptions {
  int64_t days = 0, limit = 0, rating = 0;
  std::string suggestion, comment;
  EvalOptions eval;
};

absl::StatusOr<nlohmann::json> Read(CommandContext& ctx, std::string_view what, int64_t days) {
  return CallJson(
      ctx, RestRequest("GET", ApiPath({"ai", what}, {{"days", days > 0 ? StrCat(days) : ""}})));
}

absl::Status Providers(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Read(ctx, "providers", 0));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"NAME", "API", "MODEL", "STATE", "LAST ERROR"});
  for (const nlohmann::json& one : ArrayOf(reply, "providers")) {
    table.Row({TextOf(one, "name"), TextOf(one, "api"), TextOf(one, "model"), TextOf(one, "state"),
               Shorten(OneLine(TextOf(one, "lastError")), 80)});
  }
  ctx.PrintTable(table, "No models. Suggestions are made without one; ai.providers adds some.");
  return absl::OkStatus();
}

absl::Status Usage(CommandContext& ctx, const AiOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Read(ctx, "usage", o.days));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"DAY", "WHO", "PROVIDER", "REQUESTS", "FAILED", "TOKENS IN", "TOKENS OUT", "COST"});
  for (const nlohmann::json& one : ArrayOf(reply, "usage")) {
    const int64_t micros = NumberOf(one, "costMicros");
    table.Row({TextOf(one, "day"), TextOf(one, "subject"), TextOf(one, "provider"),
               StrCat(NumberOf(one, "requests")), StrCat(NumberOf(one, "failures")),
               StrCat(NumberOf(one, "inputTokens")), StrCat(NumberOf(one, "outputTokens")),
               StrCat(micros / 1'000'000, ".", StrCat(1'000'000 + micros % 1'000'000).substr(1))});
  }
  ctx.PrintTable(table, "No model was asked.");
  return absl::OkStatus();
}

absl::Status Quality(CommandContext& ctx, const AiOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Read(ctx, "quality", o.days));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"MADE BY", "SUGGESTIONS", "VALID", "ACCEPTED", "EDITED", "FAILED", "RATED"});
  for (const nlohmann::json& one : ArrayOf(reply, "quality")) {
    table.Row({TextOf(one, "madeBy"), StrCat(NumberOf(one, "suggestions")),
               StrCat(NumberOf(one, "valid")), StrCat(NumberOf(one, "accepted")),
               StrCat(NumberOf(one, "edited")), StrCat(NumberOf(one, "failed")),
               StrCat(NumberOf(one, "rated"))});
  }
  ctx.PrintTable(table, "No suggestions.");
  return absl::OkStatus();
}

absl::Status Feedback(CommandContext& ctx, const AiOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"ai", "feedback"},
                                               {{"suggestion", o.suggestion},
                                                {"limit", o.limit > 0 ? StrCat(o.limit) : ""}}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"WHEN", "WHO", "SAID", "RATING", "MADE BY", "TASK", "COMMENT"});
  for (const nlohmann::json& one : ArrayOf(reply, "feedback")) {
    const int64_t rating = NumberOf(one, "rating");
    table.Row({TimeText(NumberOf(one, "createdUs")), OneLine(TextOf(one, "subject")),
               TextOf(one, "kind"), rating > 0 ? StrCat(rating) : "", TextOf(one, "madeBy"),
               Shorten(OneLine(TextOf(one, "task")), 50),
               Shorten(OneLine(TextOf(one, "comment")), 60)});
  }
  ctx.PrintTable(table, "Nobody said anything of suggestions.");
  return absl::OkStatus();
}

absl::Status Rate(CommandContext& ctx, const AiOptions& o) {
  if (o.rating == 0) return UsageError("how good was it?", "Add --rating 1 to 5.");
  nlohmann::json body;
  body["kind"] = "rated";
  body["rating"] = o.rating;
  body["comment"] = o.comment;
  const RestRequest request("POST", ApiPath({"suggestions", o.suggestion, "feedback"}),
                            json::DumpJson(body));
  METAMCP_RETURN_IF_ERROR(CallJson(ctx, request).status());
  ctx.Say("Thank you; it is kept.");
  return absl::OkStatus();
}

absl::Status Eval(CommandContext& ctx, AiOptions o) {
  o.eval.config_path = ctx.GivenConfig();
  o.eval.data_dir = ctx.DataDir();
  o.eval.json = ctx.json();
  ctx.exit_code = ctx.run_ai_eval(o.eval);
  return absl::OkStatus();
}

}  // namespace

void AddAiCommands(Command& root) {
  Command group = root.Sub("ai", "Models behind suggestions, and how good suggestions are");
  group.Example("meta-mcp ai providers").Example("meta-mcp ai eval tests/data/ai");
  CommandContext& ctx = group.context();
  auto o = std::make_shared<AiOptions>();

  Command providers =
      group.Sub("providers", "Lists the models in the order in which they are asked");
  providers.Example("meta-mcp ai providers");
  providers.Run([&ctx] { return Providers(ctx); });

  Command usage = group.Sub("usage", "Shows requests, tokens and cost by day, person and provider");
  usage.Example("meta-mcp ai usage --days 30");
  usage.Integer("--days", &o->days, 1, 3650, "days back (default 7)");
  usage.Run([&ctx, o] { return Usage(ctx, *o); });

  Command quality = group.Sub("quality", "Shows what became of suggestions");
  quality.Example("meta-mcp ai quality --output json");
  quality.Integer("--days", &o->days, 1, 3650, "days back (default 30)");
  quality.Run([&ctx, o] { return Quality(ctx, *o); });

  Command feedback = group.Sub("feedback", "Shows what people said of suggestions");
  feedback.Example("meta-mcp ai feedback --limit 20");
  feedback.Option("--suggestion", &o->suggestion, "only of this one", "ID")
      .Integer("--limit", &o->limit, 1, 1000, "so many at most (default 100)");
  feedback.Run([&ctx, o] { return Feedback(ctx, *o); });

  Command rate = group.Sub("rate", "Says how good a suggestion was");
  rate.Example("meta-mcp ai rate 01980f9e-4a1b-7cc2-9d3e-5f60718293a4 --rating 4");
  rate.Argument("ID", &o->suggestion, "as --output json of suggest shows it")
      .Integer("--rating", &o->rating, 1, 5, "1 (useless) to 5 (just what was wanted)")
      .Option("--comment", &o->comment, "why", "TEXT");
  rate.Run([&ctx, o] { return Rate(ctx, *o); });

  Command eval = group.Sub("eval", "Measures suggestions on tasks with gold plans");
  eval.Example("meta-mcp ai eval tests/data/ai")
      .Example("meta-mcp ai eval tests/data/ai --with-model --output json")
      .More(
          "Needs no running gateway: the catalogs come from the folder, nothing is called and "
          "nothing is stored.");
  eval.Argument("DATA", &o->eval.folder, "a folder with tasks.json and catalogs/*.json")
      .Option("--tasks", &o->eval.tasks, "the file of tasks in it (default tasks.json)", "FILE")
      .Flag("--with-model", &o->eval.with_model, "ask the models of the configuration")
      .Flag("--verbose", &o->eval.verbose, "a line for every task");
  eval.Run([&ctx, o] { return Eval(ctx, *o); });
}

}  // namespace metamcp::cli
