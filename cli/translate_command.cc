#include "cli/commands.h"
#include "cli/translate.h"
#include "cli/words.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/http_types.h"
#include "common/http/url.h"

namespace metamcp::cli {
namespace {

struct Given {
  std::string stdio, connect_sse, connect_http, connect_ws;
  bool expose_sse = false, expose_http = false, expose_ws = false;
  std::string host = "127.0.0.1", port = "8000";
  std::string log_level = "info", sse_path = "/sse", message_path = "/message";
  std::string keep_alive = "30", bearer, client_command;
  std::vector<std::string> cors, header_to_env, metadata;
  bool dynamic_env = false, stateless = false, json_response = false, allow_plain_http = false;
  std::string grpc, connect_grpc, grpc_cert, grpc_key;
  bool grpc_tls = false;

  bool exposes() const { return expose_sse || expose_http || expose_ws; }
  // Else it is a server on pipes.
  bool listens() const { return exposes() || !stdio.empty(); }
};

// What ContextForge's translate has and this one has not, by name.
absl::Status RefuseForeign(const Given& g) {
  const std::pair<bool, std::string_view> grpc[] = {
      {!g.grpc.empty(), "--grpc"},         {!g.connect_grpc.empty(), "--connect-grpc"},
      {g.grpc_tls, "--grpc-tls"},          {!g.grpc_cert.empty(), "--grpc-cert"},
      {!g.grpc_key.empty(), "--grpc-key"}, {!g.metadata.empty(), "--grpc-metadata"}};
  for (const auto& [given, name] : grpc) {
    if (given) {
      return UsageError(StrCat(name, " is not supported: gRPC services cannot be bridged yet"),
                        "Put an MCP server in front of the service and bridge that one, with "
                        "--stdio or --connect-streamable-http.");
    }
  }
  if (g.dynamic_env || !g.header_to_env.empty()) {
    return UsageError(StrCat(g.dynamic_env ? "--enable-dynamic-env" : "--header-to-env",
                             " is not supported: all clients share the server's process"),
                      "Set the variable where translate is started, and run one translate for "
                      "each value; or use a server that takes credentials over HTTP.");
  }
  return absl::OkStatus();
}

absl::Status CheckPath(std::string_view flag, std::string_view path) {
  const bool fine = path.size() > 1 && path.front() == '/' && path.back() != '/' &&
                    path.find_first_of("?#% ") == std::string_view::npos &&
                    http::IsHeaderValue(path) && path.substr(0, 9) != "/servers/" &&
                    path != "/mcp" && path != "/ws" && path != "/health" && path != "/ready";
  if (fine) return absl::OkStatus();
  return UsageError(
      StrCat(flag, " \"", path, "\" must be a path such as /sse that nothing else has"));
}

absl::Status CheckUrl(std::string_view flag, const std::string& text, bool websocket) {
  const auto url = http::ParseUrl(text);
  const std::string_view scheme = websocket ? "ws" : "http";
  if (url.ok() && (url->scheme == scheme || url->scheme == StrCat(scheme, "s"))) {
    return absl::OkStatus();
  }
  return UsageError(
      StrCat(flag, " needs a URL that begins with ", scheme, ":// or ", scheme, "s://"));
}

absl::StatusOr<std::vector<TranslateOptions::Source>> SourcesOf(const Given& g) {
  std::vector<TranslateOptions::Source> out;
  const auto add = [&out](std::string type, const std::string& url) {
    TranslateOptions::Source source;
    source.type = std::move(type);
    source.url = url;
    out.push_back(std::move(source));
  };
  if (!g.stdio.empty()) {
    add("stdio", "");
    METAMCP_ASSIGN_OR_RETURN(out.back().command, SplitWords(g.stdio));
    if (out.back().command.empty()) return UsageError("--stdio needs a command");
  }
  if (!g.connect_sse.empty()) {
    METAMCP_RETURN_IF_ERROR(CheckUrl("--connect-sse", g.connect_sse, false));
    add("sse", g.connect_sse);
  }
  if (!g.connect_http.empty()) {
    METAMCP_RETURN_IF_ERROR(CheckUrl("--connect-streamable-http", g.connect_http, false));
    add("http", g.connect_http);
  }
  if (!g.connect_ws.empty()) {
    METAMCP_RETURN_IF_ERROR(CheckUrl("--connect-ws", g.connect_ws, true));
    add("ws", g.connect_ws);
  }
  if (out.size() != 1) {
    return UsageError(out.empty() ? "name the server" : "name one server only",
                      "--stdio \"COMMAND\", --connect-sse URL, --connect-streamable-http URL or "
                      "--connect-ws URL.");
  }
  return out;
}

absl::Status ReadListener(const Given& g, const std::string& token, TranslateOptions& options) {
  char* end = nullptr;
  const double seconds = std::strtod(g.keep_alive.c_str(), &end);
  if (g.keep_alive.empty() || *end != '\0' || !(seconds >= 0.1 && seconds <= 3600)) {
    return UsageError("--keepAlive must be seconds from 0.1 to 3600");
  }
  options.keep_alive_ms = static_cast<int64_t>(seconds * 1000);
  const long port = std::strtol(g.port.c_str(), &end, 10);
  if (g.port.empty() || *end != '\0' || port < 0 || port > 65535) {
    return UsageError("--port must be a number from 0 to 65535");
  }
  const bool v6 = g.host.find(':') != std::string::npos && g.host.front() != '[';
  if (g.listens() && token.empty() && !http::IsLoopbackHost(g.host)) {
    return UsageError(
        StrCat("other machines reach --host ", g.host, ", and nobody needs a key there"),
        "Give one with --token (or META_MCP_TOKEN), or listen on 127.0.0.1.");
  }
  options.address = StrCat(v6 ? "[" : "", g.host, v6 ? "]" : "", ":", port);
  return absl::OkStatus();
}

absl::Status Translate(CommandContext& ctx, const Given& g) {
  METAMCP_RETURN_IF_ERROR(RefuseForeign(g));
  if (ctx.remote()) {
    return UsageError("translate takes no --url", "Name the server with --connect-....");
  }
  TranslateOptions options;
  METAMCP_ASSIGN_OR_RETURN(options.sources, SourcesOf(g));
  METAMCP_RETURN_IF_ERROR(ReadListener(g, ctx.Target().token, options));
  METAMCP_RETURN_IF_ERROR(CheckPath("--ssePath", g.sse_path));
  METAMCP_RETURN_IF_ERROR(CheckPath("--messagePath", g.message_path));
  if (g.sse_path == g.message_path) return UsageError("--ssePath and --messagePath must differ");
  options.expose_sse = g.expose_sse;
  options.expose_http = g.expose_http;
  options.expose_ws = g.expose_ws;
  if (!g.exposes()) options.expose_sse = true;
  options.listen = g.listens();
  if (!g.client_command.empty()) {
    if (options.listen) return UsageError("--stdioCommand goes with --connect-... alone");
    METAMCP_ASSIGN_OR_RETURN(options.client_command, SplitWords(g.client_command));
    if (options.client_command.empty()) return UsageError("--stdioCommand needs a command");
  }
  if ((g.stateless || g.json_response) && !g.expose_http) {
    return UsageError("--stateless and --jsonResponse go with --expose-streamable-http");
  }
  if (!g.bearer.empty() && !http::IsHeaderValue(g.bearer)) {
    return UsageError("--oauth2Bearer holds characters that a header cannot");
  }
  if (!g.bearer.empty() && g.stdio.empty()) options.authorization = StrCat("Bearer ", g.bearer);
  options.allow_plain_http = g.allow_plain_http;
  options.sse_path = g.sse_path;
  options.messages_path = g.message_path;
  options.cors_origins = g.cors;
  options.key = ctx.Target().token;
  options.stateless = g.stateless;
  options.json_only = g.json_response;
  options.log_level = g.log_level == "critical" ? "error" : g.log_level;
  options.env = ctx.env;
  ctx.exit_code = ctx.run_translate(options);
  return absl::OkStatus();
}

void AddSources(Command& command, const std::shared_ptr<Given>& g) {
  command.Option("--stdio", &g->stdio, "a server that is a program", "COMMAND")
      .Option("--connect-sse,--sse", &g->connect_sse, "a server over HTTP+SSE", "URL")
      .Option("--connect-streamable-http,--streamableHttp", &g->connect_http,
              "a server over Streamable HTTP", "URL")
      .Option("--connect-ws", &g->connect_ws, "a server over WebSocket", "URL")
      .Option("--oauth2Bearer", &g->bearer, "token for the server's URL", "TOKEN")
      .Flag("--allow-plain-http", &g->allow_plain_http, "reach another machine without TLS");
}

void AddGrpc(Command& command, const std::shared_ptr<Given>& g) {
  command.Option("--grpc", &g->grpc, "refused: gRPC is not bridged", "TARGET")
      .Option("--connect-grpc", &g->connect_grpc, "refused: gRPC is not bridged", "TARGET")
      .Flag("--grpc-tls", &g->grpc_tls, "refused: gRPC is not bridged")
      .Option("--grpc-cert", &g->grpc_cert, "refused: gRPC is not bridged", "FILE")
      .Option("--grpc-key", &g->grpc_key, "refused: gRPC is not bridged", "FILE")
      .List("--grpc-metadata", &g->metadata, "refused: gRPC is not bridged", "KEY=VALUE")
      .Flag("--enable-dynamic-env", &g->dynamic_env,
            "refused: clients share the server's environment")
      .List("--header-to-env", &g->header_to_env, "refused: clients share the server's environment",
            "HEADER=NAME");
}

}  // namespace

void AddTranslateCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto g = std::make_shared<Given>();
  Command translate = root.Sub("translate", "Carries one server from one transport to another");
  translate.Example("meta-mcp translate --stdio \"uvx mcp-server-git\" --expose-sse --port 9000")
      .Example(
          "meta-mcp translate --stdio \"uvx mcp-server-git\" --expose-streamable-http --stateless")
      .Example("meta-mcp translate --connect-sse https://example.com/sse --oauth2Bearer \"$TOKEN\"")
      .Example("meta-mcp translate --connect-ws wss://example.com/ws --expose-streamable-http")
      .More(
          "With --stdio it listens (for HTTP+SSE unless told otherwise) and prints 'ready mcp=URL "
          "sse=URL ws=URL pid=N'; with --connect-... alone it is the server on its own stdin and "
          "stdout, or on those of --stdioCommand. Every revision of MCP is spoken on both sides. "
          "Clients need --token where it is given, which a --host beyond this machine requires. "
          "Takes the flags of ContextForge's translate, of its versions 0.4 and 1.0.");
  AddSources(translate, g);
  translate.Flag("--expose-sse", &g->expose_sse, "serve HTTP+SSE")
      .Flag("--expose-streamable-http", &g->expose_http, "serve Streamable HTTP at /mcp")
      .Flag("--expose-ws", &g->expose_ws, "serve WebSocket at /ws")
      .Option("--host", &g->host, "where to listen (default 127.0.0.1)", "HOST")
      .Option("--port", &g->port, "where to listen (default 8000; 0 takes a free one)", "PORT")
      .Option("--ssePath", &g->sse_path, "path of the stream (default /sse)", "PATH")
      .Option("--messagePath", &g->message_path, "path for messages (default /message)", "PATH")
      .Option("--keepAlive", &g->keep_alive, "between signs of life of a stream (default 30)",
              "SECONDS")
      .List("--cors", &g->cors, "an origin whose pages may call", "ORIGIN")
      .Flag("--stateless", &g->stateless, "Streamable HTTP without sessions")
      .Flag("--jsonResponse", &g->json_response, "Streamable HTTP without event streams")
      .Option("--stdioCommand", &g->client_command, "the client, as a program", "COMMAND")
      .Choice("--logLevel", &g->log_level, {"debug", "info", "warning", "error", "critical"},
              "what to log on stderr");
  AddGrpc(translate, g);
  translate.Run([&ctx, g] { return Translate(ctx, *g); });
}

}  // namespace metamcp::cli
