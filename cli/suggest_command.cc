// A task in plain words to a workflow: preview, then run or save.

#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/call.h"
#include "cli/commands.h"
#include "cli/rest_json.h"
#include "cli/workflow_calls.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct SuggestOptions {
  std::string task, save, input, server, subject;
  std::vector<std::string> refine, choose;
  int64_t days = 0, occurrences = 0, pick = 0;
  bool run = false;
  bool yes = false;
  bool without_model = false;
  bool history = false;
};

absl::StatusOr<nlohmann::json> Ask(CommandContext& ctx, const SuggestOptions& o) {
  nlohmann::json body;
  body["task"] = o.task;
  body["refinements"] = o.refine;
  body["name"] = o.save;
  if (!o.server.empty()) body["virtualServer"] = o.server;
  body["withoutModel"] = o.without_model;
  body["choices"] = nlohmann::json::object();
  for (const std::string& choice : o.choose) {
    const size_t equals = choice.find('=');
    if (equals == std::string::npos) {
      return UsageError(StrCat("--choose ", choice), "Write STEP=TOOL, as in read=git.git_log.");
    }
    body["choices"][choice.substr(0, equals)] = choice.substr(equals + 1);
  }
  return CallJson(ctx, RestRequest("POST", ApiPath({"suggestions"}), json::DumpJson(body)));
}

std::string Percent(const nlohmann::json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number()) return "";
  return StrCat(static_cast<int>(it->get<double>() * 100 + 0.5), " %");
}

// As clients of the virtual server see it, where one was named.
std::string ToolOf(const SuggestOptions& o, const nlohmann::json& one) {
  const std::string exposed = TextOf(one, "exposed");
  return OneLine(o.server.empty() || exposed.empty() ? TextOf(one, "tool") : exposed);
}

std::string Tools(const SuggestOptions& o, const nlohmann::json& list) {
  std::string out;
  for (const nlohmann::json& one : list) out += StrCat(out.empty() ? "" : ", ", ToolOf(o, one));
  return out;
}

void PrintSteps(CommandContext& ctx, const SuggestOptions& o, const nlohmann::json& reply) {
  Table table({"STEP", "TOOL", "EFFECT", "SURE", "FOR"});
  for (const nlohmann::json& step : ArrayOf(reply, "steps")) {
    const std::string tool = ToolOf(o, step);
    table.Row({TextOf(step, "id"), tool.empty() ? "(a model)" : tool, TextOf(step, "effect"),
               Percent(step, "confidence"), Shorten(OneLine(TextOf(step, "title")), 60)});
  }
  ctx.PrintTable(table, "");
  for (const nlohmann::json& step : ArrayOf(reply, "steps")) {
    *ctx.out << "\n" << OneLine(TextOf(step, "id"));
    const std::string each = TextOf(step, "forEach");
    if (!each.empty()) *ctx.out << ", for each of " << Shorten(OneLine(each), 80);
    *ctx.out << "\n";
    const nlohmann::json& arguments = ObjectOf(step, "arguments");
    for (auto it = arguments.begin(); it != arguments.end(); ++it) {
      const std::string text = it->is_string() ? it->get<std::string>() : json::DumpJson(*it);
      *ctx.out << "  " << OneLine(it.key()) << ": " << Shorten(OneLine(text), 100) << "\n";
    }
    const std::string others = Tools(o, ArrayOf(step, "alternatives"));
    if (!others.empty()) *ctx.out << "  or: " << others << "\n";
  }
}

// What happens when it runs, as the tools say of themselves.
void PrintEffects(CommandContext& ctx, const SuggestOptions& o, const nlohmann::json& reply) {
  std::string changes;
  for (const nlohmann::json& step : ArrayOf(reply, "steps")) {
    const std::string effect = TextOf(step, "effect");
    if (effect == "reads" || effect == "model") continue;
    changes += StrCat(changes.empty() ? "" : ", ", ToolOf(o, step), " (", OneLine(effect), ")");
  }
  *ctx.out << "\n"
           << (changes.empty() ? std::string("It changes nothing: every tool only reads.")
                               : StrCat("A run will change something by: ", changes, "."))
           << "\n";
}

