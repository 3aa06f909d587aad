#include <algorithm>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "common/mcp/methods.h"
#include "common/mcp/validate.h"
#include "gateway/protocol/error_map.h"
#include "gateway/protocol/front_common.h"
#include "gateway/protocol/request_span.h"
#include "gateway/protocol/results.h"

namespace metamcp::gateway {
namespace {

constexpr mcp::Era kModern = mcp::Era::kModern;
// Resources that one listen stream may watch.
constexpr size_t kWatchesMax = 256;
// How long a listen waits for its upstreams before it acknowledges (mcp-digest 11.2).
constexpr std::chrono::milliseconds kAckBudget{500};
constexpr std::chrono::hours kListenWait{1};

// Whether `declared` has not all that `required` has; objects are compared member by member.
bool Lacks(std::string_view declared, std::string_view required) {
  const auto want = json::ScanObject(required);
  if (!want.ok()) return false;
  const auto have = json::ScanObject(declared);
  if (!have.ok()) return true;
  return std::any_of(want->members().begin(), want->members().end(), [&](const json::Member& m) {
    return !have->Has(m.key) || Lacks(have->Raw(m.key), m.value.raw);
  });
}

// Answers that are relayed: -32021 speaks of our own envelope, which is the client's.
bool ClientLacks(const CallSpec& spec, const jsonrpc::ErrorObject& error) {
  const auto data = json::ScanObject(error.data);
  return !data.ok() || !data->Has("requiredCapabilities") ||
         Lacks(spec.client_capabilities, data->Raw("requiredCapabilities"));
}

absl::Status NeedsTasks() {
  return MakeError("CAPABILITY_MISSING", "gateway",
                   StrCat("the client must declare the extension ", mcp::kTasksExtension),
                   {{"requiredCapabilities.json",
                     StrCat(R"({"extensions":{")", mcp::kTasksExtension, R"(":{}}})")}});
}

std::string SubscriptionMeta(const jsonrpc::Id& id) {
  json::ObjectWriter meta;
  meta.Add(mcp::kMetaSubscriptionId, id.raw());
  return std::move(meta).Build();
}

std::string ListChanged(std::string_view kind, const jsonrpc::Id& id) {
  json::ObjectWriter params;
  params.Add("_meta", SubscriptionMeta(id));
  return jsonrpc::MakeNotification(StrCat("notifications/", kind, "/list_changed"),
                                   std::move(params).Build());
}

std::string ResourceUpdated(const std::string& uri, const jsonrpc::Id& id) {
  json::ObjectWriter params;
  params.Add("_meta", SubscriptionMeta(id));
  params.AddString("uri", uri);
  return jsonrpc::MakeNotification("notifications/resources/updated", std::move(params).Build());
}

std::string TaskChanged(const std::string& task, const jsonrpc::Id& id) {
  auto view = json::ScanObject(task);
  if (!view.ok()) return "";
  json::Splicer splicer(*view);
  splicer.Remove("resultType");
  splicer.Set("_meta", SubscriptionMeta(id));
  return jsonrpc::MakeNotification("notifications/tasks", splicer.Build());
}

struct Filter {
  bool tools = false, prompts = false, resources = false;
  std::vector<std::string> uris;
  std::vector<std::string> tasks;
};

absl::StatusOr<std::vector<std::string>> ReadStrings(std::string_view raw, std::string_view name) {
  std::vector<std::string> out;
  auto list = json::ScanArray(raw);
  bool good = list.ok() && list->size() <= kWatchesMax;
  for (size_t i = 0; good && i < list->size(); ++i) {
    auto text = json::JsonUnquote((*list)[i].raw);
    good = (*list)[i].is_string() && text.ok();
    if (good) out.push_back(*std::move(text));
  }
  if (good) return out;
  return MakeError("INVALID_PARAMS", "gateway",
                   StrCat("params.notifications.", name, " must be an array of at most ",
                          kWatchesMax, " strings"));
}

absl::StatusOr<Filter> ParseFilter(const json::ObjectView& params) {
  const auto bad = [](std::string_view what) {
    return MakeError("INVALID_PARAMS", "gateway", StrCat("params.notifications", what));
  };
  auto view = json::ScanObject(params.Raw("notifications"));
  if (!view.ok()) return bad(" must be an object");
  Filter filter;
  for (const json::Member& member : view->members()) {
    bool* flag = member.key == "toolsListChanged"       ? &filter.tools
                 : member.key == "promptsListChanged"   ? &filter.prompts
                 : member.key == "resourcesListChanged" ? &filter.resources
                                                        : nullptr;
    if (flag != nullptr) {
      if (!member.value.is_bool()) return bad(StrCat(".", member.key, " must be a boolean"));
      *flag = member.value.raw == "true";
    } else if (member.key == "resourceSubscriptions") {
      METAMCP_ASSIGN_OR_RETURN(filter.uris, ReadStrings(member.value.raw, member.key));
    } else if (member.key == "taskIds") {
      METAMCP_ASSIGN_OR_RETURN(filter.tasks, ReadStrings(member.value.raw, member.key));
    }
  }
  return filter;
}

std::string Acknowledge(const Filter& filter, const jsonrpc::Id& id) {
  json::ObjectWriter honoured;
  if (filter.tools) honoured.AddBool("toolsListChanged", true);
  if (filter.prompts) honoured.AddBool("promptsListChanged", true);
  if (filter.resources) honoured.AddBool("resourcesListChanged", true);
  const auto add = [&honoured](std::string_view name, const std::vector<std::string>& texts) {
    std::vector<std::string> quoted;
    for (const std::string& text : texts) quoted.push_back(json::JsonQuote(text));
    if (!quoted.empty()) honoured.Add(name, json::JoinArray(quoted));
  };
  add("resourceSubscriptions", filter.uris);
  add("taskIds", filter.tasks);
  json::ObjectWriter params;
  params.Add("_meta", SubscriptionMeta(id));
  params.Add("notifications", std::move(honoured).Build());
  return jsonrpc::MakeNotification("notifications/subscriptions/acknowledged",
                                   std::move(params).Build());
}

}  // namespace

absl::Status ModernFront::CheckParamHeaders(const Incoming& in) const {
  if (!in.has_headers || in.envelope->method != "tools/call") return absl::OkStatus();
  const auto name = in.envelope->params.String("name");
  const EntryPtr entry = name ? in.view->Find(catalog::v1::ITEM_KIND_TOOL, *name) : nullptr;
  if (entry == nullptr) return absl::OkStatus();
  for (const mcp::ParamHeader& param : entry->front_headers) {
    METAMCP_RETURN_IF_ERROR(
        mcp::CheckParamHeader(param, in.header(StrCat(mcp::kHeaderParamPrefix, param.name)),
                              in.envelope->params.Raw("arguments")));
  }
  return absl::OkStatus();
}

Awaitable<void> ModernFront::Handle(Incoming in, mcp::RequestMeta meta, Reply& reply) {
  const jsonrpc::Id id = in.envelope->id;
  const std::string_view method = in.envelope->method;
  // A subscription lasts as long as its client; what it brings are events of others.
  trace::Span span;
  if (method != "subscriptions/listen") span = BeginRequest(in, mcp::kLatestModern, &meta);
  reply.Trace(&span);
  if (method == "server/discover") {
    if (deps_.preparer != nullptr) {
      auto preparing = deps_.preparer->Prepare(in.view, in.principal);
      co_await std::move(preparing);
    }
    std::string message =
        jsonrpc::MakeResult(id, DiscoverResult(*SeenBy(deps_.filter, in.view, in.principal)));
    (void)co_await reply.Respond(200, std::move(message));
    co_return;
  }
  if (const absl::Status valid =
          mcp::ValidateParams(mcp::kLatestModern, method, in.envelope->params.text());
      !valid.ok()) {
    co_await RespondError(reply, id, valid, kModern);
    co_return;
  }
  if (const auto kind = ListKind(method)) {
    auto listing = AnswerList(deps_, in, *kind, mcp::kLatestModern);
    absl::StatusOr<std::string> result = co_await std::move(listing);
    if (!result.ok()) {
      co_await RespondError(reply, id, result.status(), kModern);
      co_return;
    }
    std::string message = jsonrpc::MakeResult(id, std::string(*std::move(result)));
    (void)co_await reply.Respond(200, std::move(message));
    co_return;
  }
  if (method == "subscriptions/listen") {
    co_await HandleListen(std::move(in), std::move(meta), reply);
    co_return;
  }
  const mcp::MethodInfo* info = mcp::FindMethod(method);
  // What the protocol does not know goes to the one upstream that may.
  const bool extension = info == nullptr && in.view->ExtensionUpstream(method) != nullptr;
  const bool task = info != nullptr && info->extension && !info->notification && in.view->tasks();
  if (task && mcp::ServerAccepts(*info, mcp::kLatestModern) &&
      !mcp::ClientHasTasks(meta.client_capabilities)) {
    co_await RespondError(reply, id, NeedsTasks(), kModern);
    co_return;
  }
  const bool known = extension || (task && mcp::ServerAccepts(*info, mcp::kLatestModern)) ||
                     (info != nullptr && !info->extension && !info->notification &&
                      mcp::ServerAccepts(*info, mcp::kLatestModern));
  if (!known) {
    const absl::Status status =
        MakeError("METHOD_NOT_FOUND", "gateway", StrCat("no method \"", method, "\""));
    co_await RespondError(reply, id, status, kModern);
    co_return;
  }
  if (const absl::Status status = CheckParamHeaders(in); !status.ok()) {
    co_await RespondError(reply, id, status, kModern);
    co_return;
  }
  co_await HandleCall(std::move(in), std::move(meta), reply);
}

Awaitable<void> ModernFront::HandleCall(Incoming in, mcp::RequestMeta meta, Reply& reply) {
  const jsonrpc::Id id = in.envelope->id;
  const auto& params = in.envelope->params;
  const CallContext ctx = MakeContext(deps_, in, meta);
  CallSpec spec;
  spec.view = in.view;
  spec.method = std::string(in.envelope->method);
  spec.params = std::string(params.text());
  spec.client_revision = mcp::RevisionName(mcp::kLatestModern);
  spec.client_capabilities = meta.client_capabilities;
  spec.client_info = meta.client_info;
  spec.log_level = meta.log_level;
  spec.meta = ForwardedMeta(meta);
  spec.wants_progress = meta.progress_token.present();
  spec.affinity = in.principal->subject;
  if (const json::Member* state = params.Find("requestState")) {
    auto text = json::JsonUnquote(state->value.raw);
    if (!state->value.is_string() || !text.ok()) {
      const absl::Status status =
          MakeError("INVALID_PARAMS", "gateway", "params.requestState must be a string");
      co_await RespondError(reply, id, status, kModern);
      co_return;
    }
    spec.has_request_state = true;
    spec.request_state = *std::move(text);
  }
  if (const json::Member* responses = params.Find("inputResponses")) {
    if (!responses->value.is_object()) {
      const absl::Status status =
          MakeError("INVALID_PARAMS", "gateway", "params.inputResponses must be an object");
      co_await RespondError(reply, id, status, kModern);
      co_return;
    }
    spec.input_responses = std::string(responses->value.raw);
  }
  FrontEvents events(reply, mcp::kLatestModern, meta.progress_token, meta.log_level);
  auto run = deps_.chain.Run(ctx, spec, events);
  auto guarded = RunWhileConnected(reply, true, nullptr, std::move(run));
  absl::StatusOr<CallOutcome> outcome = co_await std::move(guarded);
  NoteOutcome(reply, outcome);
  TellAllowance(reply, outcome);
  if (!outcome.ok()) {
    co_await RespondError(reply, id, outcome.status(), kModern);
    co_return;
  }
  if (outcome->failed) {
    jsonrpc::ErrorObject error = std::move(outcome->error);
    int http = 200;
    if (error.code == -32021 && ClientLacks(spec, error)) {
      http = 400;
    } else if (error.code <= -32020 && error.code >= -32022) {
      // It concerned our own request to the upstream; the client can do nothing about it.
      error.code = jsonrpc::kInternalError;
      error.message = StrCat("upstream:", outcome->upstream, ": ", error.message);
      error.data.clear();
    }
    std::string message = jsonrpc::MakeErrorResponse(id, error);
    (void)co_await reply.Respond(http, std::move(message));
    co_return;
  }
  // A slow reader holds up the message alone, nothing that it was made of.
  std::string message =
      jsonrpc::MakeResult(id, WithServerInfo(*in.view, std::move(outcome->result)));
  (void)co_await reply.Respond(200, std::move(message));
}

Awaitable<void> ModernFront::HandleListen(Incoming in, mcp::RequestMeta meta, Reply& reply) {
  const jsonrpc::Id id = in.envelope->id;
  auto filter = ParseFilter(in.envelope->params);
  if (!filter.ok() || !reply.can_push()) {
    const absl::Status status = filter.ok()
                                    ? MakeError("NOT_ACCEPTABLE", "gateway",
                                                "subscriptions/listen answers with an event stream")
                                    : filter.status();
    co_await RespondError(reply, id, status, kModern);
    co_return;
  }
  if (!filter->tasks.empty() && !mcp::ClientHasTasks(meta.client_capabilities)) {
    co_await RespondError(reply, id, NeedsTasks(), kModern);
    co_return;
  }
  auto outbox = std::make_shared<Outbox>(deps_.executor, deps_.outbox_messages_max, 4u << 20);
  auto gone = std::make_shared<bool>(false);
  reply.OnGone([outbox, gone] {
    *gone = true;
    outbox->Close();
  });
  ListInterest interest;
  interest.virtual_server = in.view->name();
  interest.principal = in.principal;
  interest.tools = filter->tools;
  interest.prompts = filter->prompts;
  interest.resources = filter->resources;
  interest.changed = [outbox, id](std::string_view kind) { outbox->Push(ListChanged(kind, id)); };
  interest.closing = [outbox] { outbox->Close(); };
  const auto token = deps_.hub.AddInterest(std::move(interest));

  std::vector<std::unique_ptr<ResourceWatch>> watches;
  std::vector<std::string> honoured;
  const auto until = std::chrono::steady_clock::now() + kAckBudget;
  for (const std::string& uri : filter->uris) {
    if (deps_.filter != nullptr && !deps_.filter->MayWatch(in.view, *in.principal, uri).ok())
      continue;
    auto updated = [outbox, id](const std::string& changed) {
      outbox->Push(ResourceUpdated(changed, id));
    };
    auto watch = deps_.hub.Watch(in.view, uri, in.principal->subject, meta.client_capabilities,
                                 in.principal, std::move(updated));
    if (watch.ok()) {
      watches.push_back(*std::move(watch));
      honoured.push_back(uri);
    }
  }
  const CallContext ctx = MakeContext(deps_, in, meta);
  std::vector<std::string> tasks;
  for (const std::string& handle : filter->tasks) {
    const auto task = deps_.chain.OpenTaskHandle(ctx, *in.view, handle);
    if (!task.ok()) continue;
    auto changed = [outbox, id](const std::string& json) { outbox->Push(TaskChanged(json, id)); };
    auto watch = deps_.hub.WatchTask(in.view, *task, handle, in.principal->subject,
                                     meta.client_capabilities, in.principal, std::move(changed));
    if (!watch.ok()) continue;
    watches.push_back(*std::move(watch));
    tasks.push_back(handle);
  }
  filter->tasks = std::move(tasks);
  filter->uris.clear();
  for (size_t i = 0; i < honoured.size(); ++i) {
    const auto left = std::max(until - std::chrono::steady_clock::now(),
                               std::chrono::steady_clock::duration::zero());
    const absl::Status ready = co_await watches[i]->Ready(left);
    // A late answer may still come; the watch keeps trying, so it counts.
    if (ready.ok() || absl::IsDeadlineExceeded(ready)) filter->uris.push_back(honoured[i]);
  }
  std::string ack = Acknowledge(*filter, id);
  absl::Status sent = co_await reply.Notify(std::move(ack));
  while (sent.ok() && !*gone) {
    std::optional<std::string> message = co_await outbox->Next(kListenWait);
    if (message) {
      sent = co_await reply.Notify(*std::move(message));
    } else if (outbox->closed()) {
      break;
    }
  }
  json::ObjectWriter result;
  result.AddString("resultType", "complete");
  result.Add("_meta", SubscriptionMeta(id));
  std::string last = jsonrpc::MakeResult(id, std::move(result).Build());
  (void)co_await reply.Respond(200, std::move(last));
}

}  // namespace metamcp::gateway
