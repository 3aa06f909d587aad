// Tasks of an upstream, of either flavour, in the shape of the extension io.modelcontextprotocol/
// tasks; and calls that become tasks although their client knows none, which are driven to their
// end here. Sources: MCP 2025-11-25 basic/utilities/tasks; ext-tasks.

#include <algorithm>
#include <set>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "common/mcp/validate.h"
#include "services/connector/handshake.h"
#include "services/connector/upstream_call.h"

namespace metamcp::connector {
namespace {

constexpr std::chrono::milliseconds kPollFirst(50);
constexpr std::chrono::milliseconds kPollMin(50);
constexpr std::chrono::milliseconds kPollDefault(1000);
constexpr std::chrono::milliseconds kPollMax(5000);
// How long a legacy task that waits for input gets to say for what.
constexpr std::chrono::milliseconds kQuestionWait(500);
// A session that runs a task is not idle for this long after anybody asked for it.
constexpr std::chrono::minutes kTaskKept(60);
constexpr size_t kHeldMax = 1000;

struct TaskView {
  std::string status;
  std::string message;
  std::chrono::milliseconds poll = kPollDefault;
  std::string json;  // a result of tasks/get
  bool asks() const { return status == "input_required" && !requests.empty(); }
  bool over() const { return status == "completed" || status == "failed" || status == "cancelled"; }
  std::string requests;  // raw inputRequests, empty: none
};

absl::StatusOr<TaskView> ReadTask(std::string json) {
  TaskView out;
  {
    METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(json));
    const auto status = view.String("status");
    if (!status || !view.String("taskId")) {
      return MakeError("UPSTREAM_PROTOCOL", "connector", "the answer to tasks/get is no task");
    }
    out.status = *status;
    out.message = view.String("statusMessage").value_or("");
    const auto poll = json::RawInt64(view.Raw("pollIntervalMs"));
    if (poll) out.poll = std::clamp(std::chrono::milliseconds(*poll), kPollMin, kPollMax);
    const auto requests = json::ScanObject(view.Raw("inputRequests"));
    if (requests.ok() && !requests->empty()) out.requests = std::string(requests->text());
    json::Splicer splicer(view);
    splicer.SetString("resultType", "complete");
    out.json = splicer.Build();
  }
  return out;
}

absl::StatusOr<std::string> WithMember(std::string_view object, std::string_view key,
                                       std::string_view raw) {
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(object));
  json::Splicer splicer(view);
  splicer.Set(key, raw);
  return splicer.Build();
}

std::string ErrorText(const RpcError& error) {
  json::ObjectWriter out;
  out.AddInt("code", error.code);
  out.AddString("message", error.message);
  if (!error.data.empty()) out.Add("data", error.data);
  return std::move(out).Build();
}

}  // namespace

// A task's news, or the error that the upstream answered instead.
struct Upstream::TaskNews {
  std::optional<RpcError> error;
  TaskView task;
};

namespace {

RequestSpec TaskSpec(const pb::CallRequest& of, const TraceContext& trace, const Negotiated& peer,
                     std::string_view gateway_info, std::string_view method,
                     const std::string& task_id, std::string_view responses = {}) {
  pb::CallRequest request;
  request.set_method(std::string(method));
  request.set_target(task_id);
  request.set_params(StrCat("{\"taskId\":", json::JsonQuote(task_id), "}"));
  request.set_client_info(of.client_info());
  request.set_input_responses(std::string(responses));
  const auto capabilities = mcp::WithTasks(of.client_capabilities());
  request.set_client_capabilities(capabilities.ok() ? *capabilities : "{}");
  RequestSpec spec = EncodeCall(request, trace, peer, gateway_info);
  spec.call = false;
  return spec;
}

}  // namespace

