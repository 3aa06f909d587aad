#include "services/workflow/definition/reader.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::workflow {
namespace {

constexpr size_t kProblemsMax = 50;

// What says which kind a task is, with the members that belong to it.
struct Kind {
  std::string_view member;
  TaskKind kind;
  std::initializer_list<std::string_view> others;
};
const Kind kKinds[] = {
    {"call", TaskKind::kTool, {"with"}}, {"for", TaskKind::kFor, {"do", "while"}},
    {"do", TaskKind::kDo, {}},           {"fork", TaskKind::kFork, {}},
    {"switch", TaskKind::kSwitch, {}},   {"try", TaskKind::kTry, {"catch"}},
    {"raise", TaskKind::kRaise, {}},     {"set", TaskKind::kSet, {}},
    {"wait", TaskKind::kWait, {}},       {"listen", TaskKind::kListen, {"foreach"}},
    {"emit", TaskKind::kEmit, {}},       {"run", TaskKind::kRun, {}},
};

}  // namespace

std::string Join(const std::string& path, std::string_view part) {
  return StrCat(path, "/", absl::StrReplaceAll(Av(part), {{"~", "~0"}, {"/", "~1"}}));
}

void Reader::Note(std::string_view path, std::string_view message) {
  if (problems_->size() < kProblemsMax) {
    problems_->push_back({std::string(path), std::string(message)});
  }
}

const Json* Reader::Object(const Json& from, std::string_view key, const std::string& path) {
  const auto it = from.find(std::string(key));
  if (it == from.end()) return nullptr;
  if (it->is_object()) return &*it;
  Note(Join(path, key), "must be an object");
  return nullptr;
}

std::string Reader::Text(const Json& from, std::string_view key, const std::string& path) {
  const auto it = from.find(std::string(key));
  if (it == from.end()) return "";
  if (it->is_string()) return it->get<std::string>();
  Note(Join(path, key), "must be a string");
  return "";
}

bool Reader::Bool(const Json& from, std::string_view key, const std::string& path, bool otherwise) {
  const auto it = from.find(std::string(key));
  if (it == from.end()) return otherwise;
  if (it->is_boolean()) return it->get<bool>();
  Note(Join(path, key), "must be true or false");
  return otherwise;
}

void Reader::Only(const Json& from, std::initializer_list<std::string_view> known,
                  const std::string& path) {
  for (auto it = from.begin(); it != from.end(); ++it) {
    if (std::find(known.begin(), known.end(), it.key()) == known.end()) {
      Note(Join(path, it.key()), "is not known here");
    }
  }
}

DurationSpec Reader::Duration(const Json& value, const std::string& path) {
  DurationSpec out;
  std::string_view inner;
  if (value.is_string() && IsExpression(value.get_ref<const std::string&>(), &inner)) {
    out.expression = CompileExpression(value.get_ref<const std::string&>());
    return out;
  }
  const auto ms = DurationMs(json::DumpJson(value));
  if (ms.ok()) {
    out.ms = *ms;
  } else {
    Note(path, Sv(ms.status().message()));
  }
  return out;
}

const Json* Reader::Reusable(std::string_view group, const Json& value, const std::string& path) {
  if (!value.is_string()) return &value;
  const std::string name = value.get<std::string>();
  const Json* found = nullptr;
  if (use != nullptr) {
    const auto it = use->find(std::string(group));
    if (it != use->end() && it->is_object() && it->contains(name)) found = &(*it)[name];
  }
  if (found == nullptr) Note(path, StrCat("there is no \"", name, "\" in use.", group));
  return found;
}

std::vector<Task> Reader::TaskList(const Json& list, const std::string& path, int depth) {
  std::vector<Task> out;
  if (!list.is_array()) {
    Note(path, "must be a list of tasks");
    return out;
  }
  if (depth > limits_.depth_max) {
    Note(path, StrCat("tasks are nested deeper than ", limits_.depth_max));
    return out;
  }
  std::set<std::string> names;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string at = Join(path, StrCat(i));
    const Json& entry = list[i];
    if (!entry.is_object() || entry.size() != 1) {
      Note(at, "must be an object with one member, the task's name");
      continue;
    }
    const std::string& name = entry.begin().key();
    if (!names.insert(name).second) Note(at, StrCat("the name \"", name, "\" occurs twice here"));
    if (name.find_first_of("[]@#") != std::string::npos) {
      Note(at, "a name must not hold [ ] @ or #");
    }
    out.push_back(ReadTask(name, *entry.begin(), Join(at, name), depth));
  }
  // Where a task may lead to.
  const auto check = [&](const std::string& then, const std::string& at) {
    if (then.empty() || then == "continue" || then == "exit" || then == "end") return;
    if (names.count(then) == 0) Note(at, StrCat("there is no task \"", then, "\" in this list"));
  };
  for (const Task& task : out) {
    check(task.then, Join(task.path, "then"));
    check(task.catch_then, StrCat(task.path, "/catch/then"));
    for (const SwitchCase& one : task.cases) check(one.then, Join(task.path, "switch"));
  }
  return out;
}