void PrintOpen(CommandContext& ctx, const SuggestOptions& o, const nlohmann::json& reply) {
  const nlohmann::json& inputs =
      ObjectOf(ObjectOf(ObjectOf(reply, "workflow"), "input"), "properties");
  for (auto it = inputs.begin(); it != inputs.end(); ++it) {
    *ctx.out << "It asks for " << OneLine(it.key());
    const std::string text = TextOf(*it, "description");
    if (!text.empty()) *ctx.out << ": " << Shorten(OneLine(text), 100);
    *ctx.out << "\n";
  }
  for (const nlohmann::json& note : ArrayOf(reply, "notes")) {
    if (note.is_string()) *ctx.out << "Note: " << OneLine(note.get<std::string>()) << "\n";
  }
  for (const nlohmann::json& gap : ArrayOf(reply, "gaps")) {
    *ctx.out << "Question: " << OneLine(TextOf(gap, "question")) << "\n";
    const std::string nearest = Tools(o, ArrayOf(gap, "nearest"));
    if (!nearest.empty()) {
      *ctx.out << "  nearest: " << nearest << "  (--choose " << OneLine(TextOf(gap, "id"))
               << "=TOOL)\n";
    }
  }
  for (const nlohmann::json& problem : ArrayOf(reply, "problems")) {
    *ctx.out << "Problem: " << OneLine(TextOf(problem, "path")) << ": "
             << OneLine(TextOf(problem, "message")) << "\n";
  }
}

void Preview(CommandContext& ctx, const SuggestOptions& o, const nlohmann::json& reply) {
  if (ArrayOf(reply, "steps").empty()) {
    *ctx.out << "No tool was found for this task.\n";
    PrintOpen(ctx, o, reply);
    return;
  }
  const std::string made_by = TextOf(reply, "madeBy");
  *ctx.out << "Sure: " << OneLine(TextOf(reply, "sure")) << " (" << Percent(reply, "confidence")
           << "), made "
           << (made_by == "model"     ? StrCat("by ", OneLine(TextOf(reply, "model")))
               : made_by == "history" ? std::string("from what was called")
                                      : std::string("without a model"))
           << " in " << NumberOf(reply, "tookMs") << " ms\n\n";
  PrintSteps(ctx, o, reply);
  PrintEffects(ctx, o, reply);
  PrintOpen(ctx, o, reply);
}

// Values that the workflow asks for: from --input, else from the terminal.
absl::StatusOr<nlohmann::json> Inputs(CommandContext& ctx, const SuggestOptions& o,
                                      const nlohmann::json& workflow) {
  METAMCP_ASSIGN_OR_RETURN(const std::string given, ReadArguments(ctx, o.input));
  METAMCP_ASSIGN_OR_RETURN(nlohmann::json input, json::ParseJson(given));
  const nlohmann::json& properties = ObjectOf(ObjectOf(workflow, "input"), "properties");
  for (auto it = properties.begin(); it != properties.end(); ++it) {
    if (input.contains(it.key()) || !ctx.interactive()) continue;
    const std::string type = TextOf(*it, "type");
    const bool list = type == "array";
    const std::string answer =
        ctx.Ask(StrCat(OneLine(it.key()), list ? " (several by commas)" : "", ": "), "");
    if (list) {
      input[it.key()] = nlohmann::json::array();
      for (size_t begin = 0; begin <= answer.size();) {
        const size_t end = std::min(answer.find(',', begin), answer.size());
        std::string part = answer.substr(begin, end - begin);
        while (part.starts_with(" ")) part.erase(0, 1);
        if (!part.empty()) input[it.key()].push_back(part);
        begin = end + 1;
      }
    } else if (type == "string" || type.empty()) {
      input[it.key()] = answer;
    } else {
      METAMCP_ASSIGN_OR_RETURN(input[it.key()], json::ParseJson(answer));
    }
  }
  return input;
}

