#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>
#include <thread>

#include "cli/commands.h"
#include "cli/object_edit.h"
#include "cli/rest_json.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/config.h"
#include "common/config/edit.h"
#include "common/json/dom.h"

namespace metamcp::cli {

namespace {

struct AddOptions {
  std::string name, url, type, cwd, era = "auto", sandbox;
  std::vector<std::string> command, env, headers, tags;
  int64_t timeout_ms = 0;
  int64_t priority = 0;
  bool disabled = false;
  bool allow_plain_http = false;
};

absl::Status SplitPairs(const std::vector<std::string>& pairs, char mark, std::string_view what,
                        std::map<std::string, std::string>* out) {
  for (const std::string& pair : pairs) {
    const size_t at = pair.find(mark);
    if (at == std::string::npos || at == 0) {
      // The value may be a secret: it is not repeated.
      return UsageError(StrCat(what, " must be NAME", std::string(1, mark), "VALUE"));
    }
    const size_t value = pair.find_first_not_of(' ', at + 1);
    (*out)[pair.substr(0, at)] = value == std::string::npos ? "" : pair.substr(value);
  }
  return absl::OkStatus();
}

absl::StatusOr<config::ServerConfig> ServerOf(const AddOptions& o) {
  if (o.command.empty() == o.url.empty()) {
    return UsageError("give either a command behind '--' or --url, not both and not neither",
                      "meta-mcp server add NAME -- COMMAND ARGS, or meta-mcp server add NAME "
                      "--url https://host/mcp");
  }
  config::ServerConfig server;
  const bool ws = o.url.rfind("ws://", 0) == 0 || o.url.rfind("wss://", 0) == 0;
  server.type = !o.type.empty() ? o.type : o.url.empty() ? "stdio" : ws ? "ws" : "http";
  if ((server.type == "stdio") != o.url.empty()) {
    return UsageError(StrCat("--type ", server.type,
                             " does not fit: stdio takes a command, the "
                             "others a URL"));
  }
  server.url = o.url;
  if (!o.command.empty()) {
    server.command = o.command[0];
    server.args.assign(o.command.begin() + 1, o.command.end());
  }
  server.cwd = o.cwd;
  server.era = o.era;
  server.timeout_ms = o.timeout_ms;
  server.priority = o.priority;
  server.tags = o.tags;
  server.disabled = o.disabled;
  server.allow_plain_http = o.allow_plain_http;
  server.sandbox.profile = o.sandbox;
  server.display_name = o.name;
  METAMCP_RETURN_IF_ERROR(SplitPairs(o.env, '=', "--env", &server.env));
  METAMCP_RETURN_IF_ERROR(SplitPairs(o.headers, ':', "--header", &server.headers));
  return server;
}

// The server as the admin API takes it.
std::string UpstreamBody(const config::ServerConfig& server) {
  nlohmann::ordered_json spec;
  spec["type"] = server.type;
  if (!server.command.empty()) spec["command"] = server.command;
  if (!server.args.empty()) spec["args"] = server.args;
  if (!server.env.empty()) spec["env"] = server.env;
  if (!server.cwd.empty()) spec["cwd"] = server.cwd;
  if (!server.url.empty()) spec["url"] = server.url;
  if (!server.headers.empty()) spec["headers"] = server.headers;
  spec["era"] = server.era;
  if (server.timeout_ms > 0) spec["timeoutMs"] = server.timeout_ms;
  if (server.priority != 0) spec["priority"] = server.priority;
  if (!server.sandbox.profile.empty()) spec["sandbox"] = {{"profile", server.sandbox.profile}};
  if (server.allow_plain_http) spec["allowPlainHttp"] = true;
  nlohmann::ordered_json meta;
  meta["name"] = Slug(server.display_name);
  meta["displayName"] = server.display_name;
  if (!server.tags.empty()) meta["tags"] = server.tags;
  nlohmann::ordered_json upstream;
  upstream["meta"] = std::move(meta);
  upstream["spec"] = std::move(spec);
  upstream["enabled"] = !server.disabled;
  return json::DumpJson(upstream);
}

constexpr std::chrono::seconds kReadyWait(10);
constexpr std::chrono::milliseconds kReadyPoll(100);

// Waits until the new server works or has failed once, and says which. No failure: what is wrong
// with a server does not undo its entry.
void SayReady(CommandContext& ctx, const std::string& name) {
  const auto until = std::chrono::steady_clock::now() + kReadyWait;
  while (true) {
    const auto reply = CallJson(ctx, RestRequest("GET", ApiPath({"servers", Slug(name)})));
    if (!reply.ok()) return;
    const nlohmann::json& status = ObjectOf(ObjectOf(*reply, "upstream"), "status");
    const std::string state = TextOf(status, "state");
    const std::string detail = TextOf(status, "detail");
    if (BoolOf(status, "listed")) {
      return ctx.Say(StrCat("It is ready: ", NumberOf(status, "tools"), " tools."));
    }
    const bool over = std::chrono::steady_clock::now() >= until;
    const bool failed = NumberOf(status, "attempts") > 0 || state == "configured";
    if (failed || over) {
      return ctx.Say(StrCat("It is not ready yet (", state, ")",
                            detail.empty() ? "." : StrCat(": ", OneLine(detail))));
    }
    std::this_thread::sleep_for(kReadyPoll);
  }
}

absl::Status Add(CommandContext& ctx, const AddOptions& options) {
  METAMCP_ASSIGN_OR_RETURN(const config::ServerConfig server, ServerOf(options));
  if (ctx.remote()) {
    const RestRequest request("POST", ApiPath({"servers"}), UpstreamBody(server));
    METAMCP_RETURN_IF_ERROR(ctx.rest().Call(request).status());
    SayDone(ctx, "added", "server", options.name);
    return absl::OkStatus();
  }
  METAMCP_RETURN_IF_ERROR(CheckNameIsFree(ctx, ServerKind(), Slug(options.name)));
  METAMCP_RETURN_IF_ERROR(config::AddServerBlocking(ctx.ConfigPath(), options.name, server));
  SayDone(ctx, "added", "server", options.name);
  METAMCP_RETURN_IF_ERROR(ReloadRunning(ctx));
  if (!ctx.json() && !server.disabled && ctx.GatewayRuns()) SayReady(ctx, options.name);
  return absl::OkStatus();
}

}  // namespace

void AddServerEditCommands(Command& group) {
  CommandContext& ctx = group.context();
  auto o = std::make_shared<AddOptions>();
  Command add = group.Sub("add", "Adds a server to config.json and to the running gateway");
  add.Example("meta-mcp server add git -- uvx mcp-server-git --repository /src/app")
      .Example(
          "meta-mcp server add docs --url https://docs.example.com/mcp "
          "--header 'Authorization: Bearer ${DOCS_TOKEN}'")
      .More(
          "With --url before 'server' (meta-mcp --url GATEWAY server add ...) the server is added "
          "to that gateway through its API.");
  add.Argument("NAME", &o->name, "what the server is called")
      .Option("--url", &o->url, "where an HTTP server is", "URL")
      .Choice("--type", &o->type, {"stdio", "http", "sse", "ws"}, "how it is reached")
      .List("-e,--env", &o->env, "a variable of its process; ${VAR} is looked up at connect",
            "NAME=VALUE")
      .List("-H,--header", &o->headers, "a header of every request to it", "NAME:VALUE")
      .Option("--sandbox", &o->sandbox,
              "what it may touch: none, default, strict or your own profile", "PROFILE")
      .Option("--cwd", &o->cwd, "folder it runs in", "FOLDER")
      .Choice("--era", &o->era, {"auto", "legacy", "modern"}, "protocol era, where it must be set")
      .Integer("--timeout", &o->timeout_ms, 1, 86'400'000, "of one call", "MS")
      .Integer("--priority", &o->priority, -1'000'000, 1'000'000, "wins name conflicts when higher")
      .List("--tag", &o->tags, "a label for search")
      .Flag("--disabled", &o->disabled, "add it, but do not connect")
      .Flag("--allow-plain-http", &o->allow_plain_http, "http:// to another machine is fine")
      .Trailing(&o->command);
  add.Run([&ctx, o] { return Add(ctx, *o); });

  auto name = std::make_shared<std::string>();
  Command remove = group.Sub("remove", "Removes a server");
  remove.Example("meta-mcp server remove git");
  remove.Argument("NAME", name.get(), "the server");
  remove.Run([&ctx, name] { return RemoveObject(ctx, ServerKind(), *name); });

  for (const bool enabled : {true, false}) {
    Command set = group.Sub(
        enabled ? "enable" : "disable",
        enabled ? "Connects a disabled server again" : "Disconnects a server and keeps its entry");
    set.Example(StrCat("meta-mcp server ", enabled ? "enable" : "disable", " git"));
    set.Argument("NAME", name.get(), "the server");
    set.Run([&ctx, name, enabled] { return SetObjectEnabled(ctx, ServerKind(), *name, enabled); });
  }
}

}  // namespace metamcp::cli
