// Runs again, changed runs, and what runs say of themselves.

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/call.h"
#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct AgainOptions {
  std::string id, workflow, from, input, version, path, arguments, result, format = "text";
  bool dry_run = false;
  bool nothing = false;
};

std::string DryRunOf(const AgainOptions& o) { return o.nothing ? "nothing" : "reads"; }

absl::Status Retry(CommandContext& ctx, const AgainOptions& o) {
  nlohmann::json body = nlohmann::json::object();
  if (!o.from.empty()) body["from"] = o.from;
  METAMCP_RETURN_IF_ERROR(
      ctx.rest()
          .Call(RestRequest("POST", ApiPath({"runs", o.id, "retry"}), json::DumpJson(body)))
          .status());
  ctx.Say(StrCat("run ", OneLine(o.id), " goes on."));
  return absl::OkStatus();
}

absl::Status SayStarted(CommandContext& ctx, const nlohmann::json& run) {
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(run));
    return absl::OkStatus();
  }
  *ctx.out << OneLine(TextOf(run, "id")) << "\n";
  ctx.Say(StrCat("'meta-mcp workflow watch ", TextOf(run, "id"), "' follows it."));
  return absl::OkStatus();
}

absl::Status Rerun(CommandContext& ctx, const AgainOptions& o) {
  nlohmann::json body = nlohmann::json::object();
  if (!o.version.empty()) body["version"] = o.version;
  if (o.dry_run) body["dryRun"] = DryRunOf(o);
  if (!o.input.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string input, ReadArguments(ctx, o.input));
    METAMCP_ASSIGN_OR_RETURN(body["input"], json::ParseJson(input));
  }
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"runs", o.id, "rerun"}), json::DumpJson(body))));
  return SayStarted(ctx, ObjectOf(reply, "run"));
}

absl::Status DryRun(CommandContext& ctx, const AgainOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string input, ReadArguments(ctx, o.input));
  nlohmann::json body = {{"dryRun", DryRunOf(o)}, {"version", o.version}};
  METAMCP_ASSIGN_OR_RETURN(body["input"], json::ParseJson(input));
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"workflows", o.workflow, "runs"}),
                                json::DumpJson(body))));
  return SayStarted(ctx, ObjectOf(reply, "run"));
}

absl::Status Edit(CommandContext& ctx, const AgainOptions& o) {
  nlohmann::json body = {{"path", o.path}};
  if (!o.version.empty()) body["version"] = o.version;
  for (const auto& [key, given] :
       {std::make_pair("arguments", &o.arguments), std::make_pair("output", &o.result)}) {
    if (given->empty()) continue;
    METAMCP_ASSIGN_OR_RETURN(const std::string text, ReadArguments(ctx, *given));
    METAMCP_ASSIGN_OR_RETURN(body[key], json::ParseJson(text));
  }
  METAMCP_RETURN_IF_ERROR(
      ctx.rest()
          .Call(RestRequest("POST", ApiPath({"runs", o.id, "edit"}), json::DumpJson(body)))
          .status());
  ctx.Say(StrCat("run ", OneLine(o.id), " is changed; 'resume' or 'retry' lets it go on."));
  return absl::OkStatus();
}

absl::Status Explain(CommandContext& ctx, const AgainOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"runs", o.id, "explanation"}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  *ctx.out << OneLine(TextOf(reply, "summary")) << "\n";
  for (const nlohmann::json& step : ArrayOf(reply, "steps")) {
    *ctx.out << "\n"
             << OneLine(StrCat(TextOf(step, "name"), "  ", TextOf(step, "state"), "  ",
                               TextOf(step, "path")))
             << "\n  why: " << OneLine(TextOf(step, "why")) << "\n";
    if (step.contains("arguments")) {
      *ctx.out << "  given: " << OneLine(json::DumpJson(step["arguments"])) << "\n";
    }
    if (const std::string uses = JoinedOf(step, "uses"); !uses.empty()) {
      *ctx.out << "  from: " << OneLine(uses) << "\n";
    }
    if (const std::string outcome = TextOf(step, "outcome"); !outcome.empty()) {
      *ctx.out << "  outcome: " << OneLine(outcome) << "\n";
    }
  }
  return absl::OkStatus();
}

absl::Status Result(CommandContext& ctx, const AgainOptions& o) {
  const std::string format = ctx.json() ? "json" : o.format;
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"runs", o.id, "result"}, {{"format", format}}))));
  if (format == "json") {
    ctx.PrintJson(json::DumpJson(ObjectOf(reply, "result")));
    return absl::OkStatus();
  }
  const std::string text = TextOf(reply, "text");
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    *ctx.out << OneLine(text.substr(begin, end - begin)) << "\n";
    begin = end + 1;
  }
  return absl::OkStatus();
}

std::string Milliseconds(const nlohmann::json& from, std::string_view key) {
  return StrCat(NumberOf(from, key) / 1000, " ms");
}

