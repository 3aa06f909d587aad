// Tasks of 2025-11-25 in front of whatever runs them: the inside knows the extension's only.
// Source: MCP 2025-11-25, basic/utilities/tasks.

#include <algorithm>
#include <array>
#include <ctime>
#include <set>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "gateway/protocol/error_map.h"
#include "gateway/protocol/front_common.h"

namespace metamcp::gateway {
namespace {

constexpr mcp::Era kLegacy = mcp::Era::kLegacy;
// Tasks of one session that tasks/list tells of, and finished results that are kept for it.
constexpr size_t kTasksMax = 100;
constexpr size_t kKeptBytesMax = 1u << 20;
constexpr std::string_view kHeldPrefix = "gw-";
constexpr std::chrono::milliseconds kPollFirst{50};
constexpr std::chrono::milliseconds kPollMax{5000};

std::string Iso8601Now() {
  const std::time_t now = static_cast<std::time_t>(NowMicros() / 1'000'000);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return std::string(text.data(), size);
}

bool IsOver(std::string_view status) {
  return status == "completed" || status == "failed" || status == "cancelled";
}

absl::Status NoSuchTask(std::string_view why) {
  return MakeError("TASK_NOT_FOUND", "gateway", why);
}

absl::StatusOr<std::string> WithMember(std::string_view object, std::string_view key,
                                       std::string_view raw) {
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(object));
  json::Splicer splicer(view);
  splicer.Set(key, raw);
  return splicer.Build();
}

absl::Status StatusOf(const jsonrpc::ErrorObject& error) {
  if (error.code == jsonrpc::kInvalidParams) return NoSuchTask(error.message);
  return MakeError("UPSTREAM_ERROR", "upstream", error.message);
}

// A result of tasks/result names its task.
absl::StatusOr<std::string> RelatedTo(std::string_view result, std::string_view task_id) {
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(result));
  json::ObjectWriter related;
  related.AddString("taskId", task_id);
  json::ObjectView nothing;
  auto meta = json::ScanObject(view.Raw("_meta"));
  json::Splicer inner(meta.ok() ? *meta : nothing);
  inner.Set(mcp::kMetaRelatedTask, std::move(related).Build());
  json::Splicer outer(view);
  outer.Set("_meta", inner.Build());
  return outer.Build();
}

}  // namespace

bool LegacyFront::OffersTasks(const Incoming& in, const LegacySession& session) {
  return mcp::HasCoreTasks(session.revision) && in.view->tasks();
}

std::string LegacyFront::TaskCreated(LegacySession& session, const CallOutcome& outcome,
                                     absl::StatusOr<std::string> converted) {
  if (session.tasks.size() >= kTasksMax) session.tasks.pop_front();
  LegacyTask task;
  if (outcome.kind == provider::v1::RESULT_KIND_TASK) {
    const auto view = json::ScanObject(outcome.result);
    task.id = view.ok() ? view->String("taskId").value_or("") : "";
    auto text = mcp::TaskToLegacy(outcome.result);
    session.tasks.push_back(task);
    return StrCat("{\"task\":", text.ok() ? *text : "{}", "}");
  }
  // It was over at once: a task that only this session knows.
  const std::string now = Iso8601Now();
  const bool kept = converted.ok() && converted->size() <= kKeptBytesMax;
  task.id = StrCat(kHeldPrefix, deps_.peers ? deps_.peers->self() : "", "-", NewUuidV7());
  task.result = kept ? *converted : "";
  const auto result = json::ScanObject(task.result.empty() ? "{}" : task.result);
  const bool failed = result.ok() && result->Raw("isError") == "true";
  json::ObjectWriter text;
  text.AddString("taskId", task.id);
  text.AddString("status", failed || !kept ? "failed" : "completed");
  if (!kept) text.AddString("statusMessage", "the result is too large to be kept");
  text.AddString("createdAt", now);
  text.AddString("lastUpdatedAt", now);
  text.Add("ttl", "null");
  task.local = std::move(text).Build();
  session.tasks.push_back(task);
  return StrCat("{\"task\":", task.local, "}");
}

std::string HolderOf(std::string_view task_id) {
  if (!task_id.starts_with(kHeldPrefix)) return {};
  task_id.remove_prefix(kHeldPrefix.size());
  const std::string_view instance = task_id.substr(0, task_id.find('-'));
  return cluster::IsInstanceId(instance) ? std::string(instance) : std::string();
}

