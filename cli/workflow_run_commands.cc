// Runs of workflows.

#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <thread>

#include "cli/call.h"
#include "cli/commands.h"
#include "cli/rest_json.h"
#include "cli/workflow_calls.h"
#include "cli/workflow_live.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

constexpr std::chrono::milliseconds kPoll(200);

struct RunOptions {
  std::string workflow, id, version, input, state, path, action, result, arguments, comment;
  bool detach = false;
  bool rollback = false;
  int64_t limit = 20;
};

bool IsFile(const std::string& name) {
  return name.find('/') != std::string::npos || name.ends_with(".yaml") || name.ends_with(".yml") ||
         name.ends_with(".json");
}

bool IsFinal(const std::string& state) {
  return state == "completed" || state == "failed" || state == "cancelled" ||
         state == "rolled-back";
}

// States that a person must end.
bool WaitsForPerson(const nlohmann::json& run) {
  return TextOf(run, "state") == "paused" || !ArrayOf(run, "pending").empty();
}

absl::StatusOr<nlohmann::json> GetRun(CommandContext& ctx, const std::string& id) {
  METAMCP_ASSIGN_OR_RETURN(nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"runs", id}))));
  nlohmann::json run = ObjectOf(reply, "run");
  // Further pages of its steps.
  for (int64_t after = NumberOf(reply, "nextStepsAfter"); after > 0;) {
    METAMCP_ASSIGN_OR_RETURN(
        const nlohmann::json page,
        CallJson(ctx, RestRequest("GET", ApiPath({"runs", id}, {{"stepsAfter", StrCat(after)},
                                                                {"stepsMax", "5000"}}))));
    for (const nlohmann::json& step : ArrayOf(ObjectOf(page, "run"), "steps")) {
      run["steps"].push_back(step);
    }
    after = NumberOf(page, "nextStepsAfter");
  }
  return run;
}

// A run's result, wherever it is.
absl::StatusOr<nlohmann::json> OutputOf(CommandContext& ctx, const nlohmann::json& run) {
  const std::string ref = TextOf(run, "outputRef");
  if (ref.empty()) return run.contains("output") ? run["output"] : nlohmann::json();
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"runs", TextOf(run, "id"), "values", ref}))));
  return reply.contains("value") ? reply["value"] : nlohmann::json();
}

std::string ErrorText(const nlohmann::json& error) {
  std::string text = TextOf(error, "title");
  const std::string detail = TextOf(error, "detail");
  if (!detail.empty()) text += StrCat(": ", detail);
  const std::string instance = TextOf(error, "instance");
  if (!instance.empty()) text += StrCat(" (", instance, ")");
  return OneLine(text);
}

void PrintStep(CommandContext& ctx, const nlohmann::json& step) {
  std::string line = StrCat("  ", TextOf(step, "state"), "  ", TextOf(step, "name"));
  const std::string tool = TextOf(step, "tool");
  if (!tool.empty()) line += StrCat("  ", tool);
  const int64_t began = NumberOf(step, "startedUs");
  const int64_t ended = NumberOf(step, "endedUs");
  if (ended > 0) line += StrCat("  ", (ended - began) / 1000, " ms");
  if (NumberOf(step, "attempt") > 1) line += StrCat("  attempt ", NumberOf(step, "attempt"));
  *ctx.out << OneLine(line) << "\n";
  if (TextOf(step, "state") == "failed" || TextOf(step, "state") == "unknown") {
    *ctx.out << "      " << ErrorText(ObjectOf(step, "error")) << "\n";
  }
}

// What a person is to decide about.
std::string WaitsFor(const nlohmann::json& pending) {
  const std::string kind = TextOf(pending, "kind");
  const nlohmann::json& detail = ObjectOf(pending, "detail");
  if (kind != "consent") {
    return OneLine(
        StrCat(kind == "approval" ? "an approval: " : "a decision: ", json::DumpJson(detail)));
  }
  const std::string reason = TextOf(detail, "reason");
  return OneLine(StrCat("a person to allow ", TextOf(detail, "tool"), " with ",
                        TextOf(detail, "show"), " (rule ", TextOf(detail, "rule"),
                        reason.empty() ? "" : ": ", reason, ")"));
}

