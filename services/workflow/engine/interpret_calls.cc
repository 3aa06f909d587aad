// Tasks with an effect outside: what they send, and what comes of one attempt.

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

// The failure says that the server may have begun, and nobody knows how far it came.
bool EffectUnknown(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  if (!info) {
    return absl::IsUnavailable(status) || absl::IsCancelled(status) ||
           absl::IsDeadlineExceeded(status);
  }
  return info->reason == "UPSTREAM_LOST" || info->reason == "CALL_OWNER_LOST" ||
         info->reason == "UPSTREAM_TIMEOUT";
}

// The approval that a person must give first; empty where the call failed otherwise.
std::string ApprovalIn(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  if (!info || info->reason != "CONSENT_REQUIRED") return "";
  const auto approval = info->metadata.find("approval");
  return approval == info->metadata.end() ? std::string() : approval->second;
}

// Nothing was sent, and it may work shortly.
bool NotSent(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info && (info->reason == "UPSTREAM_UNAVAILABLE" || info->reason == "NOT_OWNER" ||
                  info->reason == "QUEUE_FULL" || info->reason == "SERVICE_UNREACHABLE" ||
                  info->reason == "SHUTTING_DOWN");
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

// The request as people are shown it: without what may be secret.
std::string ShownRequest(const HttpCall& call) {
  json::ObjectWriter out;
  out.AddString("method", call.method);
  out.AddString("uri", call.url);
  if (!call.body.empty())
    out.Add("body", json::ScanValue(call.body).ok() ? call.body : json::JsonQuote(call.body));
  return std::move(out).Build();
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
  Effect effect;
  effect.tool = task.tool;
  if (EditFor(path) == nullptr) {
    auto evaluating = Evaluate(task.value, frame.input, &task, path, frame, "");
    auto arguments = co_await std::move(evaluating);
    if (!arguments.ok()) co_return FaultOf(arguments.status(), path);
    effect.arguments = *std::move(arguments);
  }
  const CallContext ctx = Context();
  auto describing = parts_.caller.Describe(ctx, task.tool);
  const auto info = co_await std::move(describing);
  // An unknown tool fails in the call, in the call chain's own words.
  if (info.ok()) {
    effect.repeatable = info->repeatable;
    effect.reads = info->reads;
    effect.sample = info->sample;
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
  effect.reads = spec.method == "GET" || spec.method == "HEAD";
  effect.arguments = ShownRequest(effect.request);
  if (task.repeatable) effect.repeatable = *task.repeatable;
  auto running = RunEffect(task, std::move(path), std::move(frame), std::move(effect));
  co_return co_await std::move(running);
}

// One call.
Awaitable<Outcome> RunTask::Attempt(const Effect& effect, std::string path, std::string key,
                                    AttemptNote* note) {
  Outcome out;
  const CallContext ctx = Context();
  if (!effect.http) {
    auto calling = parts_.caller.CallTool(ctx, effect.tool, effect.arguments, key);
    auto result = co_await std::move(calling);
    if (!result.ok()) {
      note->unknown = EffectUnknown(result.status());
      note->not_sent = NotSent(result.status());
      note->approval = ApprovalIn(result.status());
      co_return FaultOf(result.status(), path);
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
    note->unknown = EffectUnknown(reply.status());
    note->not_sent = NotSent(reply.status());
    co_return FaultOf(reply.status(), path);
  }
  if (reply->status < 200 || reply->status > 299) {
    co_return Fault("communication", reply->status, StrCat("HTTP status ", reply->status),
                    reply->body.substr(0, 2000), path);
  }
  out.output = effect.output == "response" ? ResponseOf(effect.request, *reply)
                                           : ContentOf(*reply, effect.output == "raw");
  co_return out;
}

}  // namespace metamcp::workflow