absl::StatusOr<std::string> JoinTaskLists(const std::vector<std::string>& results) {
  std::set<std::string> seen;
  std::vector<std::string> tasks;
  for (const std::string& result : results) {
    METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(result));
    METAMCP_ASSIGN_OR_RETURN(const std::vector<json::Value> listed,
                             json::ScanArray(view.Raw("tasks")));
    for (const json::Value& value : listed) {
      METAMCP_ASSIGN_OR_RETURN(const json::ObjectView task, json::ScanObject(value.raw));
      const std::string id = task.String("taskId").value_or("");
      if (seen.insert(id).second) tasks.emplace_back(value.raw);
    }
  }
  return StrCat("{\"tasks\":", json::JoinArray(tasks), "}");
}

LegacyTask* LegacySession::FindTask(std::string_view task_id) {
  const auto it = std::find_if(tasks.begin(), tasks.end(),
                               [&](const LegacyTask& task) { return task.id == task_id; });
  return it == tasks.end() ? nullptr : &*it;
}

// One request about a task, in the extension's form.
Awaitable<absl::StatusOr<std::string>> LegacyFront::AskTask(const CallContext& ctx, CallSpec spec,
                                                            std::string method, std::string id,
                                                            std::string responses,
                                                            CallEvents& events) {
  spec.method = std::move(method);
  spec.params = StrCat("{\"taskId\":", json::JsonQuote(id), "}");
  spec.input_responses = std::move(responses);
  METAMCP_CO_ASSIGN_OR_RETURN(CallOutcome outcome, co_await deps_.chain.Run(ctx, spec, events));
  if (outcome.failed) co_return StatusOf(outcome.error);
  co_return std::move(outcome.result);
}

// The Task as this client is to see it.
Awaitable<absl::StatusOr<std::string>> LegacyFront::TaskNow(const CallContext& ctx,
                                                            const CallSpec& spec, std::string id,
                                                            std::shared_ptr<LegacySession> session,
                                                            CallEvents& events) {
  if (const LegacyTask* known = session->FindTask(id); known && !known->local.empty()) {
    co_return known->local;
  }
  auto asking = AskTask(ctx, spec, "tasks/get", id, "", events);
  METAMCP_CO_ASSIGN_OR_RETURN(const std::string detailed, co_await std::move(asking));
  METAMCP_CO_ASSIGN_OR_RETURN(std::string task, mcp::TaskToLegacy(detailed));
  // Cancelled is cancelled, however long its server takes.
  const LegacyTask* known = session->FindTask(id);
  if (known == nullptr || !known->cancelled) co_return task;
  co_return WithMember(task, "status", "\"cancelled\"");
}

// Waits for the end of a task; what it asks on the way goes to the client.
Awaitable<absl::StatusOr<std::string>> LegacyFront::TaskResult(
    const CallContext& ctx, const CallSpec& spec, std::string id,
    std::shared_ptr<LegacySession> session, CallEvents& events, Reply& reply) {
  if (const LegacyTask* known = session->FindTask(id); known && !known->local.empty()) {
    if (known->result.empty()) co_return NoSuchTask("the task's result was not kept");
    co_return RelatedTo(known->result, id);
  }
  auto wait = kPollFirst;
  while (true) {
    auto asking = AskTask(ctx, spec, "tasks/get", id, "", events);
    METAMCP_CO_ASSIGN_OR_RETURN(const std::string detailed, co_await std::move(asking));
    METAMCP_CO_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(detailed));
    const std::string status = view.String("status").value_or("");
    if (status == "completed") {
      METAMCP_CO_ASSIGN_OR_RETURN(
          const std::string result,
          mcp::ResultToLegacy("tools/call", view.Raw("result"), session->revision));
      co_return RelatedTo(result, id);
    }
    if (IsOver(status)) {
      const auto error = json::ScanObject(view.Raw("error"));
      co_return MakeError("UPSTREAM_ERROR", "upstream",
                          error.ok() ? error->String("message").value_or("the task failed")
                                     : StrCat("the task was ", status));
    }
    const auto requests = json::ScanObject(view.Raw("inputRequests"));
    if (status == "input_required" && requests.ok() && !requests->empty()) {
      auto asked = AskAll(session, std::string(requests->text()), reply);
      METAMCP_CO_ASSIGN_OR_RETURN(const std::string answers, co_await std::move(asked));
      auto updating = AskTask(ctx, spec, "tasks/update", id, answers, events);
      METAMCP_CO_ASSIGN_OR_RETURN(const std::string ack, co_await std::move(updating));
      wait = kPollFirst;
      continue;
    }
    const auto poll = json::RawInt64(view.Raw("pollIntervalMs")).value_or(1000);
    const bool slept = co_await Sleep(wait);
    if (!slept) co_return MakeError("CANCELLED", "gateway", "the client cancelled the request");
    wait = std::min({wait * 2, kPollMax, std::max(kPollFirst, std::chrono::milliseconds(poll))});
  }
}