void Upstream::PrepareTask(CallRun& run, const Negotiated& peer) {
  run.wants_task = mcp::ClientHasTasks(run.request.client_capabilities());
  if (!peer.tasks || run.request.method() != "tools/call") return;
  if (peer.modern()) {
    // A modern client that declares no tasks gets none; for others they are driven here.
    const bool modern_client =
        run.request.client_revision() == mcp::RevisionName(mcp::kLatestModern);
    if (run.wants_task || modern_client) return;
    auto with = mcp::WithTasks(run.request.client_capabilities());
    if (with.ok()) run.request.set_client_capabilities(*std::move(with));
    return;
  }
  const auto support = task_support_.find(run.request.target());
  if (support == task_support_.end()) return;
  const bool asked = !run.request.task().empty();
  if (asked || support->second) {
    run.task_param = asked ? run.request.task() : std::string("{}");
  }
}

std::shared_ptr<Instance> Upstream::TaskInstance(const std::string& key) {
  std::shared_ptr<Instance> instance = main_;
  if (!key.empty()) {
    const auto it = extra_.find(key);
    instance = it == extra_.end() ? nullptr : it->second;
  }
  if (instance == nullptr || !instance->usable()) return nullptr;
  instance->kept_until = Clock::now() + kTaskKept;
  return instance;
}