Task Reader::ReadTask(const std::string& name, const Json& value, const std::string& path,
                      int depth) {
  Task task;
  task.name = name;
  task.path = path;
  if (++tasks_ == limits_.tasks_max + 1) {
    Note("", StrCat("the workflow has more than ", limits_.tasks_max, " tasks"));
  }
  if (!value.is_object()) {
    Note(path, "must be an object");
    return task;
  }
  const Kind* kind = nullptr;
  for (const Kind& one : kKinds) {
    if (!value.contains(std::string(one.member))) continue;
    kind = &one;
    break;
  }
  if (kind == nullptr) {
    Note(path,
         "says nothing to do: one of call, do, emit, for, fork, listen, raise, run, set, "
         "switch, try or wait");
    return task;
  }
  for (auto it = value.begin(); it != value.end(); ++it) {
    const std::string& key = it.key();
    const auto known = {"if", "input", "output", "export", "timeout", "then", "metadata"};
    const bool base = std::find(known.begin(), known.end(), key) != known.end();
    const bool own = key == kind->member ||
                     std::find(kind->others.begin(), kind->others.end(), key) != kind->others.end();
    if (!base && !own)
      Note(Join(path, key), StrCat("does not belong to a task with ", kind->member));
  }
  task.kind = kind->kind;
  Base(value, &task, depth);
  const Json& body = value[std::string(kind->member)];
  switch (kind->kind) {
    case TaskKind::kDo:
      task.tasks = TaskList(body, Join(path, "do"), depth + 1);
      break;
    case TaskKind::kFor:
      For(value, &task, depth);
      break;
    case TaskKind::kFork:
      Fork(body, &task, depth);
      break;
    case TaskKind::kSwitch:
      Switch(body, &task);
      break;
    case TaskKind::kTry:
      Try(value, &task, depth);
      break;
    case TaskKind::kRaise:
      Raise(body, &task);
      break;
    case TaskKind::kSet:
      task.value = CompileValue(body);
      if (!body.is_object() && task.value.constant) {
        Note(Join(path, "set"), "must be an object or an expression");
      }
      break;
    case TaskKind::kWait:
      task.wait = Duration(body, Join(path, "wait"));
      break;
    case TaskKind::kListen:
      Listen(value, &task);
      break;
    case TaskKind::kEmit:
      Emit(body, &task);
      break;
    case TaskKind::kRun:
      Run(body, &task);
      break;
    default:
      Call(value, &task);
      break;
  }
  return task;
}

void Reader::Base(const Json& value, Task* task, int depth) {
  const std::string& path = task->path;
  if (const auto it = value.find("if"); it != value.end()) {
    if (it->is_boolean()) {
      task->condition = CompileValue(*it);
    } else {
      const std::string text = Text(value, "if", path);
      task->condition = CompileExpression(text.empty() ? "false" : text);
    }
  }
  const auto filter = [&](std::string_view member, std::string_view inner,
                          std::optional<Template>* into) {
    const Json* object = Object(value, member, path);
    if (object == nullptr) return;
    Only(*object, {"schema", inner}, Join(path, member));
    if (object->contains("schema")) {
      Note(StrCat(path, "/", member, "/schema"), "schemas of tasks are not supported");
    }
    if (const auto it = object->find(std::string(inner)); it != object->end()) {
      *into = CompileFilter(*it);
    }
  };
  filter("input", "from", &task->input_from);
  filter("output", "as", &task->output_as);
  filter("export", "as", &task->export_as);
  task->then = Text(value, "then", path);
  if (task->then == "continue") task->then.clear();
  if (const auto it = value.find("timeout"); it != value.end()) {
    const Json* timeout = Reusable("timeouts", *it, Join(path, "timeout"));
    if (timeout != nullptr && timeout->is_object() && timeout->contains("after")) {
      task->timeout = Duration((*timeout)["after"], StrCat(path, "/timeout/after"));
    } else if (timeout != nullptr) {
      Note(Join(path, "timeout"), "needs `after`");
    }
  }
  const Json* metadata = Object(value, "metadata", path);
  if (metadata == nullptr) return;
  const std::string at = Join(path, "metadata");
  task->on_error = Text(*metadata, "onError", at);
  if (!task->on_error.empty() && task->on_error != "stop" && task->on_error != "rollback") {
    Note(Join(at, "onError"), "must be stop or rollback");
  }
  if (metadata->contains("repeatable")) task->repeatable = Bool(*metadata, "repeatable", at, false);
  if (const auto it = metadata->find("compensate"); it != metadata->end()) {
    task->compensate = TaskList(*it, Join(at, "compensate"), depth + 1);
  }
}

}  // namespace metamcp::workflow
