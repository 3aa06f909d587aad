// From a client's request to the item that it means, and on to the request for a provider.
#include "gateway/routing/call_target.h"

#include <chrono>

#include "absl/strings/ascii.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/headers.h"
#include "gateway/routing/argument_map.h"
#include "gateway/routing/builtin_tools.h"

namespace metamcp::gateway {
namespace {

// How long a call waits for its user to log in before it asks again. Most clients wait longer.
constexpr std::chrono::milliseconds kLoginWait{50'000};

using catalog::v1::ITEM_KIND_PROMPT;
using catalog::v1::ITEM_KIND_TOOL;

bool IsTaskMethod(std::string_view method) {
  return method == "tasks/get" || method == "tasks/update" || method == "tasks/cancel";
}

// A tool whose call may be sent again (MCP tool annotations; absent hints are the cautious ones).
bool IsRepeatable(const std::string& definition) {
  auto view = json::ScanObject(definition);
  if (!view.ok()) return false;
  auto annotations = json::ScanObject(view->Raw("annotations"));
  return annotations.ok() && (annotations->Raw("readOnlyHint") == "true" ||
                              annotations->Raw("idempotentHint") == "true");
}

// Why nothing has that name: it may be what a server that is not connected yet will offer.
absl::Status NoSuchItem(const ServerView& view, ItemKind kind, const std::string& name,
                        std::string_view reason) {
  const std::string* why = kind == ITEM_KIND_TOOL ? view.FindQuarantined(name) : nullptr;
  if (why != nullptr) {
    return MakeError("TOOL_QUARANTINED", "policy",
                     StrCat("the tool \"", name, "\" is quarantined: ", *why));
  }
  const std::string what = StrCat(kind == ITEM_KIND_TOOL ? "no tool" : "no prompt", " \"", name,
                                  "\" on \"", view.name(), "\"");
  for (const auto& upstream : view.upstreams()) {
    const bool its = name.size() > upstream->name.size() && name.starts_with(upstream->name) &&
                     !absl::ascii_isalnum(static_cast<unsigned char>(name[upstream->name.size()]));
    if (!its || upstream->reachable || !upstream->enabled || upstream->has_items) continue;
    return MakeError("UPSTREAM_UNAVAILABLE", StrCat("upstream:", upstream->name),
                     StrCat(what, "; the server ", upstream->name, " is ",
                            upstream->state.empty()            ? "not connected yet"
                            : upstream->state == "needs-login" ? "waiting for a login"
                                                               : upstream->state,
                            " and has said nothing yet of what it offers"));
  }
  return MakeError(reason, "gateway", what);
}

}  // namespace

absl::StatusOr<CallChain::Target> CallChain::Resolve(const CallContext& ctx,
                                                     const CallSpec& spec) const {
  Target target;
  METAMCP_ASSIGN_OR_RETURN(target.params,
                           json::ScanObject(spec.params.empty() ? std::string_view("{}")
                                                                : std::string_view(spec.params)));
  const auto required = [](const json::ObjectView& object,
                           std::string_view key) -> absl::StatusOr<std::string> {
    if (auto text = object.String(key)) return *std::move(text);
    return MakeError("INVALID_PARAMS", "gateway", StrCat("params.", key, " must be a string"));
  };
  const auto find = [&](ItemKind kind, std::string_view reason) -> absl::Status {
    target.entry = spec.view->Find(kind, target.name);
    if (target.entry == nullptr) return NoSuchItem(*spec.view, kind, target.name, reason);
    target.routes = target.entry->routes;
    return absl::OkStatus();
  };
  const auto find_resource = [&]() -> absl::Status {
    auto route = spec.view->RouteResource(target.name);
    if (!route) {
      return MakeError("RESOURCE_NOT_FOUND", "gateway",
                       StrCat("no resource \"", target.name.substr(0, target.name.find('?')),
                              "\" on \"", spec.view->name(), "\""),
                       {{"uri", target.name}});
    }
    target.entry = std::move(route->entry);
    target.guessed = std::move(route->routes);
    target.routes = target.guessed;
    target.original_uri = std::move(route->original_uri);
    return absl::OkStatus();
  };
  if (spec.method == "tools/call") {
    METAMCP_ASSIGN_OR_RETURN(target.name, required(target.params, "name"));
    if (target.name == kFillTool && ctx.principal && ctx.principal->kind == "run") {
      target.entry = FillEntry();
      return target;
    }
    METAMCP_RETURN_IF_ERROR(find(ITEM_KIND_TOOL, "TOOL_NOT_FOUND"));
    target.repeatable = target.routes.size() > 1 && IsRepeatable(target.entry->definition);
  } else if (spec.method == "prompts/get") {
    METAMCP_ASSIGN_OR_RETURN(target.name, required(target.params, "name"));
    METAMCP_RETURN_IF_ERROR(find(ITEM_KIND_PROMPT, "PROMPT_NOT_FOUND"));
  } else if (spec.method == "resources/read") {
    METAMCP_ASSIGN_OR_RETURN(target.name, required(target.params, "uri"));
    METAMCP_RETURN_IF_ERROR(find_resource());
  } else if (spec.method == "completion/complete") {
    auto ref = json::ScanObject(target.params.Raw("ref"));
    if (!ref.ok()) {
      return MakeError("INVALID_PARAMS", "gateway", "params.ref must be an object");
    }
    const auto type = ref->String("type");
    target.ref_member = type == "ref/prompt" ? "name" : "uri";
    METAMCP_ASSIGN_OR_RETURN(target.name, required(*ref, target.ref_member));
    if (type == "ref/prompt") {
      METAMCP_RETURN_IF_ERROR(find(ITEM_KIND_PROMPT, "PROMPT_NOT_FOUND"));
    } else if (auto entry = spec.view->Find(catalog::v1::ITEM_KIND_TEMPLATE, target.name)) {
      target.entry = entry;
      target.routes = entry->routes;
    } else {
      METAMCP_RETURN_IF_ERROR(find_resource());
    }
  } else if (IsTaskMethod(spec.method)) {
    METAMCP_ASSIGN_OR_RETURN(target.name, required(target.params, "taskId"));
    METAMCP_ASSIGN_OR_RETURN(TaskHandle task, OpenTaskHandle(ctx, *spec.view, target.name));
    catalog::v1::Route route;
    route.set_upstream_id(task.upstream_id);
    route.set_original_name(task.task_id);
    target.guessed.push_back(std::move(route));
    target.routes = target.guessed;
    target.instance = std::move(task.instance);
  } else if (const auto upstream = spec.view->ExtensionUpstream(spec.method)) {
    catalog::v1::Route route;
    route.set_upstream_id(upstream->id);
    target.guessed.push_back(std::move(route));
    target.routes = target.guessed;
  } else {
    return MakeError("METHOD_NOT_FOUND", "gateway", StrCat("no method \"", spec.method, "\""));
  }
  return target;
}

absl::StatusOr<provider::v1::CallRequest> CallChain::MakeRequest(
    const CallSpec& spec, const Target& target, const catalog::v1::Route& route) const {
  provider::v1::CallRequest request;
  request.set_upstream_id(route.upstream_id());
  request.set_method(spec.method);
  // A template's route names the template; what is read is the URI that the client gave, as its
  // upstream knows it.
  const bool is_read = spec.method == "resources/read";
  std::string original = is_read ? target.original_uri : route.original_name();
  json::Splicer splicer(target.params);
  for (const std::string_view key : {"_meta", "inputResponses", "requestState"}) {
    splicer.Remove(key);
  }
  if (!target.ref_member.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const json::ObjectView ref,
                             json::ScanObject(target.params.Raw("ref")));
    json::Splicer ref_splicer(ref);
    ref_splicer.SetString(target.ref_member, original);
    splicer.Set("ref", ref_splicer.Build());
  } else if (original != target.name) {
    const std::string_view member = IsTaskMethod(spec.method) ? "taskId" : "name";
    splicer.SetString(is_read ? "uri" : member, original);
  }
  std::string arguments(target.params.Raw("arguments"));
  if (!target.arguments.empty()) {
    arguments = target.arguments;
    splicer.Set("arguments", arguments);
  }
  if (target.entry && !target.entry->arguments.empty()) {
    if (spec.method == "completion/complete") {
      METAMCP_RETURN_IF_ERROR(MapCompletion(target.entry->arguments, target.params, splicer));
    } else {
      METAMCP_ASSIGN_OR_RETURN(arguments, MapArguments(target.entry->arguments, arguments));
      splicer.Set("arguments", arguments);
    }
  }
  if (target.entry && !target.entry->back_headers.empty()) {
    METAMCP_ASSIGN_OR_RETURN(auto headers,
                             mcp::ComputeParamHeaders(target.entry->back_headers, arguments));
    for (auto& [name, value] : headers) (*request.mutable_param_headers())[name] = value;
  }
  request.set_target(std::move(original));
  request.set_params(splicer.Build());
  // Setting an empty text would allocate it.
  if (!spec.client_capabilities.empty()) {
    request.set_client_capabilities(spec.client_capabilities);
  }
  if (!spec.client_info.empty()) request.set_client_info(spec.client_info);
  if (!spec.log_level.empty()) request.set_log_level(spec.log_level);
  request.set_wants_progress(spec.wants_progress);
  if (!spec.meta.empty()) request.set_meta(spec.meta);
  // A login was our own question: the upstream has not seen the call yet.
  if (target.login) request.set_login_wait_ms(kLoginWait.count());
  // What the gateway itself asked for is no business of the upstream's.
  if (!target.again && target.approval.empty()) {
    if (!target.login && !spec.input_responses.empty()) {
      request.set_input_responses(spec.input_responses);
    }
    if (!target.provider_state.empty()) request.set_request_state(target.provider_state);
    request.set_has_request_state(spec.has_request_state && !target.login);
  }
  if (!spec.client_revision.empty()) request.set_client_revision(spec.client_revision);
  if (!spec.task.empty()) request.set_task(spec.task);
  if (!target.instance.empty()) request.set_instance(target.instance);
  if (!target.bound_owner.empty()) request.set_owner(target.bound_owner);
  if (!spec.holder.empty()) request.set_holder(spec.holder);
  if (!spec.affinity.empty()) request.set_affinity(spec.affinity);
  request.set_abandon(spec.abandon);
  return request;
}

}  // namespace metamcp::gateway
