#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/call.h"
#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct ItemOptions {
  std::string name, arguments, virtual_server, server;
};

absl::StatusOr<nlohmann::json> Items(CommandContext& ctx, const ItemOptions& o,
                                     const std::string& kind) {
  return ListAll(ctx, "items", "items",
                 {{"kind", kind}, {"virtualServer", o.virtual_server}, {"upstream", o.server}});
}

void AddRows(const nlohmann::json& items, const std::string& kind, Table* table) {
  for (const nlohmann::json& item : ArrayOf(items, "items")) {
    std::string text = TextOf(item, "title");
    if (text.empty()) text = TextOf(item, "description");
    table->Row({TextOf(item, "name"), kind, TextOf(item, "upstream"), Shorten(OneLine(text), 60)});
  }
}

absl::Status ListResources(CommandContext& ctx, const ItemOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(nlohmann::json resources, Items(ctx, o, "resource"));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json templates, Items(ctx, o, "template"));
  if (ctx.json()) {
    for (const nlohmann::json& item : ArrayOf(templates, "items")) {
      resources["items"].push_back(item);
    }
    ctx.PrintJson(json::DumpJson(resources));
    return absl::OkStatus();
  }
  Table table({"URI", "KIND", "SERVER", "DESCRIPTION"});
  AddRows(resources, "resource", &table);
  AddRows(templates, "template", &table);
  ctx.PrintTable(table, "No resources.");
  return absl::OkStatus();
}

// Calls and returns the result; prints it and returns an empty object where JSON was asked for.
absl::StatusOr<nlohmann::json> ResultOf(CommandContext& ctx, const ItemOptions& o,
                                        const std::string& method, const std::string& arguments) {
  CallSpec spec;
  spec.method = method;
  spec.target = o.name;
  spec.arguments = arguments;
  spec.virtual_server = o.virtual_server;
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallGateway(ctx, spec));
  nlohmann::json result = ObjectOf(reply, "result");
  if (!ctx.json()) return result;
  ctx.PrintJson(json::DumpJson(result));
  return nlohmann::json::object();
}

absl::Status ReadResource(CommandContext& ctx, const ItemOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json result, ResultOf(ctx, o, "resources/read", ""));
  for (const nlohmann::json& content : ArrayOf(result, "contents")) {
    if (content.contains("text")) {
      *ctx.out << Printable(TextOf(content, "text")) << "\n";
    } else {
      *ctx.out << "[" << OneLine(TextOf(content, "mimeType")) << ", "
               << TextOf(content, "blob").size() * 3 / 4
               << " bytes; --output json shows it in base64]\n";
    }
  }
  return absl::OkStatus();
}

absl::Status ListPrompts(CommandContext& ctx, const ItemOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json prompts, Items(ctx, o, "prompt"));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(prompts));
    return absl::OkStatus();
  }
  Table table({"NAME", "ARGUMENTS", "SERVER", "DESCRIPTION"});
  for (const nlohmann::json& item : ArrayOf(prompts, "items")) {
    std::string arguments;
    for (const nlohmann::json& argument : ArrayOf(ObjectOf(item, "definition"), "arguments")) {
      if (!arguments.empty()) arguments += ", ";
      arguments += TextOf(argument, "name");
      if (!BoolOf(argument, "required")) arguments += "?";
    }
    table.Row({TextOf(item, "name"), arguments, TextOf(item, "upstream"),
               Shorten(OneLine(TextOf(item, "description")), 60)});
  }
  ctx.PrintTable(table, "No prompts.");
  return absl::OkStatus();
}

absl::Status GetPrompt(CommandContext& ctx, const ItemOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string arguments, ReadArguments(ctx, o.arguments));
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json result, ResultOf(ctx, o, "prompts/get", arguments));
  for (const nlohmann::json& message : ArrayOf(result, "messages")) {
    const nlohmann::json& content = ObjectOf(message, "content");
    const std::string type = TextOf(content, "type");
    *ctx.out << OneLine(TextOf(message, "role")) << ": "
             << (type == "text" ? Printable(TextOf(content, "text")) : StrCat("[", type, "]"))
             << "\n";
  }
  return absl::OkStatus();
}

