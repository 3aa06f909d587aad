#include "cli/translate.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <cctype>
#include <iostream>

#include "cli/line_io.h"
#include "cli/spawn_client.h"
#include "cli/suite.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/open_database.h"
#include "common/http/url.h"
#include "common/telemetry/log.h"
#include "gateway/transport/duplex_front.h"

namespace metamcp::cli {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr size_t kLineBytesMax = 16 << 20;
// A server that takes longer joins later; its clients hear of it.
constexpr std::chrono::seconds kConnectWait{10};
constexpr std::chrono::milliseconds kQuiet{300};
constexpr std::chrono::milliseconds kPoll{20};
// For answers after the end of the input.
constexpr std::chrono::seconds kDrain{10};
constexpr char kAuthorizationVariable[] = "META_MCP_TRANSLATE_AUTHORIZATION";

// What the user wrote is no reference to a variable.
std::string Literal(std::string text) {
  for (size_t at = 0; (at = text.find("${", at)) != std::string::npos; at += 3) {
    text.insert(at, "$");
  }
  return text;
}

bool IsName(std::string_view name) {
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name.front())) == 0 &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
         });
}

// How errors and logs call it: by its program or host.
std::string NameOf(const TranslateOptions::Source& source) {
  std::string text = source.url;
  if (!source.command.empty()) {
    text = source.command.front();
    text = text.substr(text.rfind('/') + 1);
  } else if (const auto url = http::ParseUrl(source.url); url.ok()) {
    text = url->host;
  }
  std::string slug = Slug(text);
  return slug.empty() ? "server" : slug;
}

// Our own settings, and the keys for a gateway (cli/stdio_options.cc).
bool IsOurs(std::string_view name) {
  return name.starts_with("META_MCP_") || name == "MCP_AUTH" || name == "MCP_AUTH_TOKEN";
}

config::Config MakeConfig(const TranslateOptions& options) {
  config::Config config;
  for (const TranslateOptions::Source& source : options.sources) {
    config::ServerConfig server;
    server.type = source.type;
    if (!source.command.empty()) {
      server.command = Literal(source.command.front());
      for (size_t i = 1; i < source.command.size(); ++i) {
        server.args.push_back(Literal(source.command[i]));
      }
      // A program gets the environment that it would have without us, and none of our keys.
      for (const auto& [name, value] : options.env) {
        if (IsName(name) && !IsOurs(name)) server.env[name] = StrCat("${", name, "}");
      }
    } else {
      server.url = Literal(source.url);
      server.allow_plain_http = options.allow_plain_http;
      if (!options.authorization.empty()) {
        server.headers["Authorization"] = StrCat("${", kAuthorizationVariable, "}");
      }
    }
    server.timeout_ms = options.timeout_ms;
    server.concurrency = options.concurrency;
    const std::string base = NameOf(source);
    server.display_name = base;
    for (int i = 2; config.mcp_servers.count(server.display_name) > 0; ++i) {
      server.display_name = StrCat(base, "-", i);
    }
    config.mcp_servers[server.display_name] = std::move(server);
  }
  config::VirtualServerConfig all;
  all.prefix = "none";
  config.virtual_servers["default"] = std::move(all);
  config.gateway.listen = options.address;
  config.gateway.sse_keep_alive_ms = options.keep_alive_ms;
  config.gateway.cors.origins = options.cors_origins;
  if (!options.key.empty()) {
    config::KeyConfig key;
    key.name = "translate";
    key.key = options.key;
    key.roles = {"viewer"};
    config.auth.keys.push_back(std::move(key));
    config.auth.anonymous_loopback = false;
  }
  return config;
}

absl::StatusOr<process::Ground> OpenGroundBlocking(const TranslateOptions& options) {
  LogLevel level = LogLevel::kInfo;
  ParseLogLevel(options.log_level, &level);
  SetLogLevel(level);
  SetLogText(::isatty(STDERR_FILENO) == 1);
  process::Ground ground;
  ground.load_options.env = options.env;
  if (!options.authorization.empty()) {
    ground.load_options.env[kAuthorizationVariable] = options.authorization;
  }
  ground.loaded.config = MakeConfig(options);
  ground.keys = std::make_unique<KeyRing>(KeyRing::Ephemeral());
  db::OpenOptions open;
  METAMCP_ASSIGN_OR_RETURN(ground.database, db::OpenDatabaseBlocking("sqlite::memory:", open));
  METAMCP_RETURN_IF_ERROR(catalog::CatalogApp::MigrateBlocking(*ground.database));
  METAMCP_RETURN_IF_ERROR(connector::App::MigrateBlocking(*ground.database));
  db::ExecutorOptions executor;
  ground.database_executor = std::make_unique<db::DbExecutor>(*ground.database, executor);
  return ground;
}

SuiteEdge EdgeOf(const TranslateOptions& options) {
  SuiteEdge edge;
  edge.gateway.paths.mcp = options.expose_http;
  edge.gateway.paths.sse = options.expose_sse;
  edge.gateway.paths.ws = options.expose_ws;
  edge.gateway.paths.sse_path = options.sse_path;
  edge.gateway.paths.messages_path = options.messages_path;
  edge.gateway.rest = false;
  edge.gateway.stateless = options.stateless;
  edge.gateway.json_only = options.json_only;
  edge.tcp = options.listen;
  edge.socket = false;
  return edge;
}

void PrintReady(const TranslateOptions& options, const std::string& base) {
  std::string line = "ready";
  if (options.expose_http) line += StrCat(" mcp=", base, "/mcp");
  if (options.expose_sse) line += StrCat(" sse=", base, options.sse_path);
  if (options.expose_ws) line += StrCat(" ws=ws", base.substr(4), "/ws");
  std::cout << line << " pid=" << ::getpid() << std::endl;
}

