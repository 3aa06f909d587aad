// Tasks that reach out of the workflow.

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/base/strings.h"
#include "services/workflow/definition/reader.h"

namespace metamcp::workflow {
namespace {

constexpr int kQuorumMax = 20;
constexpr std::string_view kMethods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                         "PATCH", "DELETE", "OPTIONS"};

}  // namespace

void Reader::Call(const Json& value, Task* task) {
  const std::string function = Text(value, "call", task->path);
  const std::string at = Join(task->path, "with");
  static const Json kNone = Json::object();
  const Json* with = value.contains("with") ? Object(value, "with", task->path) : &kNone;
  if (with == nullptr) return;
  if (function == "http") return CallHttp(*with, task, at);
  if (function == "mcp") return CallMcp(*with, task, at);
  if (function == "approval") return Approval(*with, task);
  for (const std::string_view refused : {"grpc", "openapi", "asyncapi", "a2a"}) {
    if (function == refused) {
      Note(Join(task->path, "call"), StrCat("calls of ", refused, " are not supported"));
      return;
    }
  }
  CallFunction(function, *with, task);
}

// "server.tool@mcp" or "server.tool:pin@mcp": the catalog of tools is named mcp.
void Reader::CallFunction(const std::string& function, const Json& with, Task* task) {
  constexpr std::string_view kCatalog = "@mcp";
  const std::string at = Join(task->path, "call");
  if (!absl::EndsWith(function, Av(kCatalog))) {
    Note(at,
         StrCat("there is no function \"", function, "\"; a tool is called as server.tool@mcp"));
    return;
  }
  std::string name = function.substr(0, function.size() - kCatalog.size());
  if (const size_t colon = name.rfind(':'); colon != std::string::npos) {
    task->pin = name.substr(colon + 1);
    name.resize(colon);
  }
  if (name.empty()) Note(at, "names no tool");
  task->kind = TaskKind::kTool;
  task->tool = name;
  task->value = CompileValue(with);
}

void Reader::CallMcp(const Json& with, Task* task, const std::string& path) {
  task->kind = TaskKind::kTool;
  Only(with, {"protocolVersion", "method", "parameters", "timeout", "transport", "client"}, path);
  const std::string method = Text(with, "method", path);
  if (method != "tools/call") {
    Note(Join(path, "method"), "only tools/call is supported");
  }
  if (with.contains("timeout") && !task->timeout) {
    task->timeout = Duration(with["timeout"], Join(path, "timeout"));
  }
  std::string server;
  if (const Json* transport = Object(with, "transport", path)) {
    const std::string at = Join(path, "transport");
    if (transport->contains("stdio")) {
      Note(Join(at, "stdio"), "inline commands are refused; register the server and name it");
    }
    if (const Json* http = Object(*transport, "http", at)) {
      if (http->contains("headers")) {
        Note(StrCat(at, "/http/headers"), "inline headers are refused; they belong to the server");
      }
      const auto endpoint = http->find("endpoint");
      if (endpoint == http->end() || !endpoint->is_string() ||
          absl::StrContains(endpoint->get_ref<const std::string&>(), "://")) {
        Note(StrCat(at, "/http/endpoint"),
             "must be the name of a registered server, not an address");
      } else {
        server = endpoint->get<std::string>();
      }
    }
  }
  const Json* parameters = Object(with, "parameters", path);
  if (parameters == nullptr) {
    if (!with.contains("parameters")) Note(Join(path, "parameters"), "is missing");
    return;
  }
  const std::string tool = Text(*parameters, "name", Join(path, "parameters"));
  if (tool.empty()) Note(StrCat(path, "/parameters/name"), "names no tool");
  task->tool = server.empty() ? tool : StrCat(server, ".", tool);
  const auto arguments = parameters->find("arguments");
  task->value =
      arguments == parameters->end() ? CompileValue(Json::object()) : CompileValue(*arguments);
}