Awaitable<absl::StatusOr<Session::Answer>> Upstream::AskOfTask(const CallRun& run,
                                                               std::shared_ptr<Session> session,
                                                               std::string method,
                                                               std::string task_id,
                                                               std::string responses) {
  RequestSpec spec = TaskSpec(run.request, run.ctx.trace, session->negotiated(),
                              core_.dialer.options().client_info, method, task_id, responses);
  auto asking = session->Ask(std::move(spec), IdleTimeout(run.request));
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<Upstream::TaskNews>> Upstream::GetTask(const CallRun& run,
                                                                std::shared_ptr<Instance> instance,
                                                                std::string task_id) {
  const std::shared_ptr<Session> session = instance->session;
  auto asking = AskOfTask(run, session, "tasks/get", task_id, "");
  auto answer = co_await std::move(asking);
  if (!answer.ok()) co_return answer.status();
  TaskNews news;
  if (answer->error) {
    news.error = std::move(answer->error);
    co_return news;
  }
  if (session->negotiated().modern()) {
    METAMCP_CO_ASSIGN_OR_RETURN(news.task, ReadTask(std::move(answer->result)));
    co_return news;
  }
  METAMCP_CO_ASSIGN_OR_RETURN(std::string flat, mcp::TaskToModern(answer->result));
  METAMCP_CO_ASSIGN_OR_RETURN(news.task, ReadTask(std::move(flat)));
  if (news.task.status == "input_required") {
    auto holding = HoldTask(run, instance, task_id);
    const std::string requests = co_await std::move(holding);
    if (requests.empty()) {
      METAMCP_CO_ASSIGN_OR_RETURN(std::string waiting,
                                  WithMember(news.task.json, "status", "\"working\""));
      METAMCP_CO_ASSIGN_OR_RETURN(news.task, ReadTask(std::move(waiting)));
      co_return news;
    }
    METAMCP_CO_ASSIGN_OR_RETURN(std::string asking_task,
                                WithMember(news.task.json, "inputRequests", requests));
    METAMCP_CO_ASSIGN_OR_RETURN(news.task, ReadTask(std::move(asking_task)));
    co_return news;
  }
  if (news.task.status != "completed" && news.task.status != "failed") co_return news;
  held_.erase(StrCat(instance->key, "\n", task_id));
  auto fetching = AskOfTask(run, session, "tasks/result", task_id, "");
  auto fetched = co_await std::move(fetching);
  if (!fetched.ok()) co_return fetched.status();
  // There a failed tool is a failed task; here only what is no result at all has failed.
  std::string done = news.task.json;
  if (fetched->error) {
    METAMCP_CO_ASSIGN_OR_RETURN(done, WithMember(done, "status", "\"failed\""));
    METAMCP_CO_ASSIGN_OR_RETURN(done, WithMember(done, "error", ErrorText(*fetched->error)));
  } else {
    METAMCP_CO_ASSIGN_OR_RETURN(const mcp::CanonicalAnswer canonical,
                                mcp::CanonicalResult(session->negotiated().revision, "tools/call",
                                                     std::move(fetched->result)));
    METAMCP_CO_ASSIGN_OR_RETURN(done, WithMember(done, "status", "\"completed\""));
    METAMCP_CO_ASSIGN_OR_RETURN(done, WithMember(done, "result", canonical.json));
  }
  METAMCP_CO_ASSIGN_OR_RETURN(news.task, ReadTask(std::move(done)));
  co_return news;
}

// A legacy task asks on the stream of tasks/result, which is therefore held open. Returns the
// questions that are open as inputRequests; empty where none came.
Awaitable<std::string> Upstream::HoldTask(const CallRun& run, std::shared_ptr<Instance> instance,
                                          std::string task_id) {
  const std::string key = StrCat(instance->key, "\n", task_id);
  if (held_.find(key) == held_.end()) {
    std::erase_if(held_, [](const auto& entry) { return entry.second->exchange->done; });
    if (held_.size() >= kHeldMax) co_return "";
    RequestSpec spec = TaskSpec(run.request, run.ctx.trace, instance->session->negotiated(),
                                core_.dialer.options().client_info, "tasks/result", task_id);
    spec.call = true;
    spec.task_id = task_id;
    spec.capset = CapsetFor(CapsetOf(run.request), instance->session->negotiated().revision);
    auto begun = instance->session->Begin(std::move(spec));
    if (!begun.ok()) co_return "";
    held_[key] = std::make_shared<HeldTask>(instance->session, *begun);
  }
  const std::shared_ptr<HeldTask> held = held_[key];
  const auto until = Clock::now() + kQuestionWait;
  while (held->questions.empty() && held->exchange->questions.empty() && !held->exchange->done &&
         !held->watched) {
    held->watched = true;
    auto waiting = held->exchange->Wait(until);
    const auto wake = co_await std::move(waiting);
    held->watched = false;
    if (wake != Exchange::Wake::kSignalled) break;
  }
  for (Question& question : held->exchange->questions) {
    held->questions.emplace(StrCat("t", ++held->asked), std::move(question));
  }
  held->exchange->questions.clear();
  if (held->questions.empty()) co_return "";
  co_return InputRequests(held->questions);
}

// Passes answers on. The error is the upstream's.
Awaitable<absl::StatusOr<std::optional<RpcError>>> Upstream::UpdateTask(
    const CallRun& run, std::shared_ptr<Instance> instance, std::string task_id,
    std::string responses) {
  std::optional<RpcError> error;
  const std::shared_ptr<Session> session = instance->session;
  if (session->negotiated().modern()) {
    auto asking = AskOfTask(run, session, "tasks/update", task_id, responses);
    auto answer = co_await std::move(asking);
    if (!answer.ok()) co_return answer.status();
    error = std::move(answer->error);
    co_return error;
  }
  const auto held = held_.find(StrCat(instance->key, "\n", task_id));
  if (held == held_.end()) {
    auto getting = GetTask(run, instance, task_id);
    auto news = co_await std::move(getting);
    if (!news.ok()) co_return news.status();
    error = std::move(news->error);
    co_return error;
  }
  if (responses.empty()) responses = "{}";
  const auto view = json::ScanObject(responses);
  if (!view.ok())
    co_return MakeError("INVALID_PARAMS", domain_, "inputResponses must be an object");
  for (const json::Member& member : view->members()) {
    const auto question = held->second->questions.find(std::string(member.key));
    if (question == held->second->questions.end() || !member.value.is_object()) continue;
    session->AnswerQuestion(question->second, member.value.raw);
    held->second->questions.erase(question);
  }
  co_return error;
}

Awaitable<absl::StatusOr<std::optional<RpcError>>> Upstream::CancelTask(
    const CallRun& run, std::shared_ptr<Instance> instance, std::string task_id) {
  auto asking = AskOfTask(run, instance->session, "tasks/cancel", task_id, "");
  auto answer = co_await std::move(asking);
  if (!answer.ok()) co_return answer.status();
  std::optional<RpcError> error = std::move(answer->error);
  if (error && !instance->session->negotiated().modern()) {
    // To cancel what is over is an error there; here it is acknowledged.
    auto getting = GetTask(run, instance, task_id);
    auto news = co_await std::move(getting);
    if (news.ok() && !news->error && news->task.over()) error.reset();
  }
  const auto held = held_.find(StrCat(instance->key, "\n", task_id));
  if (held != held_.end()) {
    held->second->session->Cancel(*held->second->exchange, "the task was cancelled");
    held_.erase(held);
  }
  co_return error;
}

// tasks/get, tasks/update and tasks/cancel of a client.
Awaitable<absl::Status> Upstream::TaskCall(CallRun& run) {
  if (main_ == nullptr || !main_->usable()) {
    auto waiting = WaitReady(run.ctx.deadline);
    const absl::Status ready = co_await std::move(waiting);
    if (!ready.ok()) co_return ready;
  }
  const std::shared_ptr<Instance> instance = TaskInstance(run.request.instance());
  if (instance == nullptr) {
    co_return MakeError("UPSTREAM_LOST", domain_, "the session that ran this task is gone");
  }
  const InstanceUse use(instance);
  CallOutcome outcome;
  std::optional<RpcError> error;
  const std::string id = run.request.target();
  if (run.request.method() == "tasks/get") {
    auto getting = GetTask(run, instance, id);
    METAMCP_CO_ASSIGN_OR_RETURN(TaskNews news, co_await std::move(getting));
    error = std::move(news.error);
    outcome.result.json = std::move(news.task.json);
  } else {
    auto doing = run.request.method() == "tasks/update"
                     ? UpdateTask(run, instance, id, run.request.input_responses())
                     : CancelTask(run, instance, id);
    METAMCP_CO_ASSIGN_OR_RETURN(error, co_await std::move(doing));
    outcome.result.json = R"({"resultType":"complete"})";
  }
  if (error) outcome.error = DecodeError(*error, instance->session->negotiated(), "");
  auto delivering = Deliver(run, std::move(outcome));
  co_return co_await std::move(delivering);
}

// A call became a task: its client gets the task, or what the task comes to.
Awaitable<absl::Status> Upstream::TaskMade(CallRun& run, std::string json) {
  const std::shared_ptr<Instance> instance = run.use->instance;
  const Negotiated& peer = run.guard.session->negotiated();
  if (!peer.modern()) {
    METAMCP_CO_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(json));
    METAMCP_CO_ASSIGN_OR_RETURN(std::string flat, mcp::TaskToModern(view.Raw("task")));
    json = std::move(flat);
  }
  METAMCP_CO_ASSIGN_OR_RETURN(TaskView task, ReadTask(json));
  instance->kept_until = Clock::now() + kTaskKept;
  METAMCP_CO_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(task.json));
  const std::string id = view.String("taskId").value_or("");
  if (run.wants_task) {
    CallOutcome outcome;
    outcome.result.kind = pb::RESULT_KIND_TASK;
    outcome.result.instance = instance->key;
    METAMCP_CO_ASSIGN_OR_RETURN(outcome.result.json,
                                WithMember(task.json, "resultType", "\"task\""));
    auto delivering = Deliver(run, std::move(outcome));
    co_return co_await std::move(delivering);
  }
  auto driving = DriveTask(run, instance, id);
  co_return co_await std::move(driving);
}

