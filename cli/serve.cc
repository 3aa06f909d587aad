#include "cli/serve.h"

#include <unistd.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <cstdio>
#include <iostream>

#include "cli/exports.h"
#include "cli/suite.h"
#include "common/async/run.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::cli {
namespace {

namespace asio = boost::asio;

// How long a server that was started for somebody stays after its last client.
constexpr std::chrono::seconds kOnDemandLinger{60};

void PrintReady(const Suite& suite) {
  std::string line = "ready";
  if (!suite.base_url().empty()) {
    line += StrCat(" mcp=", suite.base_url(), "/mcp admin=", suite.base_url(), "/api/v1");
  }
  if (!suite.grpc_address().empty()) line += StrCat(" grpc=", suite.grpc_address());
  if (!suite.metrics_url().empty()) line += StrCat(" metrics=", suite.metrics_url(), "/metrics");
  line += StrCat(" pid=", ::getpid());
  std::cout << line << std::endl;
}

Awaitable<void> WaitUntilUnused(Suite& suite) {
  auto last_used = std::chrono::steady_clock::now();
  for (;;) {
    if (suite.connections() > 0) last_used = std::chrono::steady_clock::now();
    if (std::chrono::steady_clock::now() - last_used > kOnDemandLinger) co_return;
    const bool slept = co_await Sleep(std::chrono::seconds(1));
    if (!slept) co_return;
  }
}

Awaitable<void> WaitForStop(Suite& suite, process::WaitSignal wait) {
  for (;;) {
    const bool stop = co_await wait();
    if (stop) co_return;
    Log(LogLevel::kInfo, "config.reload_asked", {{"by", "SIGHUP"}});
    auto reloading = suite.Reload(TraceContext());
    (void)co_await std::move(reloading);
  }
}

Awaitable<int> Main(asio::io_context& io, process::WaitSignal wait, ServeOptions options,
                    process::Ground& ground) {
  using asio::experimental::awaitable_operators::operator||;
  Suite suite(io, options, ground);
  absl::Status status = co_await suite.Start();
  if (status.ok()) {
    PrintReady(suite);
    auto stop = WaitForStop(suite, std::move(wait));
    if (options.on_demand) {
      auto unused = WaitUntilUnused(suite);
      co_await (std::move(stop) || std::move(unused));
    } else {
      co_await std::move(stop);
    }
    Log(LogLevel::kInfo, "process.stopping");
  } else {
    std::cerr << options.program << ": " << status.message() << std::endl;
  }
  co_await suite.Stop();
  co_return status.ok() ? 0 : process::ExitCodeOf(status);
}

absl::StatusOr<process::Ground> OpenBlocking(const ServeOptions& options) {
  SetLogService(options.program);
  process::StartOptions start;
  start.service = options.program;
  start.config_path = options.config_path;
  start.data_dir = options.data_dir;
  start.flags = options.flags;
  for (const char* service : {"ai", "audit", "catalog", "connector", "workflow"}) {
    if (options.services.count(service) > 0) start.database = true;
  }
  return process::OpenGroundBlocking(start);
}

// What traces call this process: one service alone is named as its own program is.
std::string ServiceName(const ServeOptions& options) {
  return options.services.size() == 1 ? StrCat("meta-mcp-", *options.services.begin())
                                      : options.program;
}

absl::Status MigrateBlocking(db::Database& database, const std::set<std::string>& services) {
  if (services.count("catalog") > 0) {
    METAMCP_RETURN_IF_ERROR(catalog::CatalogApp::MigrateBlocking(database));
  }
  if (services.count("connector") > 0) {
    METAMCP_RETURN_IF_ERROR(connector::App::MigrateBlocking(database));
  }
  if (services.count("workflow") > 0) {
    METAMCP_RETURN_IF_ERROR(workflow::App::MigrateBlocking(database));
  }
  if (services.count("audit") > 0) {
    METAMCP_RETURN_IF_ERROR(audit::App::MigrateBlocking(database));
  }
  if (services.count("ai") > 0) METAMCP_RETURN_IF_ERROR(ai::App::MigrateBlocking(database));
  return absl::OkStatus();
}

}  // namespace

int RunMigrate(const ServeOptions& options) {
  auto ground = OpenBlocking(options);
  absl::Status status = ground.status();
  if (status.ok()) status = MigrateBlocking(*ground->database, options.services);
  if (!status.ok()) {
    std::cerr << options.program << ": " << status.message() << std::endl;
    return process::ExitCodeOf(status);
  }
  std::cout << "the database is up to date" << std::endl;
  return 0;
}

int RunServe(const ServeOptions& options) {
  auto ground = OpenBlocking(options);
  absl::Status status = ground.status();
  if (status.ok() && ground->database) {
    status = MigrateBlocking(*ground->database, options.services);
    if (status.ok()) {
      db::ExecutorOptions executor;
      ground->database_executor = std::make_unique<db::DbExecutor>(*ground->database, executor);
    }
  }
  if (status.ok()) {
    status = StartExports(ground->loaded.config.telemetry, ServiceName(options));
  }
  if (!status.ok()) {
    std::cerr << options.program << ": " << status.message() << std::endl;
    return process::ExitCodeOf(status);
  }
  const int code = process::RunLoop(
      [&options, &ground](asio::io_context& io, process::WaitSignal wait) -> Awaitable<int> {
        return Main(io, std::move(wait), options, *ground);
      });
  StopExports();
  return code;
}

std::string DescribeSandbox() {
  return Describe(connector::sandbox::ProbeBlocking(connector::sandbox::CgroupUse::kLook));
}

}  // namespace metamcp::cli
