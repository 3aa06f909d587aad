#include "common/db/postgres_listener.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/db/postgres_connection.h"
#include "common/telemetry/log.h"

// notification_receiver is what libpqxx 6.4 has; 7.10 deprecates it.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace metamcp::db {
namespace {

class Receiver : public pqxx::notification_receiver {
 public:
  Receiver(pqxx::connection& connection, const std::string& channel,
           const Database::Callback& callback)
      : pqxx::notification_receiver(connection, channel), channel_(channel), callback_(callback) {}

  void operator()(const std::string& payload, int) override {
    Notification n;
    n.channel = channel_;
    n.payload = payload;
    callback_(n);
  }

 private:
  const std::string channel_;
  const Database::Callback& callback_;
};

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
    Disconnect();
    close(wake_);
  }

  absl::Status Start() {
    METAMCP_RETURN_IF_ERROR(Connect());
    thread_ = std::thread([this] { Loop(); });
    return absl::OkStatus();
  }

 private:
  absl::Status Connect() {
    try {
      connection_ = ConnectOrThrow(url_);
      for (const std::string& channel : channels_) {
        receivers_.push_back(std::make_unique<Receiver>(*connection_, channel, callback_));
      }
      return absl::OkStatus();
    } catch (const std::exception& e) {
      Disconnect();
      const std::string_view text(e.what());
      Log(LogLevel::kWarning, "database.listen_failed",
          {{"error", text.substr(0, text.find('\n'))}});
      return MakeError("DATABASE_UNAVAILABLE", "database", "the database cannot be reached");
    }
  }

  void Disconnect() {
    receivers_.clear();
    connection_.reset();
  }

  void Loop() {
    int wait_ms = 100;
    while (!stop_) {
      if (connection_ != nullptr) {
        Receive();
        Disconnect();
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
    try {
      while (!stop_) {
        connection_->get_notifs();
        if (!connection_->is_open()) return;
        WaitBlocking(connection_->sock(), -1);
      }
    } catch (const std::exception& e) {
      const std::string_view text(e.what());
      Log(LogLevel::kWarning, "database.listener_lost",
          {{"error", text.substr(0, text.find('\n'))}});
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
  std::unique_ptr<pqxx::connection> connection_;
  std::vector<std::unique_ptr<Receiver>> receivers_;
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
