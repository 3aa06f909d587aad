// Templates of workflows.

#include <fstream>
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

struct TemplateOptions {
  std::string name, values, file, task;
  std::vector<std::string> set;
};

absl::Status List(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"templates"}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"NAME", "TITLE"});
  for (const nlohmann::json& one : ArrayOf(reply, "templates")) {
    table.Row({TextOf(one, "name"), TextOf(one, "title")});
  }
  ctx.PrintTable(table, "No templates.");
  return absl::OkStatus();
}

absl::StatusOr<nlohmann::json> Get(CommandContext& ctx, const std::string& name) {
  METAMCP_ASSIGN_OR_RETURN(nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"templates", name}))));
  return ObjectOf(reply, "template");
}

std::string DefaultText(const nlohmann::json& parameter) {
  if (!parameter.contains("defaultValue")) return "needed";
  return json::DumpJson(parameter["defaultValue"]);
}

absl::Status Show(CommandContext& ctx, const TemplateOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json spec, Get(ctx, o.name));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(spec));
    return absl::OkStatus();
  }
  *ctx.out << OneLine(TextOf(spec, "title")) << "\n"
           << OneLine(TextOf(spec, "description")) << "\n\n";
  Table table({"PARAMETER", "DEFAULT", "SLOT", "WHAT"});
  for (const nlohmann::json& one : ArrayOf(spec, "parameters")) {
    table.Row({TextOf(one, "name"), DefaultText(one), BoolOf(one, "slot") ? "yes" : "",
               TextOf(one, "description")});
  }
  ctx.PrintTable(table, "It has no parameters.");
  if (spec.contains("body")) {
    *ctx.out << "\n";
    ctx.PrintJson(json::DumpJson(spec["body"]));
  }
  return absl::OkStatus();
}

// A value of --set: JSON where it is some, else text.
nlohmann::json ValueOf(const std::string& text) {
  auto parsed = json::ParseJson(text);
  return parsed.ok() ? *std::move(parsed) : nlohmann::json(text);
}

constexpr size_t kToolsMax = 20;

// Has a model fill the slots that have no value yet, from a task in words. Tools are proposed from
// what the catalog finds for the task; their descriptions are data to the model.
absl::Status FillSlots(CommandContext& ctx, const std::string& task, const nlohmann::json& spec,
                       nlohmann::json* values) {
  nlohmann::json schema = {{"type", "object"}, {"additionalProperties", false}};
  schema["properties"] = nlohmann::json::object();
  schema["required"] = nlohmann::json::array();
  nlohmann::json slots = nlohmann::json::object();
  for (const nlohmann::json& parameter : ArrayOf(spec, "parameters")) {
    const std::string name = TextOf(parameter, "name");
    if (!BoolOf(parameter, "slot") || values->contains(name)) continue;
    schema["properties"][name] =
        parameter.contains("schema") ? parameter["schema"] : nlohmann::json::object();
    schema["required"].push_back(name);
    slots[name] = TextOf(parameter, "description");
  }
  if (slots.empty()) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json found,
      CallJson(ctx, RestRequest("GET", ApiPath({"items:search"}, {{"query", task},
                                                                  {"kind", "ITEM_KIND_TOOL"},
                                                                  {"limit", StrCat(kToolsMax)}}))));
  nlohmann::json tools = nlohmann::json::array();
  for (const nlohmann::json& item : ArrayOf(found, "items")) {
    tools.push_back({{"name", TextOf(item, "qualifiedName")},
                     {"description", TextOf(item, "description")},
                     {"inputSchema", ObjectOf(ObjectOf(item, "definition"), "inputSchema")}});
  }
  nlohmann::json body;
  body["prompt"] =
      "Fill the named slots of the workflow template for the task. Use only tools of the list, by "
      "their names.";
  body["input"] = {{"task", task},
                   {"template", TextOf(spec, "description")},
                   {"slots", slots},
                   {"workflow", ObjectOf(spec, "body")},
                   {"tools", tools}};
  body["schema"] = schema;
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"ai", "fill"}), json::DumpJson(body))));
  for (const auto& [name, value] : ObjectOf(reply, "value").items()) {
    if (slots.contains(name)) (*values)[name] = value;
  }
  return absl::OkStatus();
}