// Which items a list shows.
void AddScope(Command& list, ItemOptions& o) {
  list.Option("--server", &o.server, "only this server's", "NAME")
      .Option("--virtual", &o.virtual_server, "as this virtual server shows it", "NAME");
}

}  // namespace

void AddResourceCommands(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<ItemOptions>();
  Command group = root.Sub("resource", "The resources of all servers");
  group.Example("meta-mcp resource list").Example("meta-mcp resource read file:///tmp/notes.txt");
  Command list = group.Sub("list", "Lists resources and resource templates");
  list.Example("meta-mcp resource list --server everything");
  AddScope(list, *o);
  list.Run([&ctx, o] { return ListResources(ctx, *o); });
  Command read = group.Sub("read", "Prints a resource");
  read.Example("meta-mcp resource read demo://resource/static/document/features.md");
  read.Argument("URI", &o->name, "of the resource")
      .Option("--virtual", &o->virtual_server, "through this virtual server", "NAME");
  read.Run([&ctx, o] { return ReadResource(ctx, *o); });
}

void AddPromptCommands(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<ItemOptions>();
  Command group = root.Sub("prompt", "The prompts of all servers");
  group.Example("meta-mcp prompt list");
  Command list = group.Sub("list", "Lists prompts with their arguments");
  list.Example("meta-mcp prompt list --output json");
  AddScope(list, *o);
  list.Run([&ctx, o] { return ListPrompts(ctx, *o); });
  Command get = group.Sub("get", "Prints a prompt filled in");
  get.Example("meta-mcp prompt get everything__args-prompt '{\"city\": \"Bern\"}'");
  get.Argument("NAME", &o->name, "exposed or qualified name")
      .OptionalArgument("JSON", &o->arguments, "arguments: a JSON object, @file, or - for stdin")
      .Option("--virtual", &o->virtual_server, "through this virtual server", "NAME");
  get.Run([&ctx, o] { return GetPrompt(ctx, *o); });
}

void AddSessionCommands(Command& root) {
  CommandContext& ctx = root.context();
  Command group = root.Sub("session", "The sessions of clients that speak older protocols");
  group.Example("meta-mcp session list");
  Command list = group.Sub("list", "Lists open sessions");
  list.Example("meta-mcp session list");
  list.Run([&ctx]() -> absl::Status {
    METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                             CallJson(ctx, RestRequest("GET", ApiPath({"sessions"}))));
    if (ctx.json()) {
      ctx.PrintJson(json::DumpJson(reply));
      return absl::OkStatus();
    }
    Table table({"ID", "CLIENT", "SUBJECT", "VIRTUAL SERVER", "PROTOCOL", "IDLE"});
    for (const nlohmann::json& session : ArrayOf(reply, "sessions")) {
      table.Row({TextOf(session, "id"), TextOf(session, "client"), TextOf(session, "subject"),
                 TextOf(session, "virtualServer"), TextOf(session, "protocolVersion"),
                 AgeText(NumberOf(session, "lastUsedUs"), NowUs())});
    }
    ctx.PrintTable(table, "No sessions.");
    return absl::OkStatus();
  });
  auto id = std::make_shared<std::string>();
  Command revoke = group.Sub("revoke", "Ends a session; its client starts a new one");
  revoke.Example("meta-mcp session revoke 0190d7c2");
  revoke.Argument("ID", id.get(), "from 'session list'");
  revoke.Run([&ctx, id]() -> absl::Status {
    METAMCP_RETURN_IF_ERROR(
        ctx.rest().Call(RestRequest("DELETE", ApiPath({"sessions", *id}))).status());
    ctx.Say(StrCat("Ended session ", OneLine(*id), "."));
    return absl::OkStatus();
  });
}

}  // namespace metamcp::cli
