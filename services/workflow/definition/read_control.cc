// Tasks that steer others.

#include "common/base/strings.h"
#include "services/workflow/definition/reader.h"

namespace metamcp::workflow {

void Reader::For(const Json& value, Task* task, int depth) {
  const std::string path = Join(task->path, "for");
  const Json* head = Object(value, "for", task->path);
  if (head == nullptr) return;
  Only(*head, {"each", "in", "at"}, path);
  task->each = head->contains("each") ? Text(*head, "each", path) : "item";
  task->at = head->contains("at") ? Text(*head, "at", path) : "index";
  if (!head->contains("in")) {
    Note(path, "needs `in`");
  } else if ((*head)["in"].is_array()) {
    task->in = CompileValue((*head)["in"]);
  } else {
    task->in = CompileExpression(Text(*head, "in", path));
  }
  if (value.contains("while"))
    task->while_true = CompileExpression(Text(value, "while", task->path));
  if (!value.contains("do")) return Note(task->path, "needs `do`");
  task->tasks = TaskList(value["do"], Join(task->path, "do"), depth + 1);
}

void Reader::Fork(const Json& value, Task* task, int depth) {
  const std::string path = Join(task->path, "fork");
  if (!value.is_object()) return Note(path, "must be an object");
  Only(value, {"branches", "compete"}, path);
  task->compete = Bool(value, "compete", path, false);
  if (!value.contains("branches")) return Note(path, "needs `branches`");
  task->tasks = TaskList(value["branches"], Join(path, "branches"), depth + 1);
}

void Reader::Switch(const Json& value, Task* task) {
  const std::string path = Join(task->path, "switch");
  if (!value.is_array() || value.empty()) return Note(path, "needs at least one case");
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string at = Join(path, StrCat(i));
    if (!value[i].is_object() || value[i].size() != 1 || !value[i].begin()->is_object()) {
      Note(at, "must be an object with one member, the case's name");
      continue;
    }
    const Json& body = *value[i].begin();
    const std::string in = Join(at, value[i].begin().key());
    Only(body, {"when", "then"}, in);
    SwitchCase one;
    one.name = value[i].begin().key();
    if (body.contains("when")) one.when = CompileExpression(Text(body, "when", in));
    one.then = Text(body, "then", in);
    if (one.then.empty()) Note(in, "needs `then`");
    task->cases.push_back(std::move(one));
  }
}

void Reader::Try(const Json& value, Task* task, int depth) {
  task->tasks = TaskList(value["try"], Join(task->path, "try"), depth + 1);
  const std::string path = Join(task->path, "catch");
  const Json* caught = Object(value, "catch", task->path);
  if (caught == nullptr) return Note(task->path, "needs `catch`");
  Only(*caught, {"errors", "as", "when", "exceptWhen", "retry", "do", "then"}, path);
  if (const Json* errors = Object(*caught, "errors", path)) {
    const Json* with = Object(*errors, "with", Join(path, "errors"));
    if (with != nullptr) {
      const std::string at = StrCat(path, "/errors/with");
      Only(*with, {"type", "status", "title", "detail", "instance"}, at);
      const auto text = [&](const char* key, std::optional<std::string>* into) {
        if (with->contains(key)) *into = Text(*with, key, at);
      };
      text("type", &task->filter.type);
      text("title", &task->filter.title);
      text("detail", &task->filter.detail);
      text("instance", &task->filter.instance);
      if (const auto it = with->find("status"); it != with->end()) {
        if (it->is_number_integer()) {
          task->filter.status = it->get<int64_t>();
        } else {
          Note(Join(at, "status"), "must be an integer");
        }
      }
    }
  }
  task->error_as = caught->contains("as") ? Text(*caught, "as", path) : "error";
  if (caught->contains("when")) task->catch_when = CompileExpression(Text(*caught, "when", path));
  if (caught->contains("exceptWhen")) {
    task->catch_except_when = CompileExpression(Text(*caught, "exceptWhen", path));
  }
  if (caught->contains("retry")) {
    const Json* retry = Reusable("retries", (*caught)["retry"], Join(path, "retry"));
    if (retry != nullptr) Retry(*retry, task, Join(path, "retry"));
  }
  if (caught->contains("do")) {
    task->handler = TaskList((*caught)["do"], Join(path, "do"), depth + 1);
  }
  task->catch_then = Text(*caught, "then", path);
  if (task->catch_then == "continue") task->catch_then.clear();
}

void Reader::Retry(const Json& value, Task* task, const std::string& path) {
  if (!value.is_object()) return Note(path, "must be an object");
  Only(value, {"when", "exceptWhen", "delay", "backoff", "limit", "jitter"}, path);
  RetryPolicy retry;
  if (value.contains("when")) retry.when = CompileExpression(Text(value, "when", path));
  if (value.contains("exceptWhen")) {
    retry.except_when = CompileExpression(Text(value, "exceptWhen", path));
  }
  if (value.contains("delay")) retry.delay = Duration(value["delay"], Join(path, "delay"));
  if (const Json* backoff = Object(value, "backoff", path)) {
    if (backoff->contains("exponential")) retry.backoff = RetryPolicy::Backoff::kExponential;
    if (backoff->contains("linear")) retry.backoff = RetryPolicy::Backoff::kLinear;
  }
  if (const Json* limit = Object(value, "limit", path)) {
    const std::string at = Join(path, "limit");
    if (const Json* attempt = Object(*limit, "attempt", at)) {
      const auto count = attempt->find("count");
      if (count != attempt->end() && count->is_number_integer()) {
        retry.count_max = count->get<int64_t>();
      } else if (count != attempt->end()) {
        Note(StrCat(at, "/attempt/count"), "must be an integer");
      }
      if (attempt->contains("duration")) {
        retry.attempt_max = Duration((*attempt)["duration"], StrCat(at, "/attempt/duration"));
      }
    }
    if (limit->contains("duration")) {
      retry.duration_max = Duration((*limit)["duration"], Join(at, "duration"));
    }
  }
  if (const Json* jitter = Object(value, "jitter", path)) {
    const std::string at = Join(path, "jitter");
    if (jitter->contains("from")) retry.jitter_from_ms = Duration((*jitter)["from"], at).ms;
    if (jitter->contains("to")) retry.jitter_to_ms = Duration((*jitter)["to"], at).ms;
  }
  if (retry.count_max <= 0 && !retry.duration_max) {
    Note(path, "needs a limit: limit.attempt.count or limit.duration");
  }
  task->retry = std::move(retry);
}

void Reader::Raise(const Json& value, Task* task) {
  const std::string path = Join(task->path, "raise");
  const auto it = value.is_object() ? value.find("error") : value.end();
  if (!value.is_object() || it == value.end()) return Note(path, "needs `error`");
  const Json* error = Reusable("errors", *it, Join(path, "error"));
  if (error == nullptr) return;
  if (!error->is_object() || !error->contains("type") || !error->contains("status")) {
    return Note(Join(path, "error"), "needs type and status");
  }
  task->value = CompileValue(*error);
}

}  // namespace metamcp::workflow
