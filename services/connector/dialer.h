#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/async/task_group.h"
#include "common/http/http_client.h"
#include "services/connector/sandbox/runner.h"
#include "services/connector/session.h"
#include "services/connector/stdio_channel.h"
#include "services/connector/target.h"

namespace metamcp::connector {

// What is remembered of an upstream's era between connections, so that it is not probed each time.
// A legacy verdict gets stale silently, so it has a horizon.
struct EraMemory {
  enum class Known { kUnknown, kLegacy, kModern } known = Known::kUnknown;
  // How an HTTP upstream is spoken to: 2024-11-05's two endpoints instead of one.
  bool http_sse = false;
  std::chrono::steady_clock::time_point until;
};

struct DialTimes {
  std::chrono::milliseconds probe{5000};
  std::chrono::milliseconds connect{60000};
  std::chrono::milliseconds stop_grace{2000};
};

// What dialling needs of its process.
struct DialerOptions {
  DialTimes times;
  std::string client_info;
  size_t message_bytes_max = 33u << 20;
  sandbox::Runner* sandboxes = nullptr;  // null: programs are started as they are
};

// Opens sessions to upstreams: starts the process or reaches the URL, finds out the era, shakes
// hands (digest of MCP's "Backward Compatibility" sections of stdio and Streamable HTTP).
class Dialer {
 public:
  struct Request {
    Request(const Target& target_in, std::shared_ptr<LogRing> log_in)
        : target(target_in), log(std::move(log_in)) {}
    Target target;
    std::shared_ptr<LogRing> log;
    Capset declared;  // to a legacy upstream
    std::chrono::milliseconds hold_questions{0};
    std::shared_ptr<Signer> credentials;  // none: what the target's headers hold
    std::string owner;                    // of the account to use
  };

  Dialer(boost::asio::any_io_executor executor, TaskGroup& tasks, ProcessBudget& budget,
         http::HttpClient& http, DialerOptions options)
      : executor_(executor),
        tasks_(tasks),
        budget_(budget),
        http_(http),
        options_(std::move(options)) {}

  // Returns a session that is ready for calls. `memory` is read and updated; `observer` must
  // outlive the session or Detach it. Errors: UPSTREAM_UNAVAILABLE, UPSTREAM_AUTH,
  // UPSTREAM_LOGIN_REQUIRED, UPSTREAM_PROTOCOL, UPSTREAM_TIMEOUT, QUEUE_FULL; all name the
  // upstream. Never UPSTREAM_LOST: no call is sent before the session is ready.
  Awaitable<absl::StatusOr<std::shared_ptr<Session>>> Dial(Request request, EraMemory& memory,
                                                           SessionObserver& observer);

  const DialerOptions& options() const { return options_; }
  http::HttpClient& http() { return http_; }

 private:
  using SessionOr = absl::StatusOr<std::shared_ptr<Session>>;
  SessionOr NewSession(const Request& request, bool http_sse, SessionObserver& observer);
  Awaitable<absl::Status> Legacy(std::shared_ptr<Session> session);
  Awaitable<absl::Status> Modern(std::shared_ptr<Session> session);
  Awaitable<SessionOr> DialKnown(const Request& request, EraMemory& memory,
                                 SessionObserver& observer, bool modern);
  Awaitable<SessionOr> DialProbing(const Request& request, EraMemory& memory,
                                   SessionObserver& observer);
  Awaitable<SessionOr> DialLegacyAfterProbe(const Request& request, EraMemory& memory,
                                            SessionObserver& observer,
                                            std::shared_ptr<Session> probed);

  boost::asio::any_io_executor executor_;
  TaskGroup& tasks_;
  ProcessBudget& budget_;
  http::HttpClient& http_;
  const DialerOptions options_;
};

}  // namespace metamcp::connector