bool Changes(const nlohmann::json& reply) {
  for (const nlohmann::json& step : ArrayOf(reply, "steps")) {
    const std::string effect = TextOf(step, "effect");
    if (effect != "reads" && effect != "model") return true;
  }
  return false;
}

// Tells the gateway what became of the proposal; that it cannot be told is no failure.
void Tell(CommandContext& ctx, const nlohmann::json& reply, std::string_view kind) {
  nlohmann::json body;
  body["kind"] = std::string(kind);
  const std::string path = ApiPath({"suggestions", TextOf(reply, "id"), "feedback"});
  (void)ctx.rest().Call(RestRequest("POST", path, json::DumpJson(body)));
}

std::string_view Kind(const SuggestOptions& o) {
  return o.refine.empty() && o.choose.empty() ? "accepted" : "edited";
}

absl::Status Run(CommandContext& ctx, const SuggestOptions& o, const nlohmann::json& reply) {
  if (Changes(reply) && !o.yes) {
    if (!ctx.interactive()) {
      return UsageError("this workflow changes something", "Look at it, and add --yes to run it.");
    }
    if (!ctx.Confirm("Run it?", false)) return absl::OkStatus();
  }
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json input, Inputs(ctx, o, ObjectOf(reply, "workflow")));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json stored,
                           StoreWorkflow(ctx, json::DumpJson(ObjectOf(reply, "workflow"))));
  Tell(ctx, reply, Kind(o));
  const absl::Status ran = RunStored(ctx, stored, input);
  if (!ran.ok() || ctx.exit_code != kExitDone) Tell(ctx, reply, "failed");
  return ran;
}

// Saves or runs what was shown, as was asked for.
absl::Status Use(CommandContext& ctx, const SuggestOptions& o, const nlohmann::json& reply) {
  if (!BoolOf(reply, "valid")) {
    ctx.exit_code = kExitFailed;
    return absl::OkStatus();
  }
  if (o.run) return Run(ctx, o, reply);
  if (o.save.empty()) {
    ctx.Say(
        "\nNothing has happened. --run runs it, --save NAME stores it, --refine TEXT changes it.");
    return absl::OkStatus();
  }
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json stored,
                           StoreWorkflow(ctx, json::DumpJson(ObjectOf(reply, "workflow"))));
  Tell(ctx, reply, Kind(o));
  ctx.Say(StrCat(OneLine(TextOf(stored, "name")), " ", OneLine(TextOf(stored, "version")),
                 " is stored; 'meta-mcp workflow run ", OneLine(TextOf(stored, "name")),
                 "' runs it."));
  return absl::OkStatus();
}

void PrintChains(CommandContext& ctx, const nlohmann::json& reply) {
  Table table({"N", "TIMES", "LAST", "TOOLS"});
  int64_t number = 0;
  for (const nlohmann::json& chain : ArrayOf(reply, "chains")) {
    table.Row({StrCat(++number), StrCat(NumberOf(chain, "occurrences")),
               TimeText(NumberOf(chain, "lastUs")), OneLine(JoinedOf(chain, "tools"))});
  }
  ctx.PrintTable(table, StrCat("Nothing was done several times in the same order, of ",
                               NumberOf(reply, "calls"), " calls."));
  if (number > 0) {
    ctx.Say("\n--pick N shows one; with --save NAME or --run it is stored or run.");
  }
}

absl::Status FromHistory(CommandContext& ctx, SuggestOptions o) {
  nlohmann::json body = nlohmann::json::object();
  if (!o.subject.empty()) body["subject"] = o.subject;
  if (o.days > 0) body["days"] = o.days;
  if (o.occurrences > 0) body["occurrences"] = o.occurrences;
  const RestRequest request("POST", ApiPath({"suggestions:history"}), json::DumpJson(body));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallJson(ctx, request));
  if (o.pick == 0) {
    if (o.run || !o.save.empty()) return UsageError("Which one? Add --pick N.");
    if (ctx.json()) {
      ctx.PrintJson(json::DumpJson(reply));
    } else {
      PrintChains(ctx, reply);
    }
    return absl::OkStatus();
  }
  const nlohmann::json& chains = ArrayOf(reply, "chains");
  if (o.pick > static_cast<int64_t>(chains.size())) {
    return UsageError(StrCat("--pick ", o.pick), StrCat("There are ", chains.size(), "."));
  }
  nlohmann::json chosen = ObjectOf(chains[static_cast<size_t>(o.pick - 1)], "suggestion");
  if (!o.save.empty() && chosen.contains("workflow")) chosen["workflow"]["name"] = o.save;
  if (!ctx.json()) Preview(ctx, o, chosen);
  if (ctx.json() && !o.run) ctx.PrintJson(json::DumpJson(chosen));
  return Use(ctx, o, chosen);
}

