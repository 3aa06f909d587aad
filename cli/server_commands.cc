#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

std::string Target(const nlohmann::json& spec) {
  const std::string url = TextOf(spec, "url");
  if (!url.empty()) return url;
  std::string line = TextOf(spec, "command");
  for (const nlohmann::json& arg : ArrayOf(spec, "args")) {
    if (arg.is_string()) line += StrCat(" ", arg.get_ref<const std::string&>());
  }
  return line;
}

std::string StateText(const nlohmann::json& upstream) {
  if (!BoolOf(upstream, "enabled")) return "disabled";
  const std::string state = TextOf(ObjectOf(upstream, "status"), "state");
  return state.empty() ? "discovered" : state;
}

absl::Status ListServers(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, ListAll(ctx, "servers", "upstreams"));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"NAME", "TYPE", "STATE", "TOOLS", "RESOURCES", "PROMPTS", "TARGET"});
  for (const nlohmann::json& upstream : ArrayOf(reply, "upstreams")) {
    const nlohmann::json& status = ObjectOf(upstream, "status");
    const nlohmann::json& spec = ObjectOf(upstream, "spec");
    table.Row({TextOf(ObjectOf(upstream, "meta"), "name"), TextOf(spec, "type"),
               StateText(upstream), StrCat(NumberOf(status, "tools")),
               StrCat(NumberOf(status, "resources") + NumberOf(status, "templates")),
               StrCat(NumberOf(status, "prompts")), Shorten(OneLine(Target(spec)), 60)});
  }
  ctx.PrintTable(table, "No servers. Add one: meta-mcp server add NAME -- COMMAND ARGS");
  return absl::OkStatus();
}

void PrintServer(CommandContext& ctx, const nlohmann::json& upstream,
                 const nlohmann::json& connection, const nlohmann::json& probe) {
  const nlohmann::json& meta = ObjectOf(upstream, "meta");
  const nlohmann::json& spec = ObjectOf(upstream, "spec");
  const nlohmann::json& status = ObjectOf(upstream, "status");
  Table table({"FIELD", "VALUE"});
  const auto row = [&table](std::string_view name, const std::string& value) {
    if (!value.empty()) table.Row({std::string(name), value});
  };
  row("name", TextOf(meta, "name"));
  row("display name", TextOf(meta, "displayName"));
  row("origin", TextOf(meta, "origin"));
  row("type", TextOf(spec, "type"));
  row("target", Target(spec));
  row("state", StateText(upstream));
  row("detail", TextOf(status, "detail"));
  row("since", TimeText(NumberOf(status, "sinceUs")));
  row("sandbox", TextOf(status, "sandbox"));
  row("era", TextOf(status, "era"));
  row("protocol", TextOf(status, "protocolVersion"));
  const nlohmann::json& info = ObjectOf(status, "serverInfo");
  if (!info.empty()) row("server", StrCat(TextOf(info, "name"), " ", TextOf(info, "version")));
  if (NumberOf(status, "pid") > 0) row("pid", StrCat(NumberOf(status, "pid")));
  row("tools", StrCat(NumberOf(status, "tools")));
  row("resources",
      StrCat(NumberOf(status, "resources"), " and ", NumberOf(status, "templates"), " templates"));
  row("prompts", StrCat(NumberOf(status, "prompts")));
  if (!connection.empty()) {
    row("calls",
        StrCat(NumberOf(connection, "calls"), ", failed ", NumberOf(connection, "failures"),
               ", running ", NumberOf(connection, "inFlight"), ", waiting ",
               NumberOf(connection, "queued")));
    row("breaker", TextOf(connection, "breaker"));
    row("login", TextOf(connection, "login"));
  }
  if (!probe.empty()) {
    row("answers", BoolOf(probe, "answers")
                       ? StrCat("yes, in ", static_cast<int64_t>(probe.value("ms", 0.0)), " ms")
                       : StrCat("no: ", TextOf(probe, "detail")));
  }
  ctx.PrintTable(table, "");
}

