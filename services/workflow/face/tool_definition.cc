#include "services/workflow/face/tool_definition.h"

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::workflow {
namespace {

struct Walk {
  const HintsByName& known;
  Hints all;
  int approvals = 0;

  void Add(const Hints& one) {
    all.read_only = all.read_only && one.read_only;
    all.destructive = all.destructive || (!one.read_only && one.destructive);
    all.says_destructive = all.says_destructive || one.says_destructive;
    all.idempotent = all.idempotent && (one.read_only || one.idempotent);
    all.open_world = all.open_world || one.open_world;
  }
  void AddNamed(const std::string& name) {
    const auto it = known.find(name);
    Add(it == known.end() ? Hints() : it->second);
  }
  void AddHttp(const std::string& method) {
    Hints one;
    one.read_only = method == "GET" || method == "HEAD" || method == "OPTIONS";
    one.idempotent = one.read_only || method == "PUT" || method == "DELETE";
    one.says_destructive = method == "DELETE";
    Add(one);
  }
  void Visit(const std::vector<Task>& tasks) {
    for (const Task& task : tasks) {
      if (task.kind == TaskKind::kTool) AddNamed(task.tool);
      if (task.kind == TaskKind::kHttp) AddHttp(task.http->method);
      if (task.kind == TaskKind::kRun) AddNamed(ChildKey(task.child_namespace, task.child_name));
      if (task.kind == TaskKind::kApproval) ++approvals;
      if (task.kind == TaskKind::kEmit) {
        // Others may listen: an event is an addition, made each time anew.
        Hints one;
        one.destructive = false;
        one.open_world = false;
        Add(one);
      }
      Visit(task.tasks);
      Visit(task.handler);
      Visit(task.compensate);
    }
  }
};

Walk WalkOf(const Definition& definition, const HintsByName& known) {
  Walk walk{known, Hints(), 0};
  walk.all.read_only = walk.all.idempotent = true;
  walk.all.destructive = walk.all.open_world = false;
  walk.Visit(definition.tasks);
  return walk;
}

bool IsObjectSchema(const std::string& schema) {
  const auto view = json::ScanObject(schema);
  return view.ok() && view->String("type") == "object";
}

std::string Description(const Definition& definition, int approvals) {
  std::string text = definition.summary.empty() ? StrCat("Runs the workflow ", definition.name, ".")
                                                : definition.summary;
  if (approvals > 0) text += "\nA person has to approve it while it runs.";
  return text;
}

}  // namespace

Hints HintsOf(std::string_view definition) {
  Hints out;
  const auto view = json::ScanObject(definition);
  if (!view.ok()) return out;
  const auto hints = json::ScanObject(view->Raw("annotations"));
  if (!hints.ok()) return out;
  out.read_only = hints->Raw("readOnlyHint") == "true";
  out.destructive = hints->Raw("destructiveHint") != "false";
  out.says_destructive = !out.read_only && hints->Raw("destructiveHint") == "true";
  out.idempotent = hints->Raw("idempotentHint") == "true";
  out.open_world = hints->Raw("openWorldHint") != "false";
  return out;
}

std::string ChildKey(std::string_view name_space, std::string_view name) {
  return StrCat("workflow:", name_space, "/", name);
}

Hints DeriveHints(const Definition& definition, const HintsByName& known) {
  return WalkOf(definition, known).all;
}

std::string ToolName(std::string_view name_space, std::string_view name) {
  return name_space == "default" || name_space.empty() ? std::string(name)
                                                       : StrCat(name_space, ".", name);
}

absl::Status CheckPublishable(const Definition& definition) {
  if (definition.input_schema.empty() || IsObjectSchema(definition.input_schema)) {
    return absl::OkStatus();
  }
  return MakeError("ARGUMENT_INVALID", "workflow",
                   "a tool's input is an object: the schema of the workflow's input needs "
                   "\"type\": \"object\"");
}

std::string OutputSchemaOf(std::string_view document) {
  auto inner = json::ScanObject(document);
  for (const char* member : {"output", "schema"}) {
    if (!inner.ok()) return "";
    inner = json::ScanObject(inner->Raw(member));
  }
  return inner.ok() ? std::string(inner->Raw("document")) : std::string();
}

std::string ToolDefinition(const Definition& definition, const HintsByName& known,
                           const Sharing& sharing) {
  const Walk walk = WalkOf(definition, known);
  json::ObjectWriter annotations;
  annotations.AddBool("readOnlyHint", walk.all.read_only);
  if (!walk.all.destructive || walk.all.says_destructive) {
    annotations.AddBool("destructiveHint", walk.all.destructive);
  }
  annotations.AddBool("idempotentHint", walk.all.idempotent);
  annotations.AddBool("openWorldHint", walk.all.open_world);
  json::ObjectWriter origin;
  origin.AddString("namespace", definition.name_space);
  origin.AddString("name", definition.name);
  origin.AddString("version", definition.version);
  origin.AddString("digest", definition.digest);
  json::ObjectWriter meta;
  meta.Add("meta-mcp/workflow", std::move(origin).Build());
  if (sharing.visibility == "private" || (sharing.visibility == "team" && !sharing.team.empty())) {
    json::ObjectWriter shared;
    shared.AddString("owner", sharing.owner);
    shared.AddString("team", sharing.team);
    shared.AddString("visibility", sharing.visibility);
    meta.Add("meta-mcp/sharing", std::move(shared).Build());
  }
  json::ObjectWriter out;
  out.AddString("name", ToolName(definition.name_space, definition.name));
  out.AddString("title", definition.title.empty() ? definition.name : definition.title);
  out.AddString("description", Description(definition, walk.approvals));
  out.Add("inputSchema", definition.input_schema.empty() ? std::string(R"({"type":"object"})")
                                                         : definition.input_schema);
  if (const std::string schema = OutputSchemaOf(definition.document); !schema.empty()) {
    out.Add("outputSchema", schema);
  }
  out.Add("annotations", std::move(annotations).Build());
  out.Add("_meta", std::move(meta).Build());
  return std::move(out).Build();
}

}  // namespace metamcp::workflow