absl::Status Suggest(CommandContext& ctx, SuggestOptions o) {
  if (o.history != o.task.empty()) {
    return UsageError("say what is to be done, or --from-history",
                      "As in meta-mcp suggest \"read notes.txt and count its words\".");
  }
  if (o.history) return FromHistory(ctx, std::move(o));
  METAMCP_ASSIGN_OR_RETURN(nlohmann::json reply, Ask(ctx, o));
  // On a terminal the proposal is talked over until it is run, saved or left.
  for (;;) {
    if (!ctx.json()) Preview(ctx, o, reply);
    if (o.run || !o.save.empty() || !ctx.interactive() || ctx.json()) break;
    const std::string answer =
        ctx.Ask("\nRun it (r), save it (s), change it (say what), or leave it (enter): ", "");
    if (answer.empty()) return absl::OkStatus();
    if (answer == "r") {
      o.run = o.yes = true;
    } else if (answer == "s") {
      o.save = ctx.Ask("Name: ", TextOf(ObjectOf(reply, "workflow"), "name"));
    } else {
      o.refine.push_back(answer);
    }
    METAMCP_ASSIGN_OR_RETURN(reply, Ask(ctx, o));
    if (o.run || !o.save.empty()) break;
  }
  if (ctx.json() && !o.run) ctx.PrintJson(json::DumpJson(reply));
  return Use(ctx, o, reply);
}

}  // namespace

void AddSuggestCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<SuggestOptions>();
  Command suggest = root.Sub("suggest", "Proposes a workflow for a task in plain words");
  suggest.Example("meta-mcp suggest \"read notes.txt and count its words\"")
      .Example("meta-mcp suggest \"list the open tasks\" --save tasks")
      .Example(
          "meta-mcp suggest \"summarize a.txt and b.txt\" --refine \"store it in memory\" --run")
      .More(
          "Shows which tools it would call with what, what would change, and what it does not "
          "know. "
          "Nothing happens before --run. A value that the task does not name becomes an input of "
          "the workflow.")
      .Example("meta-mcp suggest \"list the open tasks\" --server readers")
      .Example("meta-mcp suggest --from-history --pick 1 --save weekly");
  suggest.OptionalArgument("TASK", &o->task, "what is to be done")
      .Option("--server", &o->server, "over the tools of this virtual server", "NAME")
      .Flag("--from-history", &o->history,
            "instead of a task: what was called several times in the same order (ai.history)")
      .Option("--subject", &o->subject, "with --from-history: whose calls (default your own)",
              "NAME")
      .Integer("--days", &o->days, 1, 90, "with --from-history: days back (default 14)")
      .Integer("--occurrences", &o->occurrences, 2, 1000,
               "with --from-history: how often at least (default 3)")
      .Integer("--pick", &o->pick, 1, 10, "with --from-history: which one")
      .List("--refine", &o->refine, "what to change: 'without …', 'use TOOL for …', or more to do")
      .List("--choose", &o->choose, "the tool of one step", "STEP=TOOL")
      .Option("--save", &o->save, "store it under this name", "NAME")
      .Flag("--without-model", &o->without_model, "ask no model, even where one is configured")
      .Flag("--run", &o->run, "store it, run it and follow it")
      .Option("--input", &o->input, "of the run: JSON, @FILE or -", "JSON")
      .Flag("--yes", &o->yes, "run it without asking, whatever it changes");
  suggest.Run([&ctx, o] { return Suggest(ctx, *o); });
}

}  // namespace metamcp::cli
