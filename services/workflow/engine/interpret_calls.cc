// Tasks with an effect outside. An effect that may not be repeated is on record before it begins;
// its result is stored before anything is made of it.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kAutomaticAttempts = 4;
constexpr std::chrono::milliseconds kAutomaticPause(250);

// The failure says that the server may have begun, and nobody knows how far it came.
bool EffectUnknown(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  if (!info) return absl::IsUnavailable(status);
  return info->reason == "UPSTREAM_LOST" || info->reason == "CALL_OWNER_LOST" ||
         info->reason == "UPSTREAM_TIMEOUT";
}

// Nothing was sent, and it may work shortly.
bool NotSent(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info && (info->reason == "UPSTREAM_UNAVAILABLE" || info->reason == "NOT_OWNER" ||
                  info->reason == "QUEUE_FULL");
}

std::string TextsOf(const std::string& result) {
  const auto parsed = json::ParseOrderedJson(result);
  std::string out;
  if (!parsed.ok() || !parsed->is_object() || !parsed->contains("content")) return out;
  for (const Json& one : (*parsed)["content"]) {
    if (one.is_object() && one.contains("text") && one["text"].is_string()) {
      out += StrCat(out.empty() ? "" : "\n", one["text"].get<std::string>());
    }
  }
  return out;
}

bool IsJson(std::string_view type) {
  return absl::StrContains(absl::AsciiStrToLower(Av(type)), "json");
}

std::string ContentOf(const HttpReply& reply, bool raw) {
  if (!raw && IsJson(reply.content_type)) {
    if (json::ScanValue(reply.body).ok()) return reply.body;
  }
  if (reply.body.empty()) return "null";
  return json::JsonQuote(reply.body);
}

std::string ResponseOf(const HttpCall& call, const HttpReply& reply) {
  const auto headers = [](const std::vector<std::pair<std::string, std::string>>& list) {
    json::ObjectWriter out;
    std::set<std::string> seen;
    for (const auto& [name, value] : list) {
      const std::string key = absl::AsciiStrToLower(name);
      if (key != "authorization" && seen.insert(key).second) out.AddString(key, value);
    }
    return std::move(out).Build();
  };
  json::ObjectWriter request;
  request.AddString("method", call.method);
  request.AddString("uri", call.url);
  request.Add("headers", headers(call.headers));
  json::ObjectWriter out;
  out.Add("request", std::move(request).Build());
  out.AddInt("statusCode", reply.status);
  out.Add("headers", headers(reply.headers));
  out.Add("content", ContentOf(reply, false));
  return std::move(out).Build();
}

}  // namespace

Awaitable<Outcome> RunTask::DoTool(const Task& task, std::string path, Frame frame) {
  auto evaluating = Evaluate(task.value, frame.input, &task, path, frame, "");
  auto arguments = co_await std::move(evaluating);
  if (!arguments.ok()) co_return FaultOf(arguments.status(), path);
  Effect effect;
  effect.tool = task.tool;
  effect.arguments = *std::move(arguments);
  const CallContext ctx = Context();
  auto describing = parts_.caller.Describe(ctx, task.tool);
  const auto info = co_await std::move(describing);
  // An unknown tool fails in the call, in the call chain's own words.
  if (info.ok()) {
    effect.repeatable = info->repeatable;
    if (!task.pin.empty() && !absl::StartsWith(info->fingerprint, task.pin)) {
      co_return Fault("validation", 409, "Tool changed",
                      StrCat("the definition of ", task.tool, " is not the pinned one"), path);
    }
  }
  if (task.repeatable) effect.repeatable = *task.repeatable;
  auto running = RunEffect(task, std::move(path), std::move(frame), std::move(effect));
  co_return co_await std::move(running);
}