// Goes on with a driven task whose client was asked something.
Awaitable<absl::Status> Upstream::ResumeTask(CallRun& run, std::string state) {
  METAMCP_CO_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(state));
  const std::string id = view.String("t").value_or("");
  const std::shared_ptr<Instance> instance = TaskInstance(view.String("i").value_or(""));
  if (instance == nullptr) {
    co_return MakeError("UPSTREAM_LOST", domain_, "the session that ran this task is gone");
  }
  run.use = std::make_shared<InstanceUse>(instance);
  if (!run.request.input_responses().empty()) {
    auto updating = UpdateTask(run, instance, id, run.request.input_responses());
    METAMCP_CO_ASSIGN_OR_RETURN(const auto error, co_await std::move(updating));
    if (error) {
      CallOutcome outcome;
      outcome.error = DecodeError(*error, instance->session->negotiated(), "");
      auto delivering = Deliver(run, std::move(outcome));
      co_return co_await std::move(delivering);
    }
  }
  auto driving = DriveTask(run, instance, id);
  co_return co_await std::move(driving);
}

// Gives up the driven task of that state.
void Upstream::DropTaskOf(const std::string& state, const pb::CallRequest& request) {
  const auto view = json::ScanObject(state);
  if (!view.ok()) return;
  const std::shared_ptr<Instance> instance = TaskInstance(view->String("i").value_or(""));
  if (instance == nullptr) return;
  core_.tasks.Spawn("task.cancel", DropTask(shared_from_this(), instance, request,
                                            view->String("t").value_or("")));
}