// What the options give; then a model fills slots, where a task is given and a model is there; what
// is left is asked for on a terminal.
absl::StatusOr<nlohmann::json> ReadValues(CommandContext& ctx, const TemplateOptions& o,
                                          const nlohmann::json& spec) {
  METAMCP_ASSIGN_OR_RETURN(const std::string given, ReadArguments(ctx, o.values));
  METAMCP_ASSIGN_OR_RETURN(nlohmann::json values, json::ParseJson(given));
  for (const std::string& one : o.set) {
    const size_t equals = one.find('=');
    if (equals == std::string::npos) return UsageError(StrCat("--set ", one, " has no '='"));
    values[one.substr(0, equals)] = ValueOf(one.substr(equals + 1));
  }
  if (!o.task.empty()) {
    const absl::Status filled = FillSlots(ctx, o.task, spec, &values);
    // Nothing waits for a model: people fill what it does not.
    if (!filled.ok()) {
      ctx.Note(StrCat("no model fills the slots: ", OneLine(std::string(filled.message()))));
    }
  }
  for (const nlohmann::json& parameter : ArrayOf(spec, "parameters")) {
    const std::string name = TextOf(parameter, "name");
    if (values.contains(name) || parameter.contains("defaultValue") || !ctx.interactive()) continue;
    const std::string answer =
        ctx.Ask(StrCat(name, " (", OneLine(TextOf(parameter, "description")), ")"), "");
    if (!answer.empty()) values[name] = ValueOf(answer);
  }
  return values;
}

absl::Status New(CommandContext& ctx, const TemplateOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json spec, Get(ctx, o.name));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json values, ReadValues(ctx, o, spec));
  nlohmann::json body;
  body["values"] = values;
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("POST", ApiPath({"templates", o.name, "fill"}),
                                                     json::DumpJson(body))));
  const nlohmann::json& source = ObjectOf(reply, "source");
  if (o.file.empty()) {
    ctx.PrintJson(json::DumpJson(source));
    return absl::OkStatus();
  }
  std::ofstream file(o.file, std::ios::binary);
  file << source.dump(2) << "\n";
  if (!file.flush()) return Fail("ARGUMENT_INVALID", StrCat("cannot write ", o.file));
  ctx.Say(StrCat(OneLine(o.file), " is written; 'meta-mcp workflow validate ", OneLine(o.file),
                 "' checks it, 'meta-mcp workflow run ", OneLine(o.file), "' runs it."));
  return absl::OkStatus();
}

}  // namespace

void AddWorkflowTemplateCommands(Command& workflow) {
  Command group = workflow.Sub("template", "Workflows to start from");
  group.Example("meta-mcp workflow template list");
  CommandContext& ctx = group.context();
  auto o = std::make_shared<TemplateOptions>();

  Command list = group.Sub("list", "Lists the templates");
  list.Example("meta-mcp workflow template list");
  list.Run([&ctx] { return List(ctx); });

  Command show = group.Sub("show", "Shows a template and its parameters");
  show.Example("meta-mcp workflow template show for-each");
  show.Argument("NAME", &o->name, "the template");
  show.Run([&ctx, o] { return Show(ctx, *o); });

  Command make = group.Sub("new", "Makes a workflow from a template; nothing is stored");
  make.Example(
          "meta-mcp workflow template new for-each --set tool=filesystem.read_text_file --set "
          "'arguments={\"path\": \"${item}\"}' --file each.json")
      .Example("meta-mcp workflow template new for-each --task 'read every file of a list'")
      .More(
          "With --task a model fills the slots that are not given, where the ai service has one. "
          "Parameters that are needed and still have no value are asked for on a terminal.");
  make.Argument("NAME", &o->name, "the template")
      .List("--set", &o->set, "a parameter; JSON, or text", "NAME=VALUE")
      .Option("--values", &o->values, "all parameters: JSON, @FILE or -", "JSON")
      .Option("--task", &o->task, "what is to be done, in words", "TEXT")
      .Option("--file", &o->file, "written instead of printed", "FILE");
  make.Run([&ctx, o] { return New(ctx, *o); });
}

}  // namespace metamcp::cli
