#include "gateway/admin/connect_info.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/config/connect.h"
#include "common/http/url.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::gateway::admin {
namespace {

// The variable that clients read the key from; meta-mcp itself does, too.
constexpr std::string_view kKeyVariable = "META_MCP_TOKEN";

std::string Pretty(const std::string& text) {
  auto parsed = json::ParseOrderedJson(text);
  return parsed.ok() ? parsed->dump(2) : text;
}

// `path`: what the transport has beside the others, "/mcp", "/sse" or "/ws".
std::string EndpointUrl(const ConnectTarget& target, std::string_view path) {
  if (target.virtual_server == "default") return StrCat(target.base_url, path);
  return StrCat(target.base_url, "/servers/", http::PercentEncode(target.virtual_server), path);
}

std::string WebSocketUrl(const ConnectTarget& target) {
  const std::string url = EndpointUrl(target, "/ws");
  return url.substr(0, 4) == "http" ? StrCat("ws", url.substr(4)) : url;
}

class Snippets {
 public:
  explicit Snippets(const ConnectTarget& target) : target_(target) {
    const bool is_default = target.virtual_server == "default";
    options_.entry = is_default ? "meta-mcp" : StrCat("meta-mcp-", target.virtual_server);
    options_.url = EndpointUrl(target, "/mcp");
    options_.args = {"stdio"};
    auto url = http::ParseUrl(target.base_url);
    if (!url.ok() || !http::IsLoopbackHost(url->host)) {
      options_.args.insert(options_.args.end(), {"--url", target.base_url});
      if (target.needs_key) options_.args.insert(options_.args.end(), {"--token", "YOUR-KEY"});
    }
    if (!is_default)
      options_.args.insert(options_.args.end(), {"--virtual", target.virtual_server});
  }

  std::string Build() {
    Add(config::Client::kClaudeDesktop, "Claude Desktop", "claude_desktop_config.json", "", "", "");
    ClaudeCode();
    VsCode();
    Cursor();
    const std::string sse = EndpointUrl(target_, "/sse");
    const std::string ws = WebSocketUrl(target_);
    AddAny("url", "Any client that speaks Streamable HTTP", options_.url);
    AddAny("sse", "Any client that speaks HTTP+SSE", sse);
    AddAny("ws", "Any client that speaks WebSocket", ws);
    AddAny("stdio", "Any client that starts a program", Command());

    std::vector<std::string> args;
    for (const std::string& arg : options_.args) args.push_back(json::JsonQuote(arg));
    json::ObjectWriter program;
    program.AddString("command", options_.command).Add("args", json::JoinArray(args));
    json::ObjectWriter out;
    out.AddString("virtualServer", target_.virtual_server).AddString("url", options_.url);
    out.AddString("sseUrl", sse).AddString("wsUrl", ws);
    out.Add("stdio", std::move(program).Build()).AddBool("needsKey", target_.needs_key);
    if (target_.needs_key) {
      out.AddString("note", StrCat("Set ", kKeyVariable, " to a key of this gateway (auth.keys)."));
    }
    out.Add("clients", json::JoinArray(clients_));
    return std::move(out).Build();
  }

 private:
  std::string Command() const {
    std::string command = options_.command;
    for (const std::string& arg : options_.args) command += StrCat(" ", arg);
    return command;
  }

  void AddAny(std::string_view client, std::string_view title, std::string_view text) {
    json::ObjectWriter entry;
    entry.AddString("client", client).AddString("title", title).AddString("text", text);
    clients_.push_back(std::move(entry).Build());
  }

  config::ConnectOptions WithKey(std::string_view reference) const {
    config::ConnectOptions options = options_;
    if (target_.needs_key) options.headers["Authorization"] = StrCat("Bearer ", reference);
    return options;
  }

  void Add(config::Client client, std::string_view title, std::string_view file,
           std::string_view key_reference, std::string_view command, std::string_view link) {
    json::ObjectWriter entry;
    entry.AddString("client", config::ClientName(client)).AddString("title", title);
    entry.AddString("file", file);
    entry.AddString("text", Pretty(config::ClientSnippet(client, WithKey(key_reference))));
    if (!command.empty()) entry.AddString("command", command);
    if (!link.empty()) entry.AddString("link", link);
    clients_.push_back(std::move(entry).Build());
  }

  void ClaudeCode() {
    const std::string reference = StrCat("${", kKeyVariable, "}");
    std::string command =
        StrCat("claude mcp add --transport http ", options_.entry, " ", options_.url);
    if (target_.needs_key) {
      command += StrCat(" --header \"Authorization: Bearer $", kKeyVariable, "\"");
    }
    Add(config::Client::kClaudeCode, "Claude Code", ".mcp.json", reference, command, "");
  }

  void VsCode() {
    const std::string reference = StrCat("${env:", kKeyVariable, "}");
    json::ObjectWriter entry;
    entry.AddString("name", options_.entry).AddString("type", "http");
    entry.AddString("url", options_.url);
    const std::string link =
        StrCat("vscode:mcp/install?", http::PercentEncode(std::move(entry).Build()));
    Add(config::Client::kVsCode, "VS Code", ".vscode/mcp.json", reference, "",
        target_.needs_key ? std::string() : link);
  }

  void Cursor() {
    json::ObjectWriter entry;
    entry.AddString("url", options_.url);
    const std::string link = StrCat(
        "cursor://anysphere.cursor-deeplink/mcp/install?name=", http::PercentEncode(options_.entry),
        "&config=", http::PercentEncode(absl::Base64Escape(std::move(entry).Build())));
    Add(config::Client::kCursor, "Cursor", "~/.cursor/mcp.json",
        StrCat("${env:", kKeyVariable, "}"), "", target_.needs_key ? std::string() : link);
  }

  const ConnectTarget& target_;
  config::ConnectOptions options_;
  std::vector<std::string> clients_;
};

}  // namespace

absl::StatusOr<std::string> BaseUrl(const std::string& public_url, const std::string& listen_url,
                                    const http::HttpRequest& request) {
  std::string base = public_url;
  if (base.empty() && request.is_unix_socket) base = listen_url;
  if (base.empty()) {
    const std::string text =
        StrCat(request.tls ? "https" : "http", "://", request.headers.Get("Host"));
    auto url = http::ParseUrl(text);
    if (!url.ok() || url->target != "/" || !url->user_info.empty()) {
      return MakeError("ARGUMENT_INVALID", "gateway", "the Host header is not a host and port");
    }
    base = url->origin();
  }
  while (!base.empty() && base.back() == '/') base.pop_back();
  return base;
}

std::string ConnectInfo(const ConnectTarget& target) { return Snippets(target).Build(); }

}  // namespace metamcp::gateway::admin
