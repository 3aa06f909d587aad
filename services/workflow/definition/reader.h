#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "services/workflow/definition/definition.h"

// Parts of ReadDefinition. A reader never fails: it notes what is wrong and reads on, so that one
// check names every problem.
namespace metamcp::workflow {

using Json = nlohmann::ordered_json;

class Reader {
 public:
  Reader(const Limits& limits, std::vector<Problem>* problems)
      : limits_(limits), problems_(problems) {}

  void Note(std::string_view path, std::string_view message);
  const Limits& limits() const { return limits_; }

  // The member, or null. Notes a member of another type.
  const Json* Object(const Json& from, std::string_view key, const std::string& path);
  std::string Text(const Json& from, std::string_view key, const std::string& path);
  bool Bool(const Json& from, std::string_view key, const std::string& path, bool otherwise);
  // Notes members that are not among `known`.
  void Only(const Json& from, std::initializer_list<std::string_view> known,
            const std::string& path);
  DurationSpec Duration(const Json& value, const std::string& path);

  void Schedule(const Json& document, Definition* out);
  std::vector<Task> TaskList(const Json& list, const std::string& path, int depth);

  // Reusable parts of the document's `use`.
  const Json* use = nullptr;

 private:
  Task ReadTask(const std::string& name, const Json& value, const std::string& path, int depth);
  void Base(const Json& value, Task* task, int depth);
  void Call(const Json& value, Task* task);
  void CallHttp(const Json& with, Task* task, const std::string& path);
  void CallMcp(const Json& with, Task* task, const std::string& path);
  void CallFunction(const std::string& function, const Json& with, Task* task);
  void Approval(const Json& with, Task* task);
  void For(const Json& value, Task* task, int depth);
  void Fork(const Json& value, Task* task, int depth);
  void Switch(const Json& value, Task* task);
  void Try(const Json& value, Task* task, int depth);
  void Retry(const Json& value, Task* task, const std::string& path);
  void Raise(const Json& value, Task* task);
  void Listen(const Json& value, Task* task);
  // {one}, {any} or {all}; false where it is none of them. No filter: any event.
  bool Events(const Json& to, const std::string& path, std::vector<EventFilter>* out, bool* all);
  void Emit(const Json& value, Task* task);
  void Run(const Json& value, Task* task);
  EventFilter Filter(const Json& value, const std::string& path);
  const Json* Reusable(std::string_view group, const Json& value, const std::string& path);

  const Limits limits_;
  std::vector<Problem>* problems_;
  int tasks_ = 0;
};

// Whether the document is the flat form.
bool IsFlat(const Json& document);
// The Open Workflow document that a flat one stands for. Problems are noted at the flat document's
// places.
Json CompileFlat(const Json& flat, Reader* reader);

// A value of the flat form with `input`, `steps`, `item` and `index` in the words of the compiled
// form. Steps that it refers to are added to `used`, which may be null.
Json RewriteReferences(const Json& value, std::set<std::string>* used);

// A JSON pointer with one more part.
std::string Join(const std::string& path, std::string_view part);

}  // namespace metamcp::workflow