Awaitable<Outcome> RunTask::DoHttp(const Task& task, std::string path, Frame frame) {
  const HttpSpec& spec = *task.http;
  Effect effect;
  effect.http = true;
  effect.output = spec.output;
  effect.request.method = spec.method;
  // All parts in one evaluation.
  Template all;
  all.constant = false;
  const Template none;
  all.text = StrCat("{\"uri\": (", spec.uri.text, "\n), \"headers\": (", spec.headers.text,
                    "\n), \"query\": (", spec.query.text, "\n), \"body\": (",
                    spec.body ? spec.body->text : "null", "\n), \"basic\": (",
                    spec.basic ? spec.basic->text : "null", "\n), \"bearer\": (",
                    spec.bearer ? spec.bearer->text : "null", "\n)}");
  for (const Template* one :
       {&spec.uri, &spec.headers, &spec.query, spec.body ? &*spec.body : &none,
        spec.basic ? &*spec.basic : &none, spec.bearer ? &*spec.bearer : &none}) {
    all.variables.insert(one->variables.begin(), one->variables.end());
  }
  all.text = StrCat(
      all.text,
      " | .uri += (if (.query | length) == 0 then \"\" else (if (.uri | contains(\"?\")) then "
      "\"&\" "
      "else \"?\" end) + ([.query | to_entries[] | (.key | @uri) + \"=\" + (.value | tostring | "
      "@uri)] | join(\"&\")) end) | .authorization = (if .basic then \"Basic \" + "
      "((.basic.username "
      "+ \":\" + .basic.password) | @base64) elif .bearer then \"Bearer \" + .bearer.token else "
      "null "
      "end)");
  auto evaluating = Evaluate(all, frame.input, &task, path, frame, "");
  const auto value = co_await std::move(evaluating);
  if (!value.ok()) co_return FaultOf(value.status(), path);
  const auto parsed = json::ParseOrderedJson(*value);
  if (!parsed.ok() || !(*parsed)["uri"].is_string() || !(*parsed)["headers"].is_object()) {
    co_return Fault("validation", 400, "Not a request", "uri must be text, headers an object",
                    path);
  }
  effect.request.url = (*parsed)["uri"].get<std::string>();
  for (auto it = (*parsed)["headers"].begin(); it != (*parsed)["headers"].end(); ++it) {
    effect.request.headers.emplace_back(
        it.key(), it->is_string() ? it->get<std::string>() : json::DumpJson(*it));
  }
  if ((*parsed)["authorization"].is_string()) {
    effect.request.headers.emplace_back("Authorization",
                                        (*parsed)["authorization"].get<std::string>());
  }
  if (spec.body) {
    const Json& body = (*parsed)["body"];
    effect.request.body = body.is_string() ? body.get<std::string>() : json::DumpJson(body);
    effect.request.content_type =
        body.is_string() ? "text/plain; charset=utf-8" : "application/json";
  }
  effect.tool =
      StrCat(spec.method, " ", effect.request.url.substr(0, effect.request.url.find('?')));
  effect.repeatable = spec.method != "POST" && spec.method != "PATCH";
  if (task.repeatable) effect.repeatable = *task.repeatable;
  auto running = RunEffect(task, std::move(path), std::move(frame), std::move(effect));
  co_return co_await std::move(running);
}

// One call. `unknown`: nobody knows whether it took effect.
Awaitable<Outcome> RunTask::Attempt(const Effect& effect, std::string path, std::string key,
                                    bool* unknown) {
  Outcome out;
  const CallContext ctx = Context();
  if (!effect.http) {
    auto calling = parts_.caller.CallTool(ctx, effect.tool, effect.arguments, key);
    auto result = co_await std::move(calling);
    if (!result.ok()) {
      *unknown = EffectUnknown(result.status());
      out = FaultOf(result.status(), path);
      if (NotSent(result.status())) out.next = "not-sent";
      co_return out;
    }
    if (result->is_error) {
      co_return Fault("runtime", 500, "The tool failed", TextsOf(result->result), path);
    }
    out.output = std::move(result->result);
    co_return out;
  }
  HttpCall call = effect.request;
  call.headers.emplace_back("Idempotency-Key", key);
  auto calling = parts_.caller.CallHttp(ctx, call);
  auto reply = co_await std::move(calling);
  if (!reply.ok()) {
    *unknown = EffectUnknown(reply.status());
    out = FaultOf(reply.status(), path);
    if (NotSent(reply.status())) out.next = "not-sent";
    co_return out;
  }
  if (reply->status < 200 || reply->status > 299) {
    co_return Fault("communication", reply->status, StrCat("HTTP status ", reply->status),
                    reply->body.substr(0, 2000), path);
  }
  out.output = effect.output == "response" ? ResponseOf(effect.request, *reply)
                                           : ContentOf(*reply, effect.output == "raw");
  co_return out;
}

