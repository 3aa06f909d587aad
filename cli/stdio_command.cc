#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>

#include "absl/strings/ascii.h"
#include "cli/bridge.h"
#include "cli/commands.h"
#include "cli/gateway_starter.h"
#include "cli/stdio_options.h"
#include "common/async/run.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::cli {
namespace {

constexpr size_t kLineBytesMax = 16 << 20;
// What the variable MCP_WRAPPER_LOG_LEVEL may say; other wrappers also know "off".
absl::StatusOr<LogLevel> WantedLogLevel(const CommandContext& ctx, std::string* name) {
  LogLevel level = LogLevel::kInfo;
  const auto it = ctx.env.find("MCP_WRAPPER_LOG_LEVEL");
  if (it == ctx.env.end() || it->second.empty()) return level;
  *name = absl::AsciiStrToLower(it->second);
  if (*name == "off" || *name == "critical") *name = "error";
  if (ParseLogLevel(*name, &level)) return level;
  return UsageError("MCP_WRAPPER_LOG_LEVEL must be debug, info, warning, error or off");
}

StartOptions StartOf(const CommandContext& ctx) {
  StartOptions start;
  start.program = ctx.program;
  start.data_dir = ctx.DataDir();
  start.socket = ctx.SocketPath();
  start.args = {"serve", "--on-demand", "--data-dir", ctx.DataDir()};
  if (!ctx.GivenConfig().empty()) {
    start.args.insert(start.args.end(), {"--config", ctx.GivenConfig()});
  }
  return start;
}

// Runs what blocks on a thread of the pool and comes back.
Awaitable<absl::Status> EnsureGateway(boost::asio::thread_pool& pool, StartOptions options) {
  const auto executor = co_await boost::asio::this_coro::executor;
  co_await boost::asio::post(pool, boost::asio::use_awaitable);
  absl::Status status = EnsureGatewayBlocking(options);
  co_await boost::asio::post(executor, boost::asio::use_awaitable);
  co_return status;
}

absl::Status RunStdio(CommandContext& ctx, const std::string& virtual_server) {
  // The client may go away at any time; writes tell us.
  std::signal(SIGPIPE, SIG_IGN);
  SetLogService("stdio");
  std::string level_name = "info";
  METAMCP_ASSIGN_OR_RETURN(const LogLevel level, WantedLogLevel(ctx, &level_name));
  METAMCP_ASSIGN_OR_RETURN(StdioPlan plan, PlanStdio(ctx, virtual_server));
  if (plan.translate) {
    plan.translate->log_level = level_name;
    ctx.exit_code = ctx.run_translate(*plan.translate);
    return absl::OkStatus();
  }
  SetLogLevel(level);
  BridgeOptions options = std::move(plan.bridge);
  boost::asio::thread_pool starter(1);
  if (!options.unix_socket.empty()) {
    const StartOptions start = StartOf(ctx);
    METAMCP_RETURN_IF_ERROR(EnsureGatewayBlocking(start));
    options.revive = [&starter, start] { return EnsureGateway(starter, start); };
  }
  boost::asio::io_context io(1);
  http::HttpClientOptions client_options;
  client_options.connections_per_host_max = 1024;
  const auto client = http::NewHttpClient(io.get_executor(), client_options);
  const auto source = NewFdLineSource(io.get_executor(), 0, kLineBytesMax);
  const auto sink = NewFdLineSink(io.get_executor(), 1);
  Bridge bridge(io.get_executor(), *client, *source, *sink, std::move(options));
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&source](const boost::system::error_code& ec, int) {
    if (!ec) source->Stop();
  });
  absl::Status status;
  boost::asio::co_spawn(io, bridge.Run(), [&io, &status](std::exception_ptr failed) {
    if (failed) status = StatusFromException(failed);
    // Pooled connections would keep it running.
    io.stop();
  });
  io.run();
  starter.join();
  return status;
}

}  // namespace

absl::Status StartOnDemandBlocking(const CommandContext& ctx) {
  return EnsureGatewayBlocking(StartOf(ctx));
}

void AddStdioCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto name = std::make_shared<std::string>();
  Command stdio = root.Sub("stdio", "Is an MCP server on stdin and stdout, for editors");
  stdio.Example("meta-mcp stdio")
      .Example("meta-mcp stdio --virtual readers")
      .Example("meta-mcp stdio --url https://gateway.example.com --token \"$TOKEN\"")
      .Example("meta-mcp stdio --url wss://gateway.example.com/ws")
      .More(
          "Joins the gateway that runs on this machine, or starts one that ends a minute after "
          "its last client. With --url it joins that gateway: over Streamable HTTP, over HTTP+SSE "
          "where the URL ends in /sse, over WebSocket where it begins with ws or ends in /ws. Also "
          "reads the variables of ContextForge's wrapper: MCP_SERVER_URL, MCP_AUTH, "
          "MCP_TOOL_CALL_TIMEOUT (seconds), CONCURRENCY, MCP_WRAPPER_LOG_LEVEL; and of older ones "
          "MCP_SERVER_CATALOG_URLS (by commas) and MCP_AUTH_TOKEN.");
  stdio.Option("--virtual", name.get(), "the virtual server to show", "NAME");
  stdio.Run([&ctx, name] { return RunStdio(ctx, *name); });
}

}  // namespace metamcp::cli
