#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/async/task_group.h"
#include "gateway/transport/duplex_connection.h"

namespace metamcp::gateway {

// The connections of all transports that carry messages both ways: who holds how many, which one a
// key names, and their orderly end. Single-threaded.
class DuplexFront {
 public:
  struct Options {
    Options() {}
    size_t connections_per_principal_max = 1000;
    size_t json_depth_max = 64;
    std::chrono::milliseconds keep_alive{20'000};  // of what is idle
    size_t message_bytes_max = 8u << 20;
  };
  // References outlive the front; so do the connections, which end with their transports.
  DuplexFront(FrontDeps deps, ModernFront& modern, LegacyFront& legacy, TaskGroup& tasks,
              Options options);

  struct Opened {
    std::shared_ptr<DuplexConnection> connection;
    std::string key;  // sealed for this principal and virtual server; names the connection in URLs
  };
  // Errors: RATE_LIMITED, SHUTTING_DOWN.
  absl::StatusOr<Opened> Open(std::string transport, std::string virtual_server,
                              std::shared_ptr<const Principal> principal);

  // The process that holds the connection that `key` names; empty for a key that is not this
  // principal's and this virtual server's.
  std::string HolderOf(std::string_view key, std::string_view virtual_server,
                       const Principal& principal) const;

  // The connection that `key` names, if it is this principal's and this virtual server's. Errors:
  // SESSION_NOT_FOUND.
  absl::StatusOr<std::shared_ptr<DuplexConnection>> Find(std::string_view key,
                                                         std::string_view virtual_server,
                                                         const Principal& principal) const;

  // Ends the connections of a principal that no credential speaks for any more.
  void CloseWhere(const std::function<bool(const Principal&)>& who);

  // No more connections and requests; each ends when its running requests are answered.
  void Drain();

  const FrontDeps& deps() const { return deps_; }
  const Options& options() const { return options_; }
  size_t size() const { return connections_.size(); }

 private:
  FrontDeps deps_;
  ModernFront& modern_;
  LegacyFront& legacy_;
  TaskGroup& tasks_;
  const Options options_;
  const std::string instance_;
  bool draining_ = false;
  uint64_t next_ = 0;
  std::map<std::string, std::weak_ptr<DuplexConnection>> connections_;
  std::map<std::string, size_t> per_principal_;
};

// Ends a connection when its transport's coroutine does, however that ends.
class DuplexGuard {
 public:
  explicit DuplexGuard(std::shared_ptr<DuplexConnection> connection)
      : connection_(std::move(connection)) {}
  ~DuplexGuard() { connection_->Gone(); }
  DuplexGuard(const DuplexGuard&) = delete;
  DuplexGuard& operator=(const DuplexGuard&) = delete;

 private:
  const std::shared_ptr<DuplexConnection> connection_;
};

}  // namespace metamcp::gateway