absl::Status Figures(CommandContext& ctx, const AgainOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"workflows", o.workflow, "figures"}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  const double rate = reply.value("successRate", -1.0);
  *ctx.out << OneLine(StrCat(NumberOf(reply, "runs"),
                             " runs in 30 days: ", NumberOf(reply, "completed"), " completed, ",
                             NumberOf(reply, "failed"), " failed, ", NumberOf(reply, "rolledBack"),
                             " rolled back, ", NumberOf(reply, "cancelled"), " cancelled, ",
                             NumberOf(reply, "active"), " active"))
           << "\n";
  if (rate >= 0) {
    *ctx.out << "success rate " << static_cast<int>(rate * 100 + 0.5) << "%, half took less than "
             << Milliseconds(reply, "p50Us") << ", 95% less than " << Milliseconds(reply, "p95Us")
             << "\n";
  }
  Table table({"STEP", "TOOL", "DONE", "FAILED", "P50", "P95"});
  for (const nlohmann::json& step : ArrayOf(reply, "steps")) {
    table.Row({TextOf(step, "name"), TextOf(step, "tool"), StrCat(NumberOf(step, "done")),
               StrCat(NumberOf(step, "failed")), Milliseconds(step, "p50Us"),
               Milliseconds(step, "p95Us")});
  }
  ctx.PrintTable(table, "No steps.");
  return absl::OkStatus();
}

}  // namespace

void AddRunAgainCommands(Command& group) {
  CommandContext& ctx = group.context();
  auto o = std::make_shared<AgainOptions>();

  Command retry = group.Sub("retry", "Runs the failed steps of a run again, or from a step on");
  retry.Example("meta-mcp workflow retry 0193…")
      .Example("meta-mcp workflow retry 0193… --from copy");
  retry.Argument("RUN", &o->id, "id of the run")
      .Option("--from", &o->from, "this step and all that came after it, whatever came of them",
              "STEP");
  retry.Run([&ctx, o] { return Retry(ctx, *o); });

  Command rerun = group.Sub("rerun", "Starts a new run like an earlier one, changed where you say");
  rerun.Example("meta-mcp workflow rerun 0193… --input '{\"dir\": \"/srv\"}'")
      .Example("meta-mcp workflow rerun 0193… --version 1.1.0 --dry-run");
  rerun.Argument("RUN", &o->id, "id of the earlier run")
      .Option("--input", &o->input, "JSON, @FILE or - for standard input", "JSON")
      .Option("--version", &o->version, "of the workflow", "VERSION")
      .Flag("--dry-run", &o->dry_run, "call only tools that change nothing");
  rerun.Run([&ctx, o] { return Rerun(ctx, *o); });

  Command dry = group.Sub("dry-run", "Runs a workflow without changing anything");
  dry.Example("meta-mcp workflow dry-run notes --input '{\"dir\": \"/tmp\"}'")
      .More(
          "Tools that say that they change nothing are called; for the others the run takes what "
          "their output schema describes. It does not wait, and approves by itself. 'workflow "
          "explain RUN' shows what would be called with what.");
  dry.Argument("WORKFLOW", &o->workflow, "its name")
      .Option("--input", &o->input, "JSON, @FILE or - for standard input", "JSON")
      .Option("--version", &o->version, "instead of the newest", "VERSION")
      .Flag("--nothing", &o->nothing, "call no tool at all");
  dry.Run([&ctx, o] { return DryRun(ctx, *o); });

  Command edit = group.Sub("edit", "Changes a run that is paused, failed or was cancelled");
  edit.Example("meta-mcp workflow edit 0193… --step copy --arguments '{\"path\": \"/tmp/b\"}'")
      .Example("meta-mcp workflow edit 0193… --step read --result '{\"content\": \"abc\"}'")
      .Example("meta-mcp workflow edit 0193… --version 1.1.0")
      .More(
          "Arguments are for a step that has not succeeded. A result takes the place of what a "
          "step "
          "gave; all that came after it runs again. Another version must have all that has "
          "happened.");
  edit.Argument("RUN", &o->id, "id of the run")
      .Option("--step", &o->path, "name or path", "STEP")
      .Option("--arguments", &o->arguments, "what its tool is given", "JSON")
      .Option("--result", &o->result, "what it gave", "JSON")
      .Option("--version", &o->version, "of the workflow that the run goes on with", "VERSION");
  edit.Run([&ctx, o] { return Edit(ctx, *o); });

  Command explain = group.Sub("explain", "Says of each step of a run why it ran, and with what");
  explain.Example("meta-mcp workflow explain 0193…");
  explain.Argument("RUN", &o->id, "id of the run");
  explain.Run([&ctx, o] { return Explain(ctx, *o); });

  Command result = group.Sub("result", "Shows what came of a run and its steps");
  result.Example("meta-mcp workflow result 0193… --format markdown");
  result.Argument("RUN", &o->id, "id of the run")
      .Choice("--format", &o->format, {"text", "markdown", "json"}, "how (default text)");
  result.Run([&ctx, o] { return Result(ctx, *o); });

  Command figures = group.Sub("figures", "Shows how a workflow's runs of the last 30 days went");
  figures.Example("meta-mcp workflow figures notes");
  figures.Argument("WORKFLOW", &o->workflow, "its name");
  figures.Run([&ctx, o] { return Figures(ctx, *o); });
}

}  // namespace metamcp::cli
