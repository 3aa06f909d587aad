#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "common/http/client_connection.h"
#include "common/http/http_client.h"

namespace metamcp::http {

// Keep-alive connections by key. Always held by a shared_ptr, because leases and timers refer to
// it. Not thread-safe.
class ClientPool : public std::enable_shared_from_this<ClientPool> {
 public:
  using Clock = std::chrono::steady_clock;
  struct Host;

  // The right to one connection of a host; `connection` is null until the holder connects.
  // Destroying it closes the connection and frees the place.
  class Lease {
   public:
    Lease() = default;
    Lease(std::shared_ptr<ClientPool> pool, Host* host,
          std::unique_ptr<ClientConnection> connection_in);
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { Drop(); }

    // Puts the connection back for the next request.
    void Release();
    void Drop();
    // Makes a new, unconnected connection.
    ClientConnection& Renew();

    std::unique_ptr<ClientConnection> connection;
    bool reused = false;

   private:
    std::shared_ptr<ClientPool> pool_;
    Host* host_ = nullptr;
  };

  ClientPool(boost::asio::any_io_executor executor, const HttpClientOptions& options);
  ~ClientPool();

  // A pooled connection, or the right to a new one. Waits when the host has too many.
  // Errors: QUEUE_FULL, UPSTREAM_TIMEOUT, CANCELLED.
  // The texts must stay until it returns.
  Awaitable<absl::StatusOr<Lease>> Acquire(const std::string& key, Clock::time_point deadline,
                                           const std::string& domain);
  // Closes the idle connections of a host: one of them was found dead.
  void DropIdle(const std::string& key);
  // Closes all and refuses more: the client is being destroyed.
  void Shutdown();

 private:
  friend class Lease;
  struct Waiter;

  void Return(Host& host, std::unique_ptr<ClientConnection> connection);
  void Forget(Host& host);  // one place is free
  void WakeOne(Host& host);
  void Arm();
  void Sweep();

  boost::asio::any_io_executor executor_;
  const HttpClientOptions options_;
  std::unordered_map<std::string, std::unique_ptr<Host>> hosts_;
  std::unordered_set<ClientConnection*> all_;
  boost::asio::steady_timer timer_;
  bool armed_ = false;
  bool armed_fast_ = false;
  bool used_since_sweep_ = false;
  bool down_ = false;
  size_t busy_ = 0;
};

struct ClientPool::Waiter {
  explicit Waiter(boost::asio::any_io_executor executor) : timer(executor) {}
  boost::asio::steady_timer timer;
  bool woken = false;
};

struct ClientPool::Host {
  explicit Host(std::string key_in) : key(std::move(key_in)) {}
  struct Idle {
    std::unique_ptr<ClientConnection> connection;
    Clock::time_point since;
  };
  std::string key;
  std::deque<Idle> idle;  // oldest first
  size_t open = 0;        // leased and idle
  std::deque<Waiter*> waiters;
};

}  // namespace metamcp::http