Awaitable<void> Upstream::DropTask(std::shared_ptr<Upstream> self,
                                   std::shared_ptr<Instance> instance, pb::CallRequest request,
                                   std::string task_id) {
  if (!instance->usable()) co_return;
  CallContext ctx;
  ctx.deadline = Clock::now() + std::chrono::seconds(10);
  NullSink sink;
  CallRun run(ctx, std::move(request), sink);
  auto cancelling = self->CancelTask(run, instance, task_id);
  (co_await std::move(cancelling)).status().IgnoreError();
}

// Polls a task to its end, or until it asks something.
Awaitable<absl::Status> Upstream::DriveTask(CallRun& run, std::shared_ptr<Instance> instance,
                                            std::string task_id) {
  // A caller that leaves cancels the task, which no other way of cancelling would.
  struct Leave {
    Upstream& upstream;
    CallRun& run;
    std::shared_ptr<Instance> instance;
    std::string task_id;
    bool settled = false;
    ~Leave() {
      if (settled) return;
      upstream.core_.tasks.Spawn(
          "task.cancel", DropTask(upstream.shared_from_this(), instance, run.request, task_id));
    }
  } leave{*this, run, instance, task_id};
  const auto hard = std::min(
      run.ctx.deadline, Clock::now() + std::chrono::milliseconds(core_.config.hard_timeout_ms));
  auto wait = kPollFirst;
  std::string told;
  int step = 0;
  while (true) {
    auto getting = GetTask(run, instance, task_id);
    METAMCP_CO_ASSIGN_OR_RETURN(TaskNews news, co_await std::move(getting));
    if (news.error || news.task.over() || news.task.asks()) {
      leave.settled = true;
      auto ending = TaskOver(run, instance, std::move(news), task_id);
      co_return co_await std::move(ending);
    }
    if (run.guard.exchange != nullptr) {
      auto passing = PassNotes(run, run.guard.exchange);
      const absl::Status passed = co_await std::move(passing);
      if (!passed.ok()) co_return passed;
    }
    if (run.request.wants_progress() && !news.task.message.empty() && news.task.message != told) {
      told = news.task.message;
      json::ObjectWriter progress;
      progress.AddInt("progress", ++step);
      progress.AddString("message", told);
      pb::CallResponse event;
      event.set_progress(std::move(progress).Build());
      auto writing = run.sink.Write(std::move(event));
      const absl::Status written = co_await std::move(writing);
      if (!written.ok()) co_return written;
    }
    const auto now = Clock::now();
    if (now >= hard) {
      co_return MakeError("UPSTREAM_TIMEOUT", domain_,
                          StrCat(slug_, " did not finish its task in time"));
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(hard - now);
    auto sleeping = Sleep(std::min(wait, std::max(left, std::chrono::milliseconds(1))));
    const bool slept = co_await std::move(sleeping);
    if (!slept) co_return absl::CancelledError("cancelled");
    wait = std::min(wait * 2, news.task.poll);
  }
}

// What a driven task came to, as the result of its call.
Awaitable<absl::Status> Upstream::TaskOver(CallRun& run, std::shared_ptr<Instance> instance,
                                           TaskNews news, std::string task_id) {
  CallOutcome outcome;
  const Negotiated& peer = instance->session->negotiated();
  std::optional<json::ObjectView> view;
  if (!news.error) {
    METAMCP_CO_ASSIGN_OR_RETURN(view, json::ScanObject(news.task.json));
  }
  if (news.error) {
    outcome.error = DecodeError(*news.error, peer, "");
  } else if (news.task.asks()) {
    json::ObjectWriter state;
    state.AddString("t", task_id);
    state.AddString("i", instance->key);
    json::ObjectWriter result;
    result.AddString("resultType", "input_required");
    result.Add("inputRequests", news.task.requests);
    result.AddString("requestState",
                     core_.parked.keys().Seal(SealPurpose::kTask, std::move(state).Build(),
                                              CallBinding(run.request, run.ctx)));
    outcome.result.kind = pb::RESULT_KIND_INPUT_REQUIRED;
    outcome.result.json = std::move(result).Build();
  } else if (news.task.status == "completed") {
    auto canonical =
        mcp::CanonicalResult(mcp::kLatestModern, "tools/call", std::string(view->Raw("result")));
    if (!canonical.ok()) co_return canonical.status();
    outcome.result.json = std::move(canonical->json);
  } else if (const auto error = json::ScanObject(view->Raw("error")); error.ok()) {
    RpcError failed;
    failed.code = json::RawInt64(error->Raw("code")).value_or(-32603);
    failed.message = error->String("message").value_or("the task failed");
    failed.data = std::string(error->Raw("data"));
    outcome.error = DecodeError(failed, peer, "");
  } else {
    co_return MakeError("UPSTREAM_ERROR", domain_,
                        StrCat("the task was ", news.task.status, ": ", news.task.message));
  }
  auto delivering = Deliver(run, std::move(outcome));
  co_return co_await std::move(delivering);
}

// Tells a Listen stream of every change of its tasks. Polled, as either flavour may keep silent.
Awaitable<void> Upstream::FollowTasks(std::shared_ptr<Upstream> self, pb::ListenRequest request,
                                      std::shared_ptr<Listener> listener) {
  CallContext ctx;
  NullSink sink;
  pb::CallRequest call;
  call.set_client_capabilities(request.client_capabilities());
  std::map<std::string, std::string> told;
  std::set<std::string> over;
  while (!listener->gone && over.size() < static_cast<size_t>(request.tasks_size())) {
    auto wait = kPollMax;
    for (const pb::TaskRef& ref : request.tasks()) {
      if (over.count(ref.task_id()) > 0) continue;
      const std::shared_ptr<Instance> instance = self->TaskInstance(ref.instance());
      if (instance == nullptr) {
        over.insert(ref.task_id());
        continue;
      }
      CallRun run(ctx, call, sink);
      auto getting = self->GetTask(run, instance, ref.task_id());
      auto news = co_await std::move(getting);
      if (!news.ok() || news->error) {
        over.insert(ref.task_id());
        continue;
      }
      wait = std::min(wait, news->task.poll);
      if (news->task.over()) over.insert(ref.task_id());
      std::string& last = told[ref.task_id()];
      if (last == news->task.json) continue;
      last = news->task.json;
      listener->tasks.push_back(news->task.json);
      listener->event.Set();
    }
    auto sleeping = Sleep(wait);
    const bool slept = co_await std::move(sleeping);
    if (!slept) co_return;
  }
}

}  // namespace metamcp::connector