bool AllConnected(const gateway::ServerView* view) {
  return view != nullptr && !view->upstreams().empty() &&
         std::all_of(view->upstreams().begin(), view->upstreams().end(), [](const auto& upstream) {
           return upstream->state == "ready" || upstream->state == "degraded";
         });
}

// So that the first client sees what is there: the servers' lists arrive one after the other.
Awaitable<void> WaitForServers(Suite& suite) {
  const auto until = Clock::now() + kConnectWait;
  std::shared_ptr<const gateway::ServerView> seen;
  auto changed_at = Clock::now();
  while (Clock::now() < until) {
    auto view = suite.gateway()->View();
    if (view != seen) changed_at = Clock::now();
    seen = std::move(view);
    if (AllConnected(seen.get()) && Clock::now() - changed_at > kQuiet) co_return;
    const bool slept = co_await Sleep(kPoll);
    if (!slept) co_return;
  }
  const auto view = suite.gateway()->View();
  if (view == nullptr) co_return;
  for (const auto& upstream : view->upstreams()) {
    if (upstream->state == "ready") continue;
    Log(LogLevel::kWarning, "translate.not_connected",
        {{"server", upstream->name}, {"state", upstream->state}, {"error", upstream->detail}});
  }
}

Awaitable<void> WriteLines(std::shared_ptr<gateway::DuplexConnection> connection, LineSink& sink) {
  constexpr std::chrono::hours kWait{1};
  absl::Status written;
  while (written.ok()) {
    std::optional<std::string> message = co_await connection->Next(kWait);
    if (!message && connection->end() != gateway::DuplexConnection::End::kOpen) break;
    if (!message) continue;
    // Line breaks between JSON tokens are white space; here they would end the message.
    std::replace_if(
        message->begin(), message->end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    written = co_await sink.WriteLine(*std::move(message));
  }
  connection->Gone();
}

Awaitable<void> ReadLines(std::shared_ptr<gateway::DuplexConnection> connection,
                          LineSource& source) {
  for (;;) {
    auto line = co_await source.ReadLine();
    absl::Status taken = line.status();
    if (line.ok() && !line->has_value()) break;
    if (line.ok()) taken = co_await connection->Take(**std::move(line));
    if (!taken.ok()) co_await connection->Report(std::move(taken));
  }
  // What runs is still answered, if that does not take long.
  connection->InputEnded();
  (void)co_await Sleep(kDrain);
  connection->Gone();
}

Awaitable<absl::Status> ServePipes(Suite& suite, int in, int out) {
  const auto executor = co_await asio::this_coro::executor;
  auto opened = suite.gateway()->OpenLocal("stdio");
  if (!opened.ok()) co_return opened.status();
  const gateway::DuplexGuard guard(*opened);
  const auto source = NewFdLineSource(executor, in, kLineBytesMax);
  const auto sink = NewFdLineSink(executor, out);
  sink->OnClosed([&source] { source->Stop(); });
  using asio::experimental::awaitable_operators::operator||;
  auto reading = ReadLines(*opened, *source);
  auto writing = WriteLines(*opened, *sink);
  co_await (std::move(reading) || std::move(writing));
  co_return absl::OkStatus();
}

Awaitable<void> WaitForStop(process::WaitSignal wait) {
  for (;;) {
    const bool stop = co_await wait();
    if (stop) co_return;
  }
}

Awaitable<absl::Status> Run(Suite& suite, process::WaitSignal wait,
                            const TranslateOptions& options) {
  using asio::experimental::awaitable_operators::operator||;
  const absl::Status started = co_await suite.Start();
  if (!started.ok()) co_return started;
  auto stop = WaitForStop(std::move(wait));
  if (options.listen) {
    co_await WaitForServers(suite);
    PrintReady(options, suite.base_url());
    co_await std::move(stop);
    co_return absl::OkStatus();
  }
  std::unique_ptr<ClientProgram> program;
  if (!options.client_command.empty()) {
    auto spawned = ClientProgram::Spawn(options.client_command);
    if (!spawned.ok()) co_return spawned.status();
    program = *std::move(spawned);
  }
  co_await WaitForServers(suite);
  auto serving = ServePipes(suite, program ? program->out() : STDIN_FILENO,
                            program ? program->in() : STDOUT_FILENO);
  auto ended = co_await (std::move(serving) || std::move(stop));
  if (ended.index() == 0) co_return std::get<0>(std::move(ended));
  co_return absl::OkStatus();
}

Awaitable<int> Main(asio::io_context& io, process::WaitSignal wait, const TranslateOptions& options,
                    process::Ground& ground) {
  ServeOptions serve;
  serve.program = "meta-mcp";
  serve.services = {"gateway", "catalog", "connector"};
  Suite suite(io, serve, ground, EdgeOf(options));
  const absl::Status status = co_await Run(suite, std::move(wait), options);
  if (!status.ok()) std::cerr << "meta-mcp: " << status.message() << std::endl;
  co_await suite.Stop();
  co_return status.ok() ? 0 : process::ExitCodeOf(status);
}

}  // namespace

int RunTranslate(const TranslateOptions& options) {
  SetLogService(options.service);
  auto ground = OpenGroundBlocking(options);
  if (!ground.ok()) {
    std::cerr << "meta-mcp: " << ground.status().message() << std::endl;
    return process::ExitCodeOf(ground.status());
  }
  return process::RunLoop(
      [&options, &ground](asio::io_context& io, process::WaitSignal wait) -> Awaitable<int> {
        return Main(io, std::move(wait), options, *ground);
      });
}

}  // namespace metamcp::cli