void PrintEnd(CommandContext& ctx, const nlohmann::json& run) {
  const std::string state = TextOf(run, "state");
  const std::string id = TextOf(run, "id");
  for (const nlohmann::json& pending : ArrayOf(run, "pending")) {
    const bool approval = TextOf(pending, "kind") != "decision";
    *ctx.out << "\n"
             << OneLine(TextOf(pending, "path")) << " waits for " << WaitsFor(pending)
             << "\n  meta-mcp workflow decide " << id
             << (approval ? " approve|deny" : " retry|edit|done|skip|rollback") << "\n";
  }
  const nlohmann::json& error = ObjectOf(run, "error");
  if (!error.empty()) *ctx.out << "\nerror: " << ErrorText(error) << "\n";
  if (state == "failed" || state == "cancelled") {
    *ctx.out << "  again from where it failed:  meta-mcp workflow retry " << id
             << "\n  or change the workflow, and run its new version\n";
  }
  if (state == "completed") {
    *ctx.out << "\n";
    if (const auto output = OutputOf(ctx, run); output.ok()) {
      ctx.PrintJson(json::DumpJson(*output));
    } else {
      *ctx.out << "the result has " << NumberOf(run, "outputBytes")
               << " bytes and cannot be read: " << OneLine(std::string(output.status().message()))
               << "\n";
    }
  }
  *ctx.out << "run " << id << " is " << state << "\n";
}

// Follows a run, with a line for each step that changes, until it ends or needs a person.
absl::Status Follow(CommandContext& ctx, const std::string& id) {
  std::map<std::string, std::string> shown;
  LiveView live(ctx);
  for (;;) {
    METAMCP_ASSIGN_OR_RETURN(const nlohmann::json run, GetRun(ctx, id));
    const std::string state = TextOf(run, "state");
    live.Show(run);
    if (!ctx.json() && !live.on()) {
      for (const nlohmann::json& step : ArrayOf(run, "steps")) {
        const std::string key = StrCat(TextOf(step, "path"), " ", NumberOf(step, "attempt"));
        const std::string now = TextOf(step, "state");
        if (now == "mark" || shown[key] == now) continue;
        shown[key] = now;
        PrintStep(ctx, step);
      }
      ctx.out->flush();
    }
    if (IsFinal(state) || WaitsForPerson(run)) {
      if (ctx.json()) {
        ctx.PrintJson(json::DumpJson(run));
      } else {
        PrintEnd(ctx, run);
      }
      if (IsFinal(state) && state != "completed") ctx.exit_code = kExitFailed;
      return absl::OkStatus();
    }
    std::this_thread::sleep_for(kPoll);
  }
}

// Stores the file first, when a file is named.
absl::StatusOr<nlohmann::json> Named(CommandContext& ctx, const RunOptions& o) {
  nlohmann::json workflow = {{"name", o.workflow}, {"version", o.version}, {"namespace", ""}};
  if (!IsFile(o.workflow)) return workflow;
  std::ifstream file(o.workflow, std::ios::binary);
  if (!file) return UsageError(StrCat("cannot read ", o.workflow));
  return StoreWorkflow(ctx, std::string(std::istreambuf_iterator<char>(file), {}));
}

absl::Status RunWorkflow(CommandContext& ctx, const RunOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string input, ReadArguments(ctx, o.input));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json workflow, Named(ctx, o));
  nlohmann::json body;
  body["version"] = TextOf(workflow, "version");
  body["namespace"] = TextOf(workflow, "namespace");
  METAMCP_ASSIGN_OR_RETURN(body["input"], json::ParseJson(input));
  const RestRequest request("POST", ApiPath({"workflows", TextOf(workflow, "name"), "runs"}),
                            json::DumpJson(body));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallJson(ctx, request));
  const std::string id = TextOf(ObjectOf(reply, "run"), "id");
  if (o.detach) {
    if (ctx.json()) {
      ctx.PrintJson(json::DumpJson(ObjectOf(reply, "run")));
    } else {
      *ctx.out << id << "\n";
    }
    return absl::OkStatus();
  }
  ctx.Say(StrCat("run ", id));
  return Follow(ctx, id);
}

