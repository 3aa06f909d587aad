#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/reload.h"
#include "cli/rest_json.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct VirtualOptions {
  std::string name, title, instructions, prefix = "slug", client;
  std::vector<std::string> servers, include, exclude;
  bool read_only = false;
};

absl::Status List(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           ListAll(ctx, "virtual-servers", "virtualServers"));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"NAME", "STATE", "SERVERS", "PREFIX", "ORIGIN", "TITLE"});
  for (const nlohmann::json& server : ArrayOf(reply, "virtualServers")) {
    const nlohmann::json& spec = ObjectOf(server, "spec");
    const std::string servers = JoinedOf(spec, "servers");
    const std::string prefix = TextOf(spec, "prefix");
    table.Row({TextOf(ObjectOf(server, "meta"), "name"),
               BoolOf(server, "enabled") ? "enabled" : "disabled", servers.empty() ? "*" : servers,
               prefix.empty() ? "slug" : prefix, TextOf(ObjectOf(server, "meta"), "origin"),
               TextOf(spec, "title")});
  }
  ctx.PrintTable(table, "No virtual servers besides the default one at /mcp.");
  return absl::OkStatus();
}

absl::Status Show(CommandContext& ctx, const std::string& name) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"virtual-servers", name}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table exposed({"EXPOSED", "KIND", "FROM"});
  for (const nlohmann::json& item : ArrayOf(ObjectOf(reply, "view"), "items")) {
    exposed.Row({TextOf(item, "name"), TextOf(item, "kind"), TextOf(item, "qualifiedName")});
  }
  ctx.PrintTable(exposed, "It exposes nothing.");
  Table hidden({"HIDDEN", "KIND", "REASON", "DETAIL"});
  for (const nlohmann::json& item : ArrayOf(reply, "hidden")) {
    hidden.Row({TextOf(item, "qualifiedName"), TextOf(item, "kind"), TextOf(item, "reason"),
                TextOf(item, "detail")});
  }
  if (!hidden.empty()) {
    *ctx.out << "\n";
    ctx.PrintTable(hidden, "");
  }
  return absl::OkStatus();
}

std::string Body(const VirtualOptions& o) {
  nlohmann::ordered_json spec;
  if (!o.title.empty()) spec["title"] = o.title;
  if (!o.instructions.empty()) spec["instructions"] = o.instructions;
  if (!o.servers.empty()) spec["servers"] = o.servers;
  spec["prefix"] = o.prefix;
  nlohmann::ordered_json tools = nlohmann::ordered_json::object();
  if (!o.include.empty()) tools["include"] = o.include;
  if (!o.exclude.empty()) tools["exclude"] = o.exclude;
  if (o.read_only) tools["annotations"]["readOnlyHint"] = true;
  if (!tools.empty()) spec["tools"] = std::move(tools);
  nlohmann::ordered_json meta;
  meta["name"] = o.name;
  nlohmann::ordered_json body;
  body["meta"] = std::move(meta);
  body["spec"] = std::move(spec);
  body["enabled"] = true;
  return json::DumpJson(body);
}

absl::Status Add(CommandContext& ctx, const VirtualOptions& o) {
  if (Slug(o.name) != o.name) {
    return UsageError(
        StrCat("\"", o.name, "\" cannot be part of a URL"),
        StrCat("Names hold lower-case letters, digits and '-'; take \"", Slug(o.name), "\"."));
  }
  const RestRequest request("POST", ApiPath({"virtual-servers"}), Body(o));
  METAMCP_RETURN_IF_ERROR(ctx.rest().Call(request).status());
  SayDone(ctx, "added", "virtual server", o.name);
  ctx.Say(StrCat("Clients reach it at /servers/", o.name, "/mcp; 'meta-mcp virtual connect ",
                 o.name, "' says how."));
  return absl::OkStatus();
}

absl::Status Remove(CommandContext& ctx, const std::string& name) {
  const RestRequest request("DELETE", ApiPath({"virtual-servers", name}));
  METAMCP_RETURN_IF_ERROR(ctx.rest().Call(request).status());
  SayDone(ctx, "removed", "virtual server", name);
  return absl::OkStatus();
}

