// Branches that run at the same time, and what becomes of their contexts.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/async/run.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/ordered.h"
#include "common/json/splice.h"
#include "services/workflow/engine/paths.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::ordered_json;

// What `from` has beside `base` is put into `into`, objects member by member.
void Merge(const Json& base, const Json& from, Json* into) {
  if (!from.is_object() || !into->is_object()) {
    if (from != base) *into = from;
    return;
  }
  static const Json kNothing = Json::object();
  const json::MemberIndex before(base.is_object() ? base : kNothing);
  const json::MemberIndex there(*into);
  auto& members = into->get_ref<Json::object_t&>();
  for (auto it = from.begin(); it != from.end(); ++it) {
    const Json* old = before.Find(it.key());
    if (old != nullptr && *old == *it) continue;
    const auto place = there.Position(it.key());
    if (!place) {
      members.emplace_back(it.key(), *it);
    } else {
      Merge(old != nullptr ? *old : Json(), *it, &(members.begin() + *place)->second);
    }
  }
}

}  // namespace

// Shared by the branches of one fork and the one that waits for them.
struct RunTask::Branches {
  Branches(boost::asio::any_io_executor executor, size_t count)
      : changed(executor), results(count) {}
  ~Branches() = default;
  Signal changed;
  std::vector<std::optional<Outcome>> results;
  std::vector<std::shared_ptr<Canceller>> cancellers;
  size_t running = 0;
  std::optional<size_t> first;  // to end well
  bool failed = false;
};

Awaitable<void> RunTask::Branch(RunTask* self, const Task* task, std::string path, Frame frame,
                                size_t index, std::shared_ptr<Branches> branches) {
  struct Runner {
    static Awaitable<absl::StatusOr<Outcome>> Run(Awaitable<Outcome> op) {
      co_return co_await std::move(op);
    }
  };
  auto running = self->RunOne(*task, std::move(path), frame.input, frame.context, frame.scope);
  auto cancellable = RunCancellable(branches->cancellers[index], Runner::Run(std::move(running)));
  auto outcome = co_await std::move(cancellable);
  branches->results[index] = outcome.ok() ? *std::move(outcome) : Stop();
  const Outcome& result = *branches->results[index];
  if (result.kind == Outcome::kDone && !branches->first) branches->first = index;
  if (result.kind == Outcome::kFault || result.kind == Outcome::kRollback) branches->failed = true;
  --branches->running;
  branches->changed.Notify();
}

Awaitable<Outcome> RunTask::JoinBranches(const Branches& branches, Frame frame) {
  Outcome out;
  std::vector<std::string> outputs;
  std::optional<Json> base, merged;
  bool stopped = false;
  for (const auto& result : branches.results) {
    if (!result) continue;
    if (result->kind == Outcome::kFault || result->kind == Outcome::kRollback) co_return *result;
    if (result->kind == Outcome::kStop) {
      stopped = true;
      continue;
    }
    Outcome one = *result;
    auto resolving = Resolve(&one.output, &one.context);
    const absl::Status resolved = co_await std::move(resolving);
    if (!resolved.ok()) co_return FaultOf(resolved, "/");
    outputs.push_back(std::move(one.output));
    if (one.next == "end") out.next = "end";
    if (one.context == frame.context) continue;
    if (!base) {
      auto parsed = json::ParseOrderedJson(frame.context);
      base = parsed.ok() ? *std::move(parsed) : Json();
      merged = base;
    }
    if (const auto context = json::ParseOrderedJson(one.context); context.ok()) {
      Merge(*base, *context, &*merged);
    }
  }
  if (stopped) co_return Stop();
  out.output = json::JoinArray(outputs);
  out.context = merged ? json::DumpJson(*merged) : frame.context;
  co_return out;
}

Awaitable<Outcome> RunTask::DoFork(const Task& task, std::string path, Frame frame) {
  const size_t count = task.tasks.size();
  const auto place = [&](size_t index) {
    return StrCat(path, "/fork/branches/", index, "/", EscapePart(task.tasks[index].name));
  };
  auto branches = std::make_shared<Branches>(parts_.executor, count);
  // However this coroutine ends, no branch goes on without it.
  struct Guard {
    ~Guard() {
      for (const auto& one : branches->cancellers) one->Cancel();
    }
    std::shared_ptr<Branches> branches;
  } guard{branches};
  size_t next = 0;
  if (task.compete) {
    // After a crash the winner stays the winner, and nobody else runs again.
    for (size_t i = 0; i < count && !branches->first; ++i) {
      const StepRow* known = Find(place(i));
      if (known == nullptr || known->state != "done") continue;
      auto taking = RunOne(task.tasks[i], place(i), frame.input, frame.context, frame.scope);
      branches->results[i] = co_await std::move(taking);
      branches->first = i;
    }
  }
  const auto over = [&] {
    return branches->failed || (task.compete && branches->first.has_value());
  };
  while (true) {
    while (next < count && branches->running < parts_.branches_at_once_max && !over()) {
      branches->cancellers.push_back(std::make_shared<Canceller>());
      ++branches->running;
      const size_t index = next++;
      tasks_->Spawn("workflow.branch",
                    Branch(this, &task.tasks[index], place(index), frame, index, branches));
    }
    if (over()) {
      for (const auto& one : branches->cancellers) one->Cancel();
    }
    if (branches->running == 0 && (next == count || over())) break;
    co_await branches->changed.Wait();
  }
  if (over()) {
    for (size_t i = 0; i < next; ++i) Abandon(place(i), "cancelled");
  }
  if (task.compete && branches->first) {
    const Outcome& winner = *branches->results[*branches->first];
    Outcome out;
    out.output = winner.output;
    out.context = winner.context;
    if (winner.next == "end") out.next = "end";
    co_return out;
  }
  auto joining = JoinBranches(*branches, std::move(frame));
  co_return co_await std::move(joining);
}

}  // namespace metamcp::workflow
