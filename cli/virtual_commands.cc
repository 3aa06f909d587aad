#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/object_edit.h"
#include "cli/rest_json.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/config.h"
#include "common/config/edit.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct VirtualOptions {
  std::string name, title, instructions, prefix = "slug", label, client, mode = "all";
  std::vector<std::string> servers, include, exclude, resources, prompts, renames;
  bool read_only = false;
  bool suggest = false;
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

absl::StatusOr<config::VirtualServerConfig> ServerOf(const VirtualOptions& o) {
  if (Slug(o.name) != o.name) {
    return UsageError(
        StrCat("\"", o.name, "\" cannot be part of a URL"),
        StrCat("Names hold lower-case letters, digits and '-'; take \"", Slug(o.name), "\"."));
  }
  config::VirtualServerConfig server;
  server.title = o.title;
  server.instructions = o.instructions;
  server.servers = o.servers;
  server.prefix = o.prefix;
  server.tools.include = o.include;
  server.tools.exclude = o.exclude;
  if (o.read_only) server.tools.annotations = R"({"readOnlyHint":true})";
  server.resources.include = o.resources;
  server.prompts.include = o.prompts;
  server.metrics_label = o.label;
  server.mode = o.mode;
  server.suggest = o.suggest;
  for (const std::string& rename : o.renames) {
    const size_t equals = rename.find('=');
    if (equals == std::string::npos || rename.find('.') > equals || equals + 1 == rename.size()) {
      return UsageError(StrCat("\"", rename, "\" is no renaming"),
                        "Write --rename SERVER.ITEM=NAME, for example git.git_status=status.");
    }
    server.overrides[rename.substr(0, equals)].name = rename.substr(equals + 1);
  }
  return server;
}

nlohmann::ordered_json SelectorJson(const config::SelectorConfig& selector) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  if (!selector.include.empty()) out["include"] = selector.include;
  if (!selector.exclude.empty()) out["exclude"] = selector.exclude;
  if (!selector.annotations.empty()) out["annotations"]["readOnlyHint"] = true;
  return out;
}

// The virtual server as the admin API takes it.
std::string Body(const std::string& name, const config::VirtualServerConfig& server) {
  nlohmann::ordered_json spec;
  const auto text = [&spec](const char* key, const std::string& value) {
    if (!value.empty()) spec[key] = value;
  };
  text("title", server.title);
  text("instructions", server.instructions);
  if (!server.servers.empty()) spec["servers"] = server.servers;
  text("prefix", server.prefix);
  const std::pair<const char*, const config::SelectorConfig&> selectors[] = {
      {"tools", server.tools}, {"resources", server.resources}, {"prompts", server.prompts}};
  for (const auto& [key, selector] : selectors) {
    nlohmann::ordered_json chosen = SelectorJson(selector);
    if (!chosen.empty()) spec[key] = std::move(chosen);
  }
  for (const auto& [item, change] : server.overrides) spec["overrides"][item]["name"] = change.name;
  text("metricsLabel", server.metrics_label);
  if (server.mode != "all") spec["mode"] = server.mode;
  if (server.suggest) spec["suggest"] = true;
  nlohmann::ordered_json body;
  body["meta"]["name"] = name;
  body["spec"] = std::move(spec);
  body["enabled"] = true;
  return json::DumpJson(body);
}

absl::Status Add(CommandContext& ctx, const VirtualOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const config::VirtualServerConfig server, ServerOf(o));
  if (ctx.remote()) {
    const RestRequest request("POST", ApiPath({"virtual-servers"}), Body(o.name, server));
    METAMCP_RETURN_IF_ERROR(ctx.rest().Call(request).status());
  } else {
    METAMCP_RETURN_IF_ERROR(CheckNameIsFree(ctx, VirtualServerKind(), o.name));
    METAMCP_RETURN_IF_ERROR(config::AddVirtualServerBlocking(ctx.ConfigPath(), o.name, server));
  }
  SayDone(ctx, "added", "virtual server", o.name);
  if (!ctx.remote()) METAMCP_RETURN_IF_ERROR(ReloadRunning(ctx));
  ctx.Say(StrCat("Clients reach it at /servers/", o.name, "/mcp; 'meta-mcp virtual connect ",
                 o.name, "' says how."));
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

  Command add = group.Sub("add", "Adds one to config.json and to the running gateway");
  add.Example("meta-mcp virtual add readers --read-only --title 'Look, do not touch'")
      .Example("meta-mcp virtual add dev --server git --server 'file*' --exclude git.git_push")
      .Example("meta-mcp virtual add lean --mode search --suggest")
      .Example("meta-mcp virtual add plain --server git --prefix none --rename git.git_log=history")
      .More(
          "With --url before 'virtual' (meta-mcp --url GATEWAY virtual add ...) it is added to "
          "that "
          "gateway through its API.");
  add.Argument("NAME", &o->name, "part of its address: /servers/NAME/mcp")
      .List("--server", &o->servers, "which servers, by name or glob (default all)", "GLOB")
      .List("--tool", &o->include, "which tools, by name or glob (default all)", "GLOB")
      .List("--exclude", &o->exclude, "but not these tools", "GLOB")
      .List("--resource", &o->resources, "which resources, by URI or glob (default all)", "GLOB")
      .List("--prompt", &o->prompts, "which prompts, by name or glob (default all)", "GLOB")
      .List("--rename", &o->renames, "what clients see an item as", "SERVER.ITEM=NAME")
      .Flag("--read-only", &o->read_only, "only tools that say they change nothing")
      .Choice("--mode", &o->mode, {"all", "search"},
              "list all tools, or three by which the others are found and called")
      .Flag("--suggest", &o->suggest, "list suggest_workflow, too")
      .Option("--prefix", &o->prefix, "of names: slug, none, or any text")
      .Option("--title", &o->title, "for people")
      .Option("--label", &o->label, "of its metrics (default its name)")
      .Option("--instructions", &o->instructions, "for models");
  add.Run([&ctx, o] { return Add(ctx, *o); });

  Command remove =
      group.Sub("remove", "Removes one from config.json, or one that was made by the API");
  remove.Example("meta-mcp virtual remove readers");
  remove.Argument("NAME", &o->name, "the virtual server");
  remove.Run([&ctx, o] { return RemoveObject(ctx, VirtualServerKind(), o->name); });

  for (const bool enabled : {true, false}) {
    const std::string verb = enabled ? "enable" : "disable";
    Command set = group.Sub(verb, enabled ? "Serves it again" : "Stops serving it");
    set.Example(StrCat("meta-mcp virtual ", verb, " readers"));
    set.Argument("NAME", &o->name, "the virtual server");
    set.Run([&ctx, o, enabled] {
      return SetObjectEnabled(ctx, VirtualServerKind(), o->name, enabled);
    });
  }

  Command connect = group.Sub("connect", "Says what to paste into a client");
  connect.Example("meta-mcp virtual connect default --client vscode");
  connect.Argument("NAME", &o->name, "the virtual server; 'default' is /mcp")
      .Option("--client", &o->client, "only for this client", "NAME");
  connect.Run([&ctx, o] { return Connect(ctx, *o); });
}

}  // namespace metamcp::cli