absl::Status SetEnabled(CommandContext& ctx, const std::string& name, bool enabled) {
  const RestRequest request("POST", ApiPath({"virtual-servers", name, "enabled"}),
                            enabled ? R"({"enabled":true})" : R"({"enabled":false})");
  METAMCP_RETURN_IF_ERROR(ctx.rest().Call(request).status());
  SayDone(ctx, enabled ? "enabled" : "disabled", "virtual server", name);
  return absl::OkStatus();
}

absl::Status Connect(CommandContext& ctx, const VirtualOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"virtual-servers", o.name, "connect"}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  bool found = false;
  std::vector<std::string> known;
  for (const nlohmann::json& client : ArrayOf(reply, "clients")) {
    known.push_back(TextOf(client, "client"));
    if (!o.client.empty() && known.back() != o.client) continue;
    found = true;
    const std::string file = TextOf(client, "file");
    *ctx.out << OneLine(TextOf(client, "title")) << (file.empty() ? "" : ", in ") << OneLine(file)
             << ":\n"
             << Printable(TextOf(client, "text")) << "\n";
    if (!TextOf(client, "command").empty()) {
      *ctx.out << "or run: " << OneLine(TextOf(client, "command")) << "\n";
    }
    *ctx.out << "\n";
  }
  if (!found) {
    const std::string near = Nearest(o.client, known);
    return UsageError(StrCat("there is no client \"", o.client, "\""),
                      near.empty() ? "Leave --client out to see all." : StrCat("Try ", near, "."));
  }
  if (!TextOf(reply, "note").empty()) ctx.Say(OneLine(TextOf(reply, "note")));
  return absl::OkStatus();
}

}  // namespace

void AddVirtualCommands(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<VirtualOptions>();
  Command group = root.Sub("virtual", "Virtual servers: selections under an address of their own");
  group.Example("meta-mcp virtual add readers --read-only");
  Command list = group.Sub("list", "Lists the virtual servers");
  list.Example("meta-mcp virtual list");
  list.Run([&ctx] { return List(ctx); });

  Command show = group.Sub("show", "Shows what one exposes and hides");
  show.Example("meta-mcp virtual show readers");
  show.Argument("NAME", &o->name, "the virtual server");
  show.Run([&ctx, o] { return Show(ctx, o->name); });

  Command add = group.Sub("add", "Adds one to the running gateway");
  add.Example("meta-mcp virtual add readers --read-only --title 'Look, do not touch'")
      .Example("meta-mcp virtual add dev --server git --server 'file*' --exclude git.git_push");
  add.Argument("NAME", &o->name, "part of its address: /servers/NAME/mcp")
      .List("--server", &o->servers, "which servers, by name or glob (default all)", "GLOB")
      .List("--tool", &o->include, "which tools, by name or glob (default all)", "GLOB")
      .List("--exclude", &o->exclude, "but not these tools", "GLOB")
      .Flag("--read-only", &o->read_only, "only tools that say they change nothing")
      .Option("--prefix", &o->prefix, "of names: slug, none, or any text")
      .Option("--title", &o->title, "for people")
      .Option("--instructions", &o->instructions, "for models");
  add.Run([&ctx, o] { return Add(ctx, *o); });

  Command remove = group.Sub("remove", "Removes one that was added here or by the API");
  remove.Example("meta-mcp virtual remove readers");
  remove.Argument("NAME", &o->name, "the virtual server");
  remove.Run([&ctx, o] { return Remove(ctx, o->name); });

  for (const bool enabled : {true, false}) {
    const std::string verb = enabled ? "enable" : "disable";
    Command set = group.Sub(verb, enabled ? "Serves it again" : "Stops serving it");
    set.Example(StrCat("meta-mcp virtual ", verb, " readers"));
    set.Argument("NAME", &o->name, "the virtual server");
    set.Run([&ctx, o, enabled] { return SetEnabled(ctx, o->name, enabled); });
  }

  Command connect = group.Sub("connect", "Says what to paste into a client");
  connect.Example("meta-mcp virtual connect default --client vscode");
  connect.Argument("NAME", &o->name, "the virtual server; 'default' is /mcp")
      .Option("--client", &o->client, "only for this client", "NAME");
  connect.Run([&ctx, o] { return Connect(ctx, *o); });
}

}  // namespace metamcp::cli