absl::Status ListRuns(CommandContext& ctx, const RunOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"runs"}, {{"workflow", o.workflow},
                                                          {"state", o.state},
                                                          {"pageSize", StrCat(o.limit)}}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"RUN", "WORKFLOW", "VERSION", "STATE", "STARTED", "TOOK"});
  for (const nlohmann::json& run : ArrayOf(reply, "runs")) {
    const int64_t began = NumberOf(run, "createdUs");
    const int64_t ended = NumberOf(run, "endedUs");
    table.Row({TextOf(run, "id"), TextOf(run, "workflow"), TextOf(run, "version"),
               TextOf(run, "state"), TimeText(began),
               ended > 0 ? StrCat((ended - began) / 1000, " ms") : std::string()});
  }
  ctx.PrintTable(table, "No runs.");
  return absl::OkStatus();
}

absl::Status History(CommandContext& ctx, const RunOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json run, GetRun(ctx, o.id));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(run));
    return absl::OkStatus();
  }
  *ctx.out << OneLine(StrCat(TextOf(run, "workflow"), " ", TextOf(run, "version"), ", started ",
                             TimeText(NumberOf(run, "createdUs")), " by ",
                             TextOf(run, "startedBy")))
           << "\n";
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json explained,
      CallJson(ctx, RestRequest("GET", ApiPath({"runs", o.id, "explanation"}))));
  std::map<std::string, std::string> why;
  for (const nlohmann::json& step : ArrayOf(explained, "steps")) {
    why[TextOf(step, "path")] = TextOf(step, "why");
  }
  for (const nlohmann::json& step : ArrayOf(run, "steps")) {
    if (TextOf(step, "state") == "mark") continue;
    PrintStep(ctx, step);
    const auto it = why.find(TextOf(step, "path"));
    if (it != why.end() && !it->second.empty()) {
      *ctx.out << "      " << OneLine(it->second) << "\n";
      why.erase(it);
    }
  }
  PrintEnd(ctx, run);
  return absl::OkStatus();
}

absl::Status Post(CommandContext& ctx, const RunOptions& o, const std::string& verb,
                  const nlohmann::json& body, const std::string& said) {
  METAMCP_RETURN_IF_ERROR(
      ctx.rest()
          .Call(RestRequest("POST", ApiPath({"runs", o.id, verb}), json::DumpJson(body)))
          .status());
  ctx.Say(StrCat("run ", OneLine(o.id), " ", said));
  return absl::OkStatus();
}

absl::Status Decide(CommandContext& ctx, const RunOptions& o) {
  nlohmann::json body = {{"path", o.path}, {"action", o.action}, {"comment", o.comment}};
  if (!o.result.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string result, ReadArguments(ctx, o.result));
    METAMCP_ASSIGN_OR_RETURN(body["result"], json::ParseJson(result));
  }
  if (!o.arguments.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string arguments, ReadArguments(ctx, o.arguments));
    METAMCP_ASSIGN_OR_RETURN(body["arguments"], json::ParseJson(arguments));
  }
  return Post(ctx, o, "decide", body, "has its answer.");
}

}  // namespace

absl::StatusOr<nlohmann::json> StoreWorkflow(CommandContext& ctx, const std::string& source) {
  nlohmann::json body;
  body["source"] = source;
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"workflows"}), json::DumpJson(body))));
  return ObjectOf(reply, "workflow");
}

absl::Status RunStored(CommandContext& ctx, const nlohmann::json& workflow,
                       const nlohmann::json& input) {
  nlohmann::json body;
  body["version"] = TextOf(workflow, "version");
  body["namespace"] = TextOf(workflow, "namespace");
  body["input"] = input;
  const RestRequest request("POST", ApiPath({"workflows", TextOf(workflow, "name"), "runs"}),
                            json::DumpJson(body));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallJson(ctx, request));
  const std::string id = TextOf(ObjectOf(reply, "run"), "id");
  ctx.Say(StrCat("run ", id));
  return Follow(ctx, id);
}