absl::Status ShowServer(CommandContext& ctx, const std::string& name) {
  if (name.empty()) return ListServers(ctx);
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"servers", name}))));
  const nlohmann::json& upstream = ObjectOf(reply, "upstream");
  nlohmann::json found = nlohmann::json::object();
  const auto connections = CallJson(ctx, RestRequest("GET", ApiPath({"connections"})));
  if (connections.ok()) {
    for (const nlohmann::json& connection : ArrayOf(*connections, "connections")) {
      if (TextOf(connection, "upstreamId") == TextOf(ObjectOf(upstream, "meta"), "id")) {
        found = connection;
      }
    }
  }
  // Asked now, not remembered.
  nlohmann::json probe = nlohmann::json::object();
  if (BoolOf(upstream, "enabled")) {
    auto asked = CallJson(ctx, RestRequest("GET", ApiPath({"servers", name, "probe"})));
    if (asked.ok()) probe = *std::move(asked);
  }
  if (ctx.json()) {
    nlohmann::json out = reply;
    out["connection"] = found;
    out["probe"] = probe;
    ctx.PrintJson(json::DumpJson(out));
  } else {
    PrintServer(ctx, upstream, found, probe);
  }
  return absl::OkStatus();
}

absl::Status Restart(CommandContext& ctx, const std::string& name) {
  const RestRequest request("POST", ApiPath({"servers", name, "restart"}), "{}");
  METAMCP_RETURN_IF_ERROR(ctx.rest().Call(request).status());
  ctx.Say(StrCat("Restarted ", OneLine(name), "."));
  return absl::OkStatus();
}

absl::Status Logs(CommandContext& ctx, const std::string& name, int64_t lines) {
  const RestRequest request("GET", ApiPath({"servers", name, "logs"}, {{"limit", StrCat(lines)}}));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallJson(ctx, request));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  for (const nlohmann::json& line : ArrayOf(reply, "lines")) {
    *ctx.out << TimeText(NumberOf(line, "timeUs"))
             << (TextOf(line, "source") == "gateway" ? " gateway: " : " ")
             << OneLine(TextOf(line, "text")) << "\n";
  }
  if (ArrayOf(reply, "lines").empty()) ctx.Note("The server has written nothing yet.");
  return absl::OkStatus();
}

}  // namespace

void AddServerCommands(Command& root) {
  Command group = root.Sub("server", "The MCP servers behind the gateway");
  group.Example("meta-mcp server list").Example("meta-mcp server add git -- uvx mcp-server-git");
  AddServerEditCommands(group);
  CommandContext& ctx = group.context();

  Command list = group.Sub("list", "Lists the servers with their state");
  list.Example("meta-mcp server list").Example("meta-mcp server list --output json");
  list.Run([&ctx] { return ListServers(ctx); });

  auto name = std::make_shared<std::string>();
  Command status = group.Sub("status", "Shows one server and whether it answers, or all");
  status.Example("meta-mcp server status git");
  status.OptionalArgument("NAME", name.get(), "the server");
  status.Run([&ctx, name] { return ShowServer(ctx, *name); });

  Command restart = group.Sub("restart", "Stops a server and starts it again");
  restart.Example("meta-mcp server restart git");
  restart.Argument("NAME", name.get(), "the server");
  restart.Run([&ctx, name] { return Restart(ctx, *name); });

  auto lines = std::make_shared<int64_t>(200);
  Command logs = group.Sub("logs", "Shows what a server wrote to stderr");
  logs.Example("meta-mcp server logs git --lines 50");
  logs.Argument("NAME", name.get(), "the server");
  logs.Integer("-n,--lines", lines.get(), 1, 1000, "the newest lines");
  logs.Run([&ctx, name, lines] { return Logs(ctx, *name, *lines); });

  AddLoginCommands(group);
}

}  // namespace metamcp::cli
