#include "common/db/postgres_listener.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "absl/strings/str_replace.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/libpq.h"
#include "common/telemetry/log.h"

namespace metamcp::db {
namespace {

class PostgresListener : public Listener {
 public:
  PostgresListener(std::string url, std::vector<std::string> channels, Database::Callback callback)
      : url_(std::move(url)),
        channels_(std::move(channels)),
        callback_(std::move(callback)),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    METAMCP_CHECK(wake_ >= 0);
  }
  ~PostgresListener() override {
    stop_ = true;
    const uint64_t one = 1;
    METAMCP_CHECK(write(wake_, &one, sizeof(one)) == sizeof(one));
    if (thread_.joinable()) thread_.join();
    close(wake_);
  }

  absl::Status Start() {
    METAMCP_RETURN_IF_ERROR(Connect());
    thread_ = std::thread([this] { Loop(); });
    return absl::OkStatus();
  }

 private:
  absl::Status Connect() {
    const absl::Status status = TryConnect();
    if (status.ok()) return status;
    connection_.reset();
    const std::string_view text = Sv(status.message());
    Log(LogLevel::kWarning, "database.listen_failed", {{"error", text.substr(0, text.find('\n'))}});
    return MakeError("DATABASE_UNAVAILABLE", "database", "the database cannot be reached");
  }

  absl::Status TryConnect() {
    METAMCP_ASSIGN_OR_RETURN(pq_, LoadLibpq());
    METAMCP_ASSIGN_OR_RETURN(connection_, pq_->Connect(url_));
    for (const std::string& channel : channels_) {
      const std::string sql =
          StrCat("LISTEN \"", absl::StrReplaceAll(channel, {{"\"", "\"\""}}), "\"");
      const Libpq::Result result(pq_->exec(connection_.get(), sql.c_str()), Libpq::Free{pq_});
      if (pq_->result_status(result.get()) != PGRES_COMMAND_OK) {
        return absl::UnavailableError(pq_->error_message(connection_.get()));
      }
    }
    return absl::OkStatus();
  }

  void Loop() {
    int wait_ms = 100;
    while (!stop_) {
      if (connection_ != nullptr) {
        Receive();
        connection_.reset();
        wait_ms = 100;
      }
      WaitBlocking(-1, wait_ms);
      wait_ms = std::min(wait_ms * 2, 5000);
      if (stop_ || !Connect().ok()) continue;
      Notification lost;
      lost.resync = true;
      callback_(lost);
    }
  }

  // Delivers until the connection is lost or the listener stops.
  void Receive() {
    while (!stop_) {
      if (pq_->consume_input(connection_.get()) == 0) {
        const std::string_view text(pq_->error_message(connection_.get()));
        Log(LogLevel::kWarning, "database.listener_lost",
            {{"error", text.substr(0, text.find('\n'))}});
        return;
      }
      while (const Libpq::Notify got{pq_->notifies(connection_.get()), Libpq::Free{pq_}}) {
        Notification n;
        n.channel = got->relname;
        n.payload = got->extra;
        callback_(n);
      }
      WaitBlocking(pq_->socket(connection_.get()), -1);
    }
  }

  // Until `socket` (if any) is readable, the time is over, or the listener stops.
  void WaitBlocking(int socket, int timeout_ms) const {
    pollfd fds[2] = {{wake_, POLLIN, 0}, {socket, POLLIN, 0}};
    while (poll(fds, 2, timeout_ms) < 0 && errno == EINTR) {
    }
  }

  const std::string url_;
  const std::vector<std::string> channels_;
  const Database::Callback callback_;
  const int wake_;
  std::atomic<bool> stop_{false};
  // On thread_ once it runs.
  const Libpq* pq_ = nullptr;
  Libpq::Connection connection_{nullptr, Libpq::Free{nullptr}};
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> ListenOnPostgres(std::string url,
                                                           std::vector<std::string> channels,
                                                           Database::Callback callback) {
  auto listener =
      std::make_unique<PostgresListener>(std::move(url), std::move(channels), std::move(callback));
  METAMCP_RETURN_IF_ERROR(listener->Start());
  return listener;
}

}  // namespace metamcp::db