void AddRunCommands(Command& group) {
  CommandContext& ctx = group.context();
  auto o = std::make_shared<RunOptions>();
  const nlohmann::json none = nlohmann::json::object();

  Command run = group.Sub("run", "Runs a workflow and shows its steps");
  run.Example("meta-mcp workflow run notes --input '{\"dir\": \"/tmp\"}'")
      .Example("meta-mcp workflow run notes.yaml --detach")
      .More(
          "A file is stored first. The run goes on when this command is interrupted: 'workflow "
          "watch RUN' follows it again.");
  run.Argument("WORKFLOW", &o->workflow, "a name, or a file (.yaml, .json)")
      .Option("--input", &o->input, "JSON, @FILE or - for standard input", "JSON")
      .Option("--version", &o->version, "instead of the newest", "VERSION")
      .Flag("--detach", &o->detach, "print the run's id and end");
  run.Run([&ctx, o] { return RunWorkflow(ctx, *o); });

  Command watch = group.Sub("watch", "Follows a run until it ends or needs a person");
  watch.Example("meta-mcp workflow watch 0193…");
  watch.Argument("RUN", &o->id, "id of the run");
  watch.Run([&ctx, o] { return Follow(ctx, o->id); });

  Command runs = group.Sub("runs", "Lists runs, the newest first");
  runs.Example("meta-mcp workflow runs --workflow notes --state failed");
  runs.Option("--workflow", &o->workflow, "only of this one", "NAME")
      .Option("--state", &o->state, "only in this state", "STATE")
      .Integer("--limit", &o->limit, 1, 500, "runs at most");
  runs.Run([&ctx, o] { return ListRuns(ctx, *o); });

  Command history = group.Sub("history", "Shows the steps of a run and what it waits for");
  history.Example("meta-mcp workflow history 0193…");
  history.Argument("RUN", &o->id, "id of the run");
  history.Run([&ctx, o] { return History(ctx, *o); });

  const auto simple = [&](const std::string& verb, const std::string& summary,
                          const std::string& said) {
    Command command = group.Sub(verb, summary);
    command.Example(StrCat("meta-mcp workflow ", verb, " 0193…"));
    command.Argument("RUN", &o->id, "id of the run");
    command.Run([&ctx, o, none, verb, said] { return Post(ctx, *o, verb, none, said); });
  };
  simple("pause", "Lets the steps in flight finish and begins no other", "pauses.");
  simple("resume", "Goes on after a pause", "goes on.");

  Command cancel = group.Sub("cancel", "Cancels the calls in flight and ends the run");
  cancel.Example("meta-mcp workflow cancel 0193… --rollback");
  cancel.Argument("RUN", &o->id, "id of the run")
      .Flag("--rollback", &o->rollback, "undo first what can be undone");
  cancel.Run([&ctx, o] {
    return Post(ctx, *o, "cancel", {{"rollback", o->rollback}}, "is being cancelled.");
  });

  Command decide = group.Sub("decide", "Answers what a run waits for");
  decide.Example("meta-mcp workflow decide 0193… approve")
      .Example("meta-mcp workflow decide 0193… done --result '{\"id\": 7}'");
  decide.Argument("RUN", &o->id, "id of the run")
      .ChoiceArgument("ACTION", &o->action,
                      {"approve", "deny", "retry", "edit", "done", "skip", "rollback"},
                      "of an approval approve or deny, of a decision the others")
      .Option("--path", &o->path, "which, where several wait", "PATH")
      .Option("--result", &o->result, "of done: the step's result", "JSON")
      .Option("--arguments", &o->arguments, "of edit: what the tool is given instead", "JSON")
      .Option("--comment", &o->comment, "kept with the answer", "TEXT");
  decide.Run([&ctx, o] { return Decide(ctx, *o); });
}

}  // namespace metamcp::cli
