#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>

#include "cli/bridge.h"
#include "cli/commands.h"
#include "cli/endpoint.h"
#include "cli/gateway_starter.h"
#include "common/async/run.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::cli {
namespace {

constexpr size_t kLineBytesMax = 16 << 20;
// Well below the time after which a gateway without clients ends.
constexpr std::chrono::seconds kPresence{20};

std::string Variable(const CommandContext& ctx, std::string_view name) {
  const auto it = ctx.env.find(name);
  return it == ctx.env.end() ? std::string() : it->second;
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

absl::StatusOr<BridgeOptions> OptionsOf(const CommandContext& ctx,
                                        const std::string& virtual_server) {
  BridgeOptions options;
  const std::string url = ctx.remote() ? ctx.global.url : Variable(ctx, "MCP_SERVER_URL");
  if (url.empty()) {
    options.unix_socket = ctx.SocketPath();
    METAMCP_ASSIGN_OR_RETURN(options.url, EndpointUrl("http://localhost", virtual_server));
    options.presence = kPresence;
  } else {
    METAMCP_ASSIGN_OR_RETURN(options.url, EndpointUrl(url, virtual_server));
  }
  std::string token = ctx.global.token.empty() ? Variable(ctx, "META_MCP_TOKEN") : ctx.global.token;
  if (token.empty()) token = Variable(ctx, "MCP_AUTH");
  if (!token.empty()) {
    options.authorization = token.find(' ') == std::string::npos ? StrCat("Bearer ", token) : token;
  }
  const std::string timeout = Variable(ctx, "MCP_TOOL_CALL_TIMEOUT");
  if (!timeout.empty()) {
    char* end = nullptr;
    const double seconds = std::strtod(timeout.c_str(), &end);
    if (*end != '\0' || !(seconds > 0 && seconds <= 86'400)) {
      return UsageError("MCP_TOOL_CALL_TIMEOUT must be seconds from 1 to 86400");
    }
    options.request_timeout = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
  }
  return options;
}

absl::Status RunStdio(CommandContext& ctx, const std::string& virtual_server) {
  // The client may go away at any time; writes tell us.
  std::signal(SIGPIPE, SIG_IGN);
  SetLogService("stdio");
  METAMCP_ASSIGN_OR_RETURN(BridgeOptions options, OptionsOf(ctx, virtual_server));
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

void AddStdioCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto name = std::make_shared<std::string>();
  Command stdio = root.Sub("stdio", "Is an MCP server on stdin and stdout, for editors");
  stdio.Example("meta-mcp stdio")
      .Example("meta-mcp stdio --virtual readers")
      .Example("meta-mcp stdio --url https://gateway.example.com --token \"$TOKEN\"")
      .More(
          "Joins the gateway that runs on this machine, or starts one that ends a minute after "
          "its last client. With --url it joins that gateway. Also reads MCP_SERVER_URL, MCP_AUTH "
          "and MCP_TOOL_CALL_TIMEOUT (seconds).");
  stdio.Option("--virtual", name.get(), "the virtual server to show", "NAME");
  stdio.Run([&ctx, name] { return RunStdio(ctx, *name); });
}

}  // namespace metamcp::cli
