#include "common/process/process.h"

#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/locked_bytes.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/open_database.h"
#include "common/telemetry/log.h"
#include "common/telemetry/log_keep.h"

namespace metamcp::process {
namespace {

namespace asio = boost::asio;

std::string Home() {
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return home;
  const passwd* user = ::getpwuid(::getuid());
  return user != nullptr ? user->pw_dir : "/";
}

absl::Status MakeDirectory(const std::string& path) {
  for (size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      return absl::PermissionDeniedError(StrCat("cannot make the data folder ", part, ": ",
                                                std::strerror(errno),
                                                "; choose another with --data-dir"));
    }
  }
  return absl::OkStatus();
}

absl::Status SetUpLogging(const config::TelemetryConfig& telemetry) {
  LogLevel level = LogLevel::kInfo;
  ParseLogLevel(telemetry.log_level, &level);
  SetLogLevel(level);
  SetLogText(telemetry.log_format == "text" ||
             (telemetry.log_format == "auto" && ::isatty(STDERR_FILENO) == 1));
  KeepLogLines(static_cast<size_t>(telemetry.log_keep_bytes));
  std::string error;
  if (SetLogFile(telemetry.log_file, telemetry.log_file_bytes_max,
                 telemetry.log_file_days_max * 24 * 3600, static_cast<int>(telemetry.log_files_max),
                 &error)) {
    return absl::OkStatus();
  }
  return MakeError("CONFIG_INVALID", "gateway", StrCat("telemetry.logFile: ", error));
}

absl::StatusOr<KeyRing> LoadKeysBlocking(const Ground& ground) {
  return ground.loaded.config.services.keys_file.empty()
             ? KeyRing::LoadOrCreateBlocking(ground.keys_path)
             : KeyRing::LoadSharedBlocking(ground.keys_path);
}

// Thousands of clients and children need descriptors; the soft limit is often 1024.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

}  // namespace

std::string DataDir(const std::string& given) {
  if (given.empty()) return Home() + "/.meta-mcp";
  if (given.rfind("~/", 0) == 0) return Home() + given.substr(1);
  return given;
}

absl::StatusOr<Ground> OpenGroundBlocking(const StartOptions& options) {
  Ground ground;
  ground.data_dir = DataDir(options.data_dir);
  ground.config_path =
      options.config_path.empty() ? ground.data_dir + "/config.json" : options.config_path;
  ground.load_options.env = config::ProcessEnvironment();
  ground.load_options.flags = options.flags;
  ground.load_options.require_file = options.require_file || !options.config_path.empty();
  METAMCP_ASSIGN_OR_RETURN(ground.loaded,
                           config::LoadConfigBlocking(ground.config_path, ground.load_options));
  const config::Config& config = ground.loaded.config;
  METAMCP_RETURN_IF_ERROR(SetUpLogging(config.telemetry));
  if (!config.secrets.dumps) KeepMemoryPrivate();
  for (const auto& note : ground.loaded.notes) {
    Log(LogLevel::kWarning, "config.note", {{"note", config::FormatProblem(note)}});
  }
  RaiseDescriptorLimit();
  METAMCP_RETURN_IF_ERROR(MakeDirectory(ground.data_dir));
  ground.keys_path = config.services.keys_file.empty() ? ground.data_dir + "/keys.json"
                                                       : config.services.keys_file;
  METAMCP_ASSIGN_OR_RETURN(KeyRing ring, LoadKeysBlocking(ground));
  ground.keys = std::make_unique<KeyRing>(std::move(ring));
  if (!options.database) return ground;

  db::OpenOptions open;
  open.pool_size = static_cast<int>(config.database.pool_size);
  open.connect_timeout = std::chrono::milliseconds(config.database.connect_timeout_ms);
  open.statement_timeout = std::chrono::milliseconds(config.database.statement_timeout_ms);
  const std::string url = config.database.url.empty()
                              ? StrCat("sqlite:", ground.data_dir, "/storage.db")
                              : config.database.url;
  METAMCP_ASSIGN_OR_RETURN(ground.database, db::OpenDatabaseBlocking(url, open));
  return ground;
}

absl::StatusOr<bool> ReloadKeysBlocking(Ground& ground) {
  METAMCP_ASSIGN_OR_RETURN(const KeyRing ring, LoadKeysBlocking(ground));
  return ground.keys->Replace(ring);
}

int RunLoop(std::function<Awaitable<int>(asio::io_context&, WaitSignal)> main) {
  std::signal(SIGPIPE, SIG_IGN);
  asio::io_context io(1);
  asio::signal_set signals(io, SIGINT, SIGTERM, SIGHUP);
  WaitSignal wait = [&signals]() -> Awaitable<bool> {
    const auto [error, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
    if (error || number == SIGHUP) co_return static_cast<bool>(error);
    // A second one while the program stops ends it at once.
    signals.async_wait([](const boost::system::error_code& e, int) {
      if (!e) std::_Exit(130);
    });
    co_return true;
  };
  int code = 1;
  asio::co_spawn(io, main(io, wait), [&code, &signals](std::exception_ptr e, int result) {
    code = e ? 1 : result;
    if (e) {
      Log(LogLevel::kError, "process.failed",
          {{"error", std::string(StatusFromException(e).message())}});
    }
    signals.cancel();
  });
  for (;;) {
    try {
      io.run();
      return code;
    } catch (const std::exception& error) {
      // No handler of ours throws; what a library lets out must not take everybody down.
      Log(LogLevel::kError, "process.handler_threw", {{"error", std::string(error.what())}});
    }
  }
}

absl::StatusOr<std::shared_ptr<rpc::Tls>> OpenTlsBlocking(const config::ServicesConfig& services,
                                                          const std::set<std::string>& roles) {
  const config::ServiceTlsConfig& from = services.tls;
  if (from.ca.empty() && from.certificate.empty() && from.key.empty()) {
    return std::shared_ptr<rpc::Tls>();
  }
  METAMCP_ASSIGN_OR_RETURN(
      auto tls, rpc::Tls::OpenBlocking(rpc::TlsFiles{from.ca, from.certificate, from.key}));
  const std::vector<std::string> named = tls->roles();
  for (const std::string& role : roles) {
    if (std::find(named.begin(), named.end(), role) != named.end()) continue;
    return MakeError(
        "CONFIG_INVALID", "gateway",
        StrCat(from.certificate, " (services.tls.certificate) does not name the role ", role,
               ", which this process runs; it needs the URI ", pki::RoleUri(role)));
  }
  return tls;
}

int ExitCodeOf(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  if (info && info->reason == "CONFIG_INVALID") return 2;
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

}  // namespace metamcp::process
