// The flat form: steps with what they depend on, compiled to an Open Workflow document in which
// independent steps are branches of forks.

#include <algorithm>
#include <functional>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "services/workflow/definition/reader.h"

namespace metamcp::workflow {
namespace {

// What a step's result is to later ones: the structured content of the tool's answer, else its
// single text (as JSON where it is JSON), else its texts.
constexpr std::string_view kResult =
    "if .structuredContent != null then .structuredContent else "
    "([.content[]? | select(.type == \"text\") | .text] | if length == 1 then "
    "(.[0] as $t | (try ($t | fromjson) catch $t)) else . end) end";

bool IsIdStart(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsIdPart(char c) { return IsIdStart(c) || absl::ascii_isdigit(static_cast<unsigned char>(c)); }

bool IsId(std::string_view text) {
  return !text.empty() && IsIdStart(text[0]) && std::all_of(text.begin(), text.end(), IsIdPart);
}

std::string Expression(std::string_view jq) { return StrCat("${ ", jq, " }"); }

struct Step {
  std::string id;
  std::string path;
  const Json* value = nullptr;
  std::set<std::string> needs;
};

class FlatCompiler {
 public:
  explicit FlatCompiler(Reader* reader) : reader_(reader) {}

  Json Compile(const Json& flat) {
    reader_->Only(flat,
                  {"name", "version", "namespace", "title", "summary", "input", "steps", "output",
                   "timeout", "schedule"},
                  "");
    ReadSteps(flat);
    Json document = Json::object();
    document["document"]["dsl"] = "1.0.3";
    document["document"]["namespace"] =
        flat.contains("namespace") ? flat["namespace"] : Json("default");
    document["document"]["name"] = flat.contains("name") ? flat["name"] : Json("");
    document["document"]["version"] = flat.contains("version") ? flat["version"] : Json("1.0.0");
    for (const char* key : {"title", "summary"}) {
      if (flat.contains(key)) document["document"][key] = flat[key];
    }
    if (flat.contains("input")) document["input"]["schema"]["document"] = flat["input"];
    if (flat.contains("timeout")) document["timeout"]["after"] = flat["timeout"];
    if (flat.contains("schedule")) Schedule(flat["schedule"], &document);
    std::vector<const Step*> all;
    for (const Step& step : steps_) all.push_back(&step);
    if (CheckCycles()) document["do"] = Arrange(all);
    document["output"]["as"] = flat.contains("output") ? RewriteReferences(flat["output"], nullptr)
                                                       : Json(Expression("$context.steps // {}"));
    return document;
  }

 private:
  // Ours stand apart from the standard's.
  static void Schedule(const Json& flat, Json* document) {
    Json schedule = flat;
    for (const char* key : {"missed", "input"}) {
      if (!schedule.is_object() || !schedule.contains(key)) continue;
      (*document)["metadata"]["schedule"][key] = schedule[key];
      schedule.erase(key);
    }
    (*document)["schedule"] = std::move(schedule);
  }

  void ReadSteps(const Json& flat) {
    if (!flat["steps"].is_array() || flat["steps"].empty()) {
      return reader_->Note("/steps", "must be a list of at least one step");
    }
    for (size_t i = 0; i < flat["steps"].size(); ++i) {
      const Json& value = flat["steps"][i];
      const std::string path = Join("/steps", StrCat(i));
      if (!value.is_object()) {
        reader_->Note(path, "must be an object");
        continue;
      }
      Step step;
      step.path = path;
      step.value = &value;
      step.id = reader_->Text(value, "id", path);
      if (!IsId(step.id)) {
        reader_->Note(Join(path, "id"),
                      "must be letters, digits and _, not beginning with a digit");
        continue;
      }
      if (!by_id_.emplace(step.id, steps_.size()).second) {
        reader_->Note(Join(path, "id"), StrCat("the step \"", step.id, "\" occurs twice"));
        continue;
      }
      steps_.push_back(std::move(step));
    }
    for (Step& step : steps_) FindNeeds(&step);
  }

  void FindNeeds(Step* step) {
    const Json& value = *step->value;
    reader_->Only(value,
                  {"id", "tool", "arguments", "dependsOn", "onError", "compensate", "if", "forEach",
                   "repeatable", "timeout", "approval", "wait", "title", "ai"},
                  step->path);
    std::set<std::string> used;
    for (const char* key : {"arguments", "if", "forEach", "approval", "ai"}) {
      if (value.contains(key)) (void)RewriteReferences(value[key], &used);
    }
    if (value.contains("dependsOn")) {
      const std::string path = Join(step->path, "dependsOn");
      const Json list =
          value["dependsOn"].is_string() ? Json::array({value["dependsOn"]}) : value["dependsOn"];
      if (!list.is_array()) reader_->Note(path, "must be a list of step ids");
      for (const Json& one : list.is_array() ? list : Json::array()) {
        if (one.is_string()) {
          used.insert(one.get<std::string>());
        } else {
          reader_->Note(path, "must be a list of step ids");
        }
      }
    }
    for (const std::string& id : used) {
      if (by_id_.count(id) == 0) {
        reader_->Note(step->path, StrCat("refers to the step \"", id, "\", which does not exist"));
      } else {
        step->needs.insert(id);
      }
    }
  }

  // Notes a cycle; every problem found so far makes the arrangement pointless.
  bool CheckCycles() {
    std::map<std::string, int> state;
    std::vector<std::string> trail;
    std::function<bool(const std::string&)> visit = [&](const std::string& id) {
      if (state[id] == 2) return true;
      trail.push_back(id);
      if (state[id] == 1) {
        std::string cycle;
        for (auto it = std::find(trail.begin(), trail.end(), id); it != trail.end(); ++it) {
          cycle += StrCat(cycle.empty() ? "" : " -> ", *it);
        }
        reader_->Note(steps_[by_id_[id]].path, StrCat("the steps wait for each other: ", cycle));
        return false;
      }
      state[id] = 1;
      for (const std::string& need : steps_[by_id_[id]].needs) {
        if (!visit(need)) return false;
      }
      state[id] = 2;
      trail.pop_back();
      return true;
    };
    for (const Step& step : steps_) {
      if (!visit(step.id)) return false;
    }
    return !steps_.empty();
  }

  static Json Named(const std::string& name, Json body) {
    Json entry = Json::object();
    entry[name] = std::move(body);
    return entry;
  }

  // Parts that have nothing to do with each other become branches; of a part whose steps all lead
  // to one, that one goes last; else what waits for nothing goes first.
  Json Arrange(const std::vector<const Step*>& steps) {
    Json list = Json::array();
    if (steps.empty()) return list;
    const auto parts = Components(steps);
    if (parts.size() > 1) {
      list.push_back(Branches(parts));
      return list;
    }
    std::vector<const Step*> first, rest, last;
    std::set<std::string> ids, needed;
    for (const Step* step : steps) {
      ids.insert(step->id);
      needed.insert(step->needs.begin(), step->needs.end());
    }
    for (const Step* step : steps) {
      if (needed.count(step->id) == 0) last.push_back(step);
      const bool waits = std::any_of(step->needs.begin(), step->needs.end(),
                                     [&](const std::string& id) { return ids.count(id) > 0; });
      (waits ? rest : first).push_back(step);
    }
    if (steps.size() > 1 && last.size() == 1) {
      std::vector<const Step*> before;
      for (const Step* step : steps) {
        if (step != last[0]) before.push_back(step);
      }
      list = Arrange(before);
      list.push_back(Named(last[0]->id, MakeTask(*last[0])));
      return list;
    }
    if (first.size() == 1) {
      list.push_back(Named(first[0]->id, MakeTask(*first[0])));
    } else {
      std::vector<std::vector<const Step*>> each;
      for (const Step* step : first) each.push_back({step});
      list.push_back(Branches(each));
    }
    for (const Json& entry : Arrange(rest)) list.push_back(entry);
    return list;
  }

  Json Branches(const std::vector<std::vector<const Step*>>& parts) {
    Json fork = Json::object();
    Json& branches = fork["fork"]["branches"] = Json::array();
    for (const auto& part : parts) {
      if (part.size() == 1) {
        branches.push_back(Named(part[0]->id, MakeTask(*part[0])));
      } else {
        Json body = Json::object();
        body["do"] = Arrange(part);
        branches.push_back(Named(StrCat("branch", ++branches_), std::move(body)));
      }
    }
    return Named(StrCat("together", ++forks_), std::move(fork));
  }

  static std::vector<std::vector<const Step*>> Components(const std::vector<const Step*>& steps) {
    std::map<std::string, int> part;
    int count = 0;
    for (const Step* step : steps) part[step->id] = count++;
    for (bool changed = true; changed;) {
      changed = false;
      for (const Step* step : steps) {
        for (const std::string& need : step->needs) {
          const auto it = part.find(need);
          if (it == part.end() || it->second == part[step->id]) continue;
          const int least = std::min(it->second, part[step->id]);
          it->second = part[step->id] = least;
          changed = true;
        }
      }
    }
    std::map<int, std::vector<const Step*>> grouped;
    for (const Step* step : steps) grouped[part[step->id]].push_back(step);
    std::vector<std::vector<const Step*>> out;
    for (auto& [number, members] : grouped) out.push_back(std::move(members));
    return out;
  }

  Json MakeTask(const Step& step) {
    const Json& value = *step.value;
    const bool each = value.contains("forEach");
    Json task = Action(value, step.path);
    const std::string mine = StrCat("$context.steps.", step.id);
    const std::string kept = each ? StrCat("((", mine, " // []) + [.])") : std::string(".");
    task["export"]["as"] = Expression(StrCat(
        "($context // {}) + {steps: (($context.steps // {}) + {", step.id, ": ", kept, "})}"));
    const std::string on_error =
        value.contains("onError") ? reader_->Text(value, "onError", step.path) : "stop";
    if (on_error == "stop" || on_error == "rollback") {
      task["metadata"]["onError"] = on_error;
    } else if (on_error != "continue") {
      reader_->Note(Join(step.path, "onError"), "must be stop, rollback or continue");
    }
    if (value.contains("repeatable")) task["metadata"]["repeatable"] = value["repeatable"];
    if (value.contains("compensate")) {
      const std::string path = Join(step.path, "compensate");
      const Json& undo = value["compensate"];
      if (undo.is_object()) {
        reader_->Only(undo, {"tool", "arguments", "repeatable"}, path);
        Json body = Action(undo, path);
        if (undo.contains("repeatable")) body["metadata"]["repeatable"] = undo["repeatable"];
        task["metadata"]["compensate"] = Json::array({Named(StrCat("undo_", step.id), body)});
      } else {
        reader_->Note(path, "must be an object with tool and arguments");
      }
    }
    if (value.contains("timeout")) task["timeout"]["after"] = value["timeout"];
    if (on_error == "continue") task = Tolerant(step.id, std::move(task), kept);
    if (each) task = Each(step, std::move(task), mine);
    if (value.contains("if")) task["if"] = RewriteReferences(value["if"], nullptr);
    return task;
  }

  Json Action(const Json& value, const std::string& path) {
    Json task = Json::object();
    const int kinds =
        static_cast<int>(value.contains("tool")) + static_cast<int>(value.contains("approval")) +
        static_cast<int>(value.contains("wait")) + static_cast<int>(value.contains("ai"));
    if (kinds != 1) {
      reader_->Note(path, "needs one of tool, approval, wait or ai");
    } else if (value.contains("ai")) {
      Model(value["ai"], Join(path, "ai"), &task);
    } else if (value.contains("tool")) {
      const std::string tool = reader_->Text(value, "tool", path);
      if (tool.empty() || absl::StrContains(tool, "@")) {
        reader_->Note(Join(path, "tool"), "must be the name of a tool: server.tool");
      }
      task["call"] = StrCat(tool, "@mcp");
      task["with"] = value.contains("arguments") ? RewriteReferences(value["arguments"], nullptr)
                                                 : Json::object();
      task["output"]["as"] = std::string(kResult);
    } else if (value.contains("approval")) {
      task["call"] = "approval";
      task["with"] = RewriteReferences(value["approval"], nullptr);
    } else {
      task["wait"] = value["wait"];
      // Else its result would be that of the step before, once more.
      task["output"]["as"] = Expression("null");
    }
    return task;
  }

  // A model fills a typed slot.
  void Model(const Json& ai, const std::string& path, Json* task) {
    if (!ai.is_object()) return reader_->Note(path, "must be an object with prompt");
    reader_->Only(ai, {"prompt", "input", "schema"}, path);
    if (reader_->Text(ai, "prompt", path).empty())
      reader_->Note(Join(path, "prompt"), "is missing");
    (*task)["call"] = StrCat(kFillTool, "@mcp");
    (*task)["with"] = RewriteReferences(ai, nullptr);
    (*task)["output"]["as"] = std::string(kResult);
  }

  static Json Tolerant(const std::string& id, Json task, const std::string& kept) {
    Json failed = Json::object();
    failed["set"]["error"] = "${ $error }";
    failed["export"]["as"] = Expression(
        StrCat("($context // {}) + {steps: (($context.steps // {}) + {", id, ": ", kept, "})}"));
    Json out = Json::object();
    out["try"] = Json::array({Named(id, std::move(task))});
    out["catch"]["as"] = "error";
    out["catch"]["do"] = Json::array({Named("failed", std::move(failed))});
    return out;
  }

  Json Each(const Step& step, Json task, const std::string& mine) {
    Json out = Json::object();
    out["for"]["each"] = "item";
    out["for"]["in"] = RewriteReferences((*step.value)["forEach"], nullptr);
    out["do"] = Json::array({Named(step.id, std::move(task))});
    out["export"]["as"] =
        Expression(StrCat("($context // {}) + {steps: (($context.steps // {}) + {", step.id, ": (",
                          mine, " // [])})}"));
    return out;
  }

  Reader* reader_;
  std::vector<Step> steps_;
  std::map<std::string, size_t> by_id_;
  int forks_ = 0;
  int branches_ = 0;
};

}  // namespace

bool IsFlat(const Json& document) { return document.is_object() && document.contains("steps"); }

Json CompileFlat(const Json& flat, Reader* reader) {
  FlatCompiler compiler(reader);
  return compiler.Compile(flat);
}

}  // namespace metamcp::workflow