void Reader::CallHttp(const Json& with, Task* task, const std::string& path) {
  task->kind = TaskKind::kHttp;
  Only(with, {"method", "endpoint", "headers", "body", "query", "output", "redirect"}, path);
  HttpSpec http;
  http.method = absl::AsciiStrToUpper(Text(with, "method", path));
  if (std::find(std::begin(kMethods), std::end(kMethods), http.method) == std::end(kMethods)) {
    Note(Join(path, "method"), "must be get, head, post, put, patch, delete or options");
  }
  const auto endpoint = with.find("endpoint");
  const Json* authentication = nullptr;
  if (endpoint != with.end() && endpoint->is_string()) {
    http.uri = CompileUri(endpoint->get_ref<const std::string&>());
  } else if (endpoint != with.end() && endpoint->is_object()) {
    const std::string at = Join(path, "endpoint");
    Only(*endpoint, {"uri", "authentication"}, at);
    http.uri = CompileUri(Text(*endpoint, "uri", at));
    authentication =
        endpoint->contains("authentication") ? &(*endpoint)["authentication"] : nullptr;
  } else {
    Note(Join(path, "endpoint"), "is missing");
  }
  if (authentication != nullptr) {
    const std::string at = StrCat(path, "/endpoint/authentication");
    if (authentication->is_object() && authentication->contains("use")) {
      authentication = Reusable("authentications", (*authentication)["use"], at);
    } else if (authentication->is_string()) {
      authentication = Reusable("authentications", *authentication, at);
    }
    if (authentication != nullptr && authentication->is_object()) {
      for (auto it = authentication->begin(); it != authentication->end(); ++it) {
        if (it->is_object() && it->contains("use")) {
          Note(Join(at, it.key()), "secrets are not supported");
        } else if (it.key() == "basic") {
          http.basic = CompileValue(*it);
        } else if (it.key() == "bearer") {
          http.bearer = CompileValue(*it);
        } else {
          Note(Join(at, it.key()), "is not supported; basic and bearer are");
        }
      }
    }
  }
  http.headers = CompileValue(with.contains("headers") ? with["headers"] : Json::object());
  http.query = CompileValue(with.contains("query") ? with["query"] : Json::object());
  if (with.contains("body")) http.body = CompileValue(with["body"]);
  http.output = with.contains("output") ? Text(with, "output", path) : "content";
  if (http.output != "content" && http.output != "response" && http.output != "raw") {
    Note(Join(path, "output"), "must be content, response or raw");
  }
  http.redirect = Bool(with, "redirect", path, false);
  if (http.redirect) Note(Join(path, "redirect"), "redirects are not followed");
  task->http = std::move(http);
}

// An approval by persons: {title, show, expires, approvers, separate, quorum}.
void Reader::Approval(const Json& with, Task* task) {
  const std::string path = Join(task->path, "with");
  Only(with, {"title", "show", "expires", "approvers", "separate", "quorum"}, path);
  if (with.contains("approvers") && !with["approvers"].is_array() &&
      !with["approvers"].is_string()) {
    Note(Join(path, "approvers"), "must be a list of user:NAME, role:NAME, team:NAME or owner");
  }
  if (with.contains("separate") && !with["separate"].is_boolean()) {
    Note(Join(path, "separate"), "must be true or false");
  }
  if (with.contains("quorum")) {
    const Json& quorum = with["quorum"];
    const bool fits = quorum.is_number_integer() && quorum >= 1 && quorum <= kQuorumMax;
    if (!fits) Note(Join(path, "quorum"), StrCat("must be a whole number from 1 to ", kQuorumMax));
  }
  task->kind = TaskKind::kApproval;
  if (with.contains("expires")) task->wait = Duration(with["expires"], Join(path, "expires"));
  Json shown = with;
  shown.erase("expires");
  task->value = CompileValue(shown);
}

void Reader::Emit(const Json& value, Task* task) {
  const std::string path = Join(task->path, "emit");
  const Json* event = value.is_object() ? Object(value, "event", path) : nullptr;
  const Json* with = event == nullptr ? nullptr : Object(*event, "with", Join(path, "event"));
  if (with == nullptr) return Note(path, "needs event.with");
  if (!with->contains("source") || !with->contains("type")) {
    Note(StrCat(path, "/event/with"), "needs source and type");
  }
  task->value = CompileValue(*with);
}

