#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct Selection {
  std::string name, virtual_server, server, tag;
  std::vector<std::string> annotations;
  bool hidden = false;
  int64_t limit = 10;
};

std::string Description(const nlohmann::json& item) {
  std::string text = TextOf(item, "description");
  if (text.empty()) text = TextOf(item, "title");
  if (text.empty()) text = TextOf(ObjectOf(item, "definition"), "description");
  return Shorten(OneLine(text), 70);
}

absl::Status ListTools(CommandContext& ctx, const Selection& s) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           ListAll(ctx, "items", "items",
                                   {{"kind", "tool"},
                                    {"virtualServer", s.virtual_server},
                                    {"upstream", s.server},
                                    {"includeHidden", s.hidden ? "true" : ""}}));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  std::vector<std::string> headers = {"NAME", "SERVER", "DESCRIPTION"};
  if (s.hidden) headers.insert(headers.begin() + 2, "HIDDEN");
  Table table(headers);
  for (const nlohmann::json& item : ArrayOf(reply, "items")) {
    const std::string name = TextOf(item, "name");
    std::vector<std::string> row = {name.empty() ? TextOf(item, "qualifiedName") : name,
                                    TextOf(item, "upstream"), Description(item)};
    if (s.hidden) row.insert(row.begin() + 2, TextOf(item, "hiddenReason"));
    table.Row(std::move(row));
  }
  ctx.PrintTable(table, "No tools. 'meta-mcp server list' shows which servers are connected.");
  return absl::OkStatus();
}

absl::Status Search(CommandContext& ctx, const Selection& s) {
  Query query = {{"query", s.name}, {"virtualServer", s.virtual_server},
                 {"kind", "tool"},  {"upstream", s.server},
                 {"tag", s.tag},    {"limit", StrCat(s.limit)}};
  for (const std::string& annotation : s.annotations) query.emplace_back("annotations", annotation);
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"items:search"}, query))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"NAME", "SERVER", "DESCRIPTION"});
  for (const nlohmann::json& item : ArrayOf(reply, "items")) {
    table.Row({TextOf(item, "name"), TextOf(item, "upstream"), Description(item)});
  }
  ctx.PrintTable(table, "Nothing found. Use fewer or other words; 'meta-mcp tool list' shows all.");
  return absl::OkStatus();
}

absl::StatusOr<nlohmann::json> Explain(CommandContext& ctx, const Selection& s) {
  return CallJson(
      ctx, RestRequest("GET", ApiPath({"items:why"},
                                      {{"name", s.name}, {"virtualServer", s.virtual_server}})));
}

absl::Status Show(CommandContext& ctx, const Selection& s) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Explain(ctx, s));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  for (const nlohmann::json& item : ArrayOf(reply, "items")) {
    Table table({"FIELD", "VALUE"});
    const auto row = [&table](std::string_view name, const std::string& value) {
      if (!value.empty()) table.Row({std::string(name), value});
    };
    row("name", TextOf(item, "name"));
    row("qualified name", TextOf(item, "qualifiedName"));
    row("server", TextOf(item, "upstream"));
    row("title", TextOf(item, "title"));
    row("version", StrCat(NumberOf(item, "version"),
                          BoolOf(item, "breakingChange") ? " (breaking change)" : ""));
    row("fingerprint", TextOf(item, "fingerprint"));
    row("first seen", TimeText(NumberOf(item, "firstSeenUs")));
    row("last seen", TimeText(NumberOf(item, "lastSeenUs")));
    row("hidden", TextOf(item, "hiddenReason"));
    ctx.PrintTable(table, "");
    const nlohmann::json& definition = ObjectOf(item, "definition");
    std::string description = TextOf(definition, "description");
    if (description.empty()) description = TextOf(item, "description");
    if (!description.empty()) *ctx.out << "\n" << Printable(description) << "\n";
    const nlohmann::json& schema = ObjectOf(definition, "inputSchema");
    if (!schema.empty()) {
      *ctx.out << "\nArguments:\n";
      ctx.PrintJson(json::DumpJson(schema));
    }
  }
  return absl::OkStatus();
}

absl::Status Why(CommandContext& ctx, const Selection& s) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Explain(ctx, s));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  for (const nlohmann::json& item : ArrayOf(reply, "items")) {
    const std::string reason = TextOf(item, "hiddenReason");
    const std::string qualified = OneLine(TextOf(item, "qualifiedName"));
    if (reason.empty()) {
      *ctx.out << qualified << " is exposed as " << OneLine(TextOf(item, "name")) << ".\n";
    } else {
      const std::string detail = OneLine(TextOf(item, "hiddenDetail"));
      *ctx.out << qualified << " is not exposed: " << OneLine(reason)
               << (detail.empty() ? "" : ": ") << detail << "\n";
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddToolCommands(Command& root) {
  Command group = root.Sub("tool", "The tools of all servers");
  group.Example("meta-mcp tool search 'read a file'")
      .Example("meta-mcp tool call filesystem__list_directory '{\"path\": \"/tmp\"}'");
  CommandContext& ctx = group.context();
  auto s = std::make_shared<Selection>();
  const auto scope = [s](Command& command) {
    command.Option("--virtual", &s->virtual_server, "as this virtual server shows it", "NAME");
  };
  Command list = group.Sub("list", "Lists tools by their exposed names");
  list.Example("meta-mcp tool list --server git").Example("meta-mcp tool list --hidden");
  scope(list);
  list.Option("--server", &s->server, "only this server's", "NAME")
      .Flag("--hidden", &s->hidden, "also those that are not exposed, with the reason");
  list.Run([&ctx, s] { return ListTools(ctx, *s); });

  Command search = group.Sub("search", "Finds tools by words");
  search.Example("meta-mcp tool search 'create issue' --limit 5")
      .Example("meta-mcp tool search file --annotation readOnlyHint");
  scope(search);
  search.Argument("WORDS", &s->name, "what to look for")
      .Option("--server", &s->server, "only this server's", "NAME")
      .Option("--tag", &s->tag, "only servers with this label")
      .List("--annotation", &s->annotations, "must be true; with a leading ! false", "NAME")
      .Integer("--limit", &s->limit, 1, 100, "results at most");
  search.Run([&ctx, s] { return Search(ctx, *s); });

  Command show = group.Sub("show", "Shows a tool with its arguments");
  show.Example("meta-mcp tool show git.git_status");
  scope(show);
  show.Argument("NAME", &s->name, "exposed or qualified name");
  show.Run([&ctx, s] { return Show(ctx, *s); });

  AddCallCommand(group);

  Command why = group.Sub("why", "Says why a tool is or is not exposed");
  why.Example("meta-mcp tool why git.git_push --virtual readers");
  scope(why);
  why.Argument("NAME", &s->name, "exposed, original or qualified name");
  why.Run([&ctx, s] { return Why(ctx, *s); });
  AddPinCommands(group);
}

}  // namespace metamcp::cli