Awaitable<absl::StatusOr<std::string>> LegacyFront::CancelTask(
    const CallContext& ctx, const CallSpec& spec, std::string id,
    std::shared_ptr<LegacySession> session, CallEvents& events) {
  auto looking = TaskNow(ctx, spec, id, session, events);
  METAMCP_CO_ASSIGN_OR_RETURN(const std::string before, co_await std::move(looking));
  METAMCP_CO_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(before));
  const std::string status = view.String("status").value_or("");
  if (IsOver(status)) co_return NoSuchTask(StrCat("the task is ", status, " already"));
  auto asking = AskTask(ctx, spec, "tasks/cancel", id, "", events);
  METAMCP_CO_ASSIGN_OR_RETURN(const std::string ack, co_await std::move(asking));
  if (LegacyTask* known = session->FindTask(id)) known->cancelled = true;
  co_return WithMember(before, "status", "\"cancelled\"");
}

Awaitable<absl::StatusOr<std::string>> LegacyFront::ListTasks(
    const CallContext& ctx, const CallSpec& spec, std::shared_ptr<LegacySession> session,
    CallEvents& events) {
  std::vector<std::string> ids;
  for (const LegacyTask& task : session->tasks) ids.push_back(task.id);
  std::vector<std::string> tasks;
  for (const std::string& id : ids) {
    auto looking = TaskNow(ctx, spec, id, session, events);
    auto task = co_await std::move(looking);
    if (task.ok()) tasks.push_back(*std::move(task));
  }
  co_return StrCat("{\"tasks\":", json::JoinArray(tasks), "}");
}

Awaitable<absl::StatusOr<CallOutcome>> LegacyFront::RunTask(const CallContext& ctx, CallSpec spec,
                                                            std::string method, std::string id,
                                                            std::shared_ptr<LegacySession> session,
                                                            CallEvents& events, Reply& reply) {
  auto doing = method == "tasks/get"      ? TaskNow(ctx, spec, id, session, events)
               : method == "tasks/result" ? TaskResult(ctx, spec, id, session, events, reply)
               : method == "tasks/cancel" ? CancelTask(ctx, spec, id, session, events)
                                          : ListTasks(ctx, spec, session, events);
  CallOutcome outcome;
  METAMCP_CO_ASSIGN_OR_RETURN(outcome.result, co_await std::move(doing));
  co_return outcome;
}

Awaitable<void> LegacyFront::HandleTask(Incoming in, std::shared_ptr<LegacySession> session,
                                        Reply& reply) {
  const jsonrpc::Id id = in.envelope->id;
  const std::string method(in.envelope->method);
  auto meta = mcp::ParseLegacyMeta(in.envelope->meta);
  if (!meta.ok()) {
    co_await RespondError(reply, id, meta.status(), kLegacy);
    co_return;
  }
  const CallContext ctx = MakeContext(deps_, in, *meta);
  CallSpec spec = TaskSpec(in, *session, reply.can_push());
  FrontEvents events(reply, session->revision, meta->progress_token, session->log_level);
  const std::string task_id = in.envelope->params.String("taskId").value_or("");
  auto op = RunTask(ctx, std::move(spec), method, task_id, session, events, reply);
  auto register_cancel = [&session, &id](std::function<void()> cancel) {
    session->in_flight[id] = std::move(cancel);
  };
  auto guarded = RunWhileConnected(reply, false, register_cancel, std::move(op));
  absl::StatusOr<CallOutcome> outcome = co_await std::move(guarded);
  session->in_flight.erase(id);
  if (!outcome.ok()) {
    if (absl::IsCancelled(outcome.status())) {
      (void)co_await reply.End(202);
      co_return;
    }
    co_await RespondError(reply, id, outcome.status(), kLegacy);
    co_return;
  }
  std::string message = jsonrpc::MakeResult(id, std::string(std::move(outcome->result)));
  (void)co_await reply.Respond(200, std::move(message));
}

CallSpec LegacyFront::TaskSpec(const Incoming& in, const LegacySession& session, bool can_push) {
  CallSpec spec;
  spec.view = in.view;
  const auto with = mcp::WithTasks(can_push ? std::string_view(session.client_capabilities) : "{}");
  spec.client_capabilities = with.ok() ? *with : "{}";
  spec.client_info = session.client_info;
  spec.client_revision = mcp::RevisionName(session.revision);
  spec.affinity = session.handle;
  return spec;
}

}  // namespace metamcp::gateway