EventFilter Reader::Filter(const Json& value, const std::string& path) {
  EventFilter out;
  const Json* with = value.is_object() ? Object(value, "with", path) : nullptr;
  if (with == nullptr) {
    Note(path, "needs `with`");
    return out;
  }
  Only(value, {"with"}, path);
  for (auto it = with->begin(); it != with->end(); ++it) {
    out.with.emplace_back(it.key(), CompileValue(*it));
  }
  return out;
}

bool Reader::Events(const Json& to, const std::string& path, std::vector<EventFilter>* out,
                    bool* all) {
  if (to.contains("one")) {
    out->push_back(Filter(to["one"], Join(path, "one")));
    return true;
  }
  *all = to.contains("all");
  if (!*all && !to.contains("any")) {
    Note(path, "needs one, any or all");
    return false;
  }
  const std::string member = *all ? "all" : "any";
  const Json& list = to[member];
  if (!list.is_array() || (*all && list.empty())) {
    Note(Join(path, member), "needs events");
    return false;
  }
  // Any event at all.
  if (list.empty()) out->emplace_back();
  for (size_t i = 0; i < list.size(); ++i) {
    out->push_back(Filter(list[i], Join(Join(path, member), StrCat(i))));
  }
  return true;
}

void Reader::Listen(const Json& value, Task* task) {
  const std::string path = Join(task->path, "listen");
  if (value.contains("foreach")) Note(Join(task->path, "foreach"), "is not supported");
  const Json& body = value["listen"];
  if (!body.is_object()) return Note(path, "must be an object");
  Only(body, {"to", "read"}, path);
  const std::string read = Text(body, "read", path);
  if (!read.empty() && read != "data" && read != "envelope" && read != "raw") {
    Note(Join(path, "read"), "must be data, envelope or raw");
  }
  task->listen_envelope = read == "envelope" || read == "raw";
  const Json* to = Object(body, "to", path);
  if (to == nullptr) return Note(path, "needs `to`");
  const std::string at = Join(path, "to");
  Only(*to, {"one", "any", "all", "until"}, at);
  if (!Events(*to, at, &task->events, &task->listen_all) || !to->contains("until")) return;
  const std::string until_path = Join(at, "until");
  const Json& until = (*to)["until"];
  if (!to->contains("any")) return Note(until_path, "belongs to any");
  if (until.is_string()) {
    task->until = CompileExpression(until.get<std::string>());
  } else if (until.is_object()) {
    Only(until, {"one", "any", "all"}, until_path);
    Events(until, until_path, &task->until_events, &task->until_all);
  } else {
    Note(until_path, "must be an expression, or events");
  }
}

void Reader::Run(const Json& value, Task* task) {
  const std::string path = Join(task->path, "run");
  if (!value.is_object()) return Note(path, "must be an object");
  for (const std::string_view refused : {"shell", "script", "container"}) {
    if (value.contains(std::string(refused))) {
      Note(Join(path, refused),
           StrCat("run: ", refused, " is refused: a workflow starts no programs"));
      return;
    }
  }
  Only(value, {"workflow", "await", "return"}, path);
  task->child_await = Bool(value, "await", path, true);
  const Json* child = Object(value, "workflow", path);
  if (child == nullptr) return Note(path, "needs `workflow`");
  const std::string at = Join(path, "workflow");
  Only(*child, {"namespace", "name", "version", "input"}, at);
  task->child_namespace = Text(*child, "namespace", at);
  task->child_name = Text(*child, "name", at);
  task->child_version = Text(*child, "version", at);
  if (task->child_version == "latest") task->child_version.clear();
  if (task->child_name.empty()) Note(Join(at, "name"), "is missing");
  if (child->contains("input")) {
    task->value = CompileValue((*child)["input"]);
  } else {
    task->value = CompileExpression(".");
  }
}

}  // namespace metamcp::workflow