Awaitable<Outcome> RunTask::RunEffect(const Task& task, std::string path, Frame frame,
                                      Effect effect) {
  StepRow row = NewRow(task, path);
  row.tool = effect.tool;
  row.repeatable = effect.repeatable;
  row.key = Sha256Hex(StrCat(run_.id, path)).substr(0, 32);
  if (const StepRow* known = Find(path)) {
    if (known->state == "failed") {
      Outcome out;
      out.kind = Outcome::kFault;
      out.error = known->error;
      co_return out;
    }
    row.attempt = known->attempt + 1;
    if (known->state == "started" || known->state == "unknown") {
      if (!known->repeatable && !effect.repeatable) {
        bool again = false;
        auto deciding = Decide(task, path, frame, *known, &again);
        Outcome decided = co_await std::move(deciding);
        if (!again) co_return decided;
        row.attempt = Find(path)->attempt + 1;
      } else {
        StepRow before = *known;
        before.state = "unknown";
        before.ended_us = NowMicros();
        Defer(std::move(before), "step.unknown");
      }
    }
  }
  for (int tries = 1;; ++tries) {
    if (Paused() || lost_) co_return Stop();
    row.state = "started";
    row.started_us = NowMicros();
    Defer(row, "step.started");
    ++calls_;
    struct Counted {
      ~Counted() { --*count; }
      int* count;
    } counted{&calls_};
    if (!effect.repeatable || DesiredState() != state_) {
      auto committing = Durable(MakeCommit());
      const absl::Status stored = co_await std::move(committing);
      if (!stored.ok()) co_return Stop();
    }
    bool unknown = false;
    auto attempting = Attempt(effect, path, row.key, &unknown);
    Outcome outcome = co_await std::move(attempting);
    row.ended_us = NowMicros();
    const bool not_sent = outcome.kind == Outcome::kFault && outcome.next == "not-sent";
    outcome.next.clear();
    if ((not_sent || (unknown && effect.repeatable)) && tries < kAutomaticAttempts) {
      row.state = "failed";
      row.error = outcome.error;
      Defer(row, "step.failed");
      ++row.attempt;
      row.error.clear();
      auto pause = Sleep(kAutomaticPause * (1 << (2 * (tries - 1))));
      (void)co_await std::move(pause);
      continue;
    }
    if (unknown && !effect.repeatable) {
      row.state = "unknown";
      row.error = outcome.error;
      Defer(row, "step.unknown");
      --calls_;
      bool again = false;
      auto deciding = Decide(task, path, frame, row, &again);
      Outcome decided = co_await std::move(deciding);
      ++calls_;
      if (!again) co_return decided;
      row.attempt = Find(path)->attempt + 1;
      row.error.clear();
      tries = 0;
      continue;
    }
    if (outcome.kind == Outcome::kDone) {
      row.state = "effect";
      row.output = outcome.output;
      row.context = frame.context;
    } else {
      row.state = "failed";
      row.error = outcome.error;
    }
    Defer(row, row.state == "failed" ? "step.failed" : "");
    auto committing = Durable(MakeCommit());
    const absl::Status stored = co_await std::move(committing);
    if (!stored.ok()) co_return Stop();
    outcome.context = frame.context;
    co_return outcome;
  }
}

// Asks a person about a step whose effect is unknown: again, done with a result, skip or roll back.
Awaitable<Outcome> RunTask::Decide(const Task& task, std::string path, const Frame& frame,
                                   StepRow row, bool* again) {
  row.state = "unknown";
  Defer(row, "step.unknown");
  StepRow question = NewRow(task, path + "#decision");
  question.kind = "decision";
  question.compensable = false;
  question.attempt = row.attempt;
  question.tool = row.tool;
  question.detail =
      StrCat("{\"tool\":", json::JsonQuote(row.tool),
             ",\"why\":\"the step was under way when contact was lost; whether it took "
             "effect is unknown\",\"actions\":[\"retry\",\"done\",\"skip\",\"rollback\"]}");
  ++questions_;
  struct Counted {
    ~Counted() { --*count; }
    int* count;
  } counted{&questions_};
  auto waiting = WaitFor(question);
  const Answer answer = co_await std::move(waiting);
  if (answer.kind != Answer::kAnswered) co_return Stop();
  question.state = "done";
  question.output = answer.decision;
  question.ended_us = NowMicros();
  Defer(question, "");
  const auto decision = json::ParseOrderedJson(answer.decision);
  const std::string action =
      decision.ok() && decision->contains("action") ? (*decision)["action"].get<std::string>() : "";
  if (action == "retry") {
    *again = true;
    co_return Outcome();
  }
  if (action == "rollback") {
    Outcome out = Fault("runtime", 500, "Rolled back by decision", "", path);
    out.kind = Outcome::kRollback;
    co_return out;
  }
  Outcome out;
  out.context = frame.context;
  out.output = frame.input;
  row.state = "effect";
  if (action == "done" && decision->contains("result")) {
    out.output = json::DumpJson((*decision)["result"]);
  }
  row.output = out.output;
  row.context = out.context;
  row.ended_us = NowMicros();
  if (action == "skip") row.compensable = false;
  Defer(std::move(row), "");
  auto committing = Durable(MakeCommit());
  const absl::Status stored = co_await std::move(committing);
  if (!stored.ok()) co_return Stop();
  co_return out;
}

}  // namespace metamcp::workflow
