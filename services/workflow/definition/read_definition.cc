#include <algorithm>

#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/schema.h"
#include "common/json/yaml.h"
#include "services/workflow/definition/reader.h"

namespace metamcp::workflow {
namespace {

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

bool IsVersion(const std::string& text) {
  int dots = 0;
  for (const char c : text) {
    const bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      c == '-' || c == '+';
    if (c == '.') ++dots;
    if (!word && c != '.') return false;
  }
  return dots >= 2 && text.size() <= 64 && text[0] >= '0' && text[0] <= '9';
}

void ReadHead(const Json& document, Reader* reader, Definition* out) {
  const Json* head = reader->Object(document, "document", "");
  if (head == nullptr) {
    if (!document.contains("document")) reader->Note("/document", "is missing");
    return;
  }
  const std::string path = "/document";
  const std::string dsl = reader->Text(*head, "dsl", path);
  if (!dsl.starts_with("1.0.")) {
    reader->Note("/document/dsl", StrCat("is \"", dsl, "\"; 1.0.x is supported"));
  }
  out->name_space = reader->Text(*head, "namespace", path);
  out->name = reader->Text(*head, "name", path);
  out->version = reader->Text(*head, "version", path);
  out->title = reader->Text(*head, "title", path);
  out->summary = reader->Text(*head, "summary", path);
  if (!IsName(out->name_space))
    reader->Note("/document/namespace", "must be a-z, 0-9 and -, at most 63");
  if (!IsName(out->name)) reader->Note("/document/name", "must be a-z, 0-9 and -, at most 63");
  if (!IsVersion(out->version))
    reader->Note("/document/version", "must be a version such as 1.0.0");
}

void ReadUse(const Json& document, Reader* reader) {
  const Json* use = reader->Object(document, "use", "");
  if (use == nullptr) return;
  reader->use = use;
  for (auto it = use->begin(); it != use->end(); ++it) {
    const std::string& key = it.key();
    const bool known =
        key == "errors" || key == "retries" || key == "timeouts" || key == "authentications";
    if (!known) reader->Note(Join("/use", key), "is not supported");
  }
}

void ReadData(const Json& document, Reader* reader, Definition* out) {
  if (const Json* input = reader->Object(document, "input", "")) {
    reader->Only(*input, {"schema", "from"}, "/input");
    if (input->contains("from")) out->input_from = CompileFilter((*input)["from"]);
    if (const Json* schema = reader->Object(*input, "schema", "/input")) {
      if (schema->contains("resource")) {
        reader->Note("/input/schema/resource", "schemas elsewhere are not fetched");
      } else if (schema->contains("document")) {
        out->input_schema = json::DumpJson((*schema)["document"]);
        const auto compiled = json::CompileSchema(out->input_schema);
        if (!compiled.ok()) reader->Note("/input/schema/document", Sv(compiled.status().message()));
      }
    }
  }
  if (const Json* output = reader->Object(document, "output", "")) {
    reader->Only(*output, {"schema", "as"}, "/output");
    if (output->contains("as")) out->output_as = CompileFilter((*output)["as"]);
  }
  if (const Json* timeout = reader->Object(document, "timeout", "")) {
    if (timeout->contains("after"))
      out->timeout = reader->Duration((*timeout)["after"], "/timeout/after");
  }
}

void Index(const std::vector<Task>& tasks, Definition* out) {
  for (const Task& task : tasks) {
    out->by_path[task.path] = &task;
    if (!task.tool.empty() &&
        std::find(out->tools.begin(), out->tools.end(), task.tool) == out->tools.end()) {
      out->tools.push_back(task.tool);
    }
    Index(task.tasks, out);
    Index(task.handler, out);
    Index(task.compensate, out);
  }
}

void Collect(const std::vector<Task>& tasks, std::vector<PlacedExpression>* out) {
  for (const Task& task : tasks) {
    const auto add = [&](std::string_view part, const Template& one) {
      if (!one.constant) out->push_back({Join(task.path, part), &one});
    };
    const auto maybe = [&](std::string_view part, const std::optional<Template>& one) {
      if (one) add(part, *one);
    };
    maybe("if", task.condition);
    maybe("input", task.input_from);
    maybe("output", task.output_as);
    maybe("export", task.export_as);
    maybe("while", task.while_true);
    maybe("catch", task.catch_when);
    maybe("catch", task.catch_except_when);
    add("with", task.value);
    add("for", task.in);
    for (const SwitchCase& one : task.cases) maybe("switch", one.when);
    if (task.retry) {
      maybe("catch", task.retry->when);
      maybe("catch", task.retry->except_when);
    }
    if (task.http) {
      add("with", task.http->uri);
      add("with", task.http->headers);
      add("with", task.http->query);
      maybe("with", task.http->body);
    }
    Collect(task.tasks, out);
    Collect(task.handler, out);
    Collect(task.compensate, out);
  }
}

}  // namespace

std::string_view TaskKindName(TaskKind kind) {
  constexpr std::string_view kNames[] = {"tool", "http",   "approval", "do",    "for",
                                         "fork", "switch", "try",      "raise", "set",
                                         "wait", "listen", "emit",     "run"};
  return kNames[static_cast<size_t>(kind)];
}

std::vector<PlacedExpression> ExpressionsOf(const Definition& definition) {
  std::vector<PlacedExpression> out;
  if (definition.input_from && !definition.input_from->constant)
    out.push_back({"/input/from", &*definition.input_from});
  if (definition.output_as && !definition.output_as->constant)
    out.push_back({"/output/as", &*definition.output_as});
  if (definition.schedule) {
    for (const EventFilter& filter : definition.schedule->events) {
      for (const auto& [attribute, value] : filter.with) {
        if (!value.constant) out.push_back({"/schedule/on", &value});
      }
    }
  }
  Collect(definition.tasks, &out);
  return out;
}

std::unique_ptr<Definition> ReadDefinition(std::string_view source, const Limits& limits,
                                           std::vector<Problem>* problems) {
  const size_t before = problems->size();
  Reader reader(limits, problems);
  if (source.size() > limits.document_bytes_max) {
    reader.Note("", StrCat("the document is larger than ", limits.document_bytes_max, " bytes"));
    return nullptr;
  }
  // A task takes three levels of the document, or four.
  auto parsed = json::ParseJsonOrYaml(source, 4 * limits.depth_max + 16);
  if (!parsed.ok()) {
    reader.Note("", Sv(parsed.status().message()));
    return nullptr;
  }
  if (!parsed->is_object()) {
    reader.Note("", "must be an object");
    return nullptr;
  }
  Json document = *std::move(parsed);
  if (IsFlat(document)) {
    Json compiled = CompileFlat(document, &reader);
    if (problems->size() > before) return nullptr;
    document = std::move(compiled);
  }
  auto out = std::make_unique<Definition>();
  for (auto it = document.begin(); it != document.end(); ++it) {
    if (it.key() == "evaluate") {
      if (!it->is_object() || (it->contains("language") && (*it)["language"] != "jq"))
        reader.Note("/evaluate/language", "only jq is supported");
    } else {
      const auto known = {"document", "input",   "use",      "do",
                          "output",   "timeout", "metadata", "schedule"};
      if (std::find(known.begin(), known.end(), it.key()) == known.end()) {
        reader.Note(Join("", it.key()), "is not known here");
      }
    }
  }
  ReadHead(document, &reader, out.get());
  ReadUse(document, &reader);
  ReadData(document, &reader, out.get());
  reader.Schedule(document, out.get());
  if (document.contains("do")) {
    out->tasks = reader.TaskList(document["do"], "/do", 1);
  } else {
    reader.Note("/do", "is missing");
  }
  Index(out->tasks, out.get());
  out->document = json::DumpJson(document);
  out->digest = Sha256Hex(out->document);
  if (problems->size() > before) return nullptr;
  return out;
}

}  // namespace metamcp::workflow
