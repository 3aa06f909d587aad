#include "common/http/client_pool.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::http {
namespace {

namespace asio = boost::asio;

// The granularity of every time-out while requests run, and how often idle connections are looked
// at when none does.
constexpr auto kFast = std::chrono::milliseconds(100);
constexpr auto kSlow = std::chrono::seconds(5);

}  // namespace

ClientPool::Lease::Lease(std::shared_ptr<ClientPool> pool, Host* host,
                         std::unique_ptr<ClientConnection> connection_in)
    : connection(std::move(connection_in)), pool_(std::move(pool)), host_(host) {
  reused = connection != nullptr;
  ++pool_->busy_;
  pool_->used_since_sweep_ = true;
  pool_->Arm();
}

ClientPool::Lease::Lease(Lease&& other) noexcept
    : connection(std::move(other.connection)),
      reused(other.reused),
      pool_(std::move(other.pool_)),
      host_(std::exchange(other.host_, nullptr)) {}

ClientPool::Lease& ClientPool::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  Drop();
  connection = std::move(other.connection);
  reused = other.reused;
  pool_ = std::move(other.pool_);
  host_ = std::exchange(other.host_, nullptr);
  return *this;
}

ClientConnection& ClientPool::Lease::Renew() {
  if (connection) pool_->all_.erase(connection.get());
  connection =
      std::make_unique<ClientConnection>(pool_->executor_, pool_->options_.header_bytes_max);
  pool_->all_.insert(connection.get());
  reused = false;
  return *connection;
}

void ClientPool::Lease::Drop() {
  if (host_ == nullptr) return;
  const std::shared_ptr<ClientPool> pool = std::move(pool_);
  Host* host = std::exchange(host_, nullptr);
  if (connection) pool->all_.erase(connection.get());
  connection.reset();
  --pool->busy_;
  pool->Forget(*host);
}

void ClientPool::Lease::Release() {
  if (host_ == nullptr) return;
  if (!connection || pool_->down_) return Drop();
  const std::shared_ptr<ClientPool> pool = std::move(pool_);
  Host* host = std::exchange(host_, nullptr);
  --pool->busy_;
  pool->Return(*host, std::move(connection));
}

ClientPool::ClientPool(asio::any_io_executor executor, const HttpClientOptions& options)
    : executor_(executor), options_(options), timer_(executor) {}

ClientPool::~ClientPool() = default;

void ClientPool::Shutdown() {
  down_ = true;
  timer_.cancel();
  for (ClientConnection* c : all_) c->Close();
  for (auto& [key, host] : hosts_) {
    for (Host::Idle& idle : host->idle) all_.erase(idle.connection.get());
    host->open -= host->idle.size();
    host->idle.clear();
    for (Waiter* w : host->waiters) w->timer.cancel();
  }
}

void ClientPool::Return(Host& host, std::unique_ptr<ClientConnection> connection) {
  connection->MarkUsed();
  host.idle.push_back(Host::Idle{std::move(connection), Clock::now()});
  if (host.idle.size() > options_.idle_per_host_max) {
    all_.erase(host.idle.front().connection.get());
    host.idle.pop_front();
    --host.open;
  }
  WakeOne(host);
}

void ClientPool::Forget(Host& host) {
  --host.open;
  WakeOne(host);
  if (host.open == 0 && host.waiters.empty()) hosts_.erase(std::string(host.key));
}

void ClientPool::WakeOne(Host& host) {
  for (Waiter* w : host.waiters) {
    if (w->woken) continue;
    w->woken = true;
    w->timer.cancel();
    return;
  }
}

void ClientPool::DropIdle(const std::string& key) {
  const auto it = hosts_.find(key);
  if (it == hosts_.end()) return;
  Host& host = *it->second;
  for (Host::Idle& idle : host.idle) all_.erase(idle.connection.get());
  host.open -= host.idle.size();
  host.idle.clear();
}

Awaitable<absl::StatusOr<ClientPool::Lease>> ClientPool::Acquire(const std::string& key,
                                                                 Clock::time_point deadline,
                                                                 const std::string& domain) {
  std::unique_ptr<Host>& slot = hosts_[key];
  if (!slot) slot = std::make_unique<Host>(key);
  Host& host = *slot;
  std::optional<Waiter> waiter;  // while in the queue
  // Leaves the queue whatever happens, and hands a wake-up on that it did not use.
  struct Guard {
    ~Guard() {
      if (!*waiter) return;
      std::erase(host->waiters, &**waiter);
      if ((*waiter)->woken && !taken) pool->WakeOne(*host);
      if (host->open == 0 && host->waiters.empty()) pool->hosts_.erase(std::string(host->key));
    }
    ClientPool* pool;
    Host* host;
    std::optional<Waiter>* waiter;
    bool taken = false;
  } guard{this, &host, &waiter};
  for (;;) {
    if (down_) co_return MakeError("CANCELLED", domain, "the HTTP client is closing");
    // Who waits already goes first, unless it is us.
    const bool first = host.waiters.empty() || waiter;
    while (first && !host.idle.empty()) {
      std::unique_ptr<ClientConnection> connection = std::move(host.idle.back().connection);
      host.idle.pop_back();
      if (!connection->Alive()) {
        all_.erase(connection.get());
        --host.open;
        continue;
      }
      guard.taken = true;
      co_return Lease(shared_from_this(), &host, std::move(connection));
    }
    if (first && host.open < options_.connections_per_host_max) {
      ++host.open;
      guard.taken = true;
      co_return Lease(shared_from_this(), &host, nullptr);
    }
    if (!waiter && host.waiters.size() >= options_.waiters_per_host_max) {
      co_return MakeError("QUEUE_FULL", domain, "too many requests wait for a connection");
    }
    if (!waiter) host.waiters.push_back(&waiter.emplace(executor_));
    waiter->woken = false;
    waiter->timer.expires_at(deadline);
    co_await waiter->timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (waiter->woken || down_) continue;
    if (Clock::now() >= deadline) {
      co_return MakeError("UPSTREAM_TIMEOUT", domain, "no connection became free in time");
    }
    co_return MakeError("CANCELLED", domain, "cancelled");
  }
}

void ClientPool::Arm() {
  if (down_) return;
  const bool fast = busy_ > 0;
  if (armed_ && (armed_fast_ || !fast)) return;
  armed_ = true;
  armed_fast_ = fast;
  timer_.expires_after(fast ? std::chrono::steady_clock::duration(kFast) : kSlow);
  auto on_time = [weak = weak_from_this()](const boost::system::error_code& error) {
    if (error) return;
    if (const auto self = weak.lock()) self->Sweep();
  };
  timer_.async_wait(std::move(on_time));
}

void ClientPool::Sweep() {
  armed_ = false;
  const auto now = Clock::now();
  for (ClientConnection* c : all_) c->CheckDeadline(now);
  for (auto it = hosts_.begin(); it != hosts_.end();) {
    Host& host = *it->second;
    while (!host.idle.empty() && now - host.idle.front().since > options_.idle_timeout) {
      all_.erase(host.idle.front().connection.get());
      host.idle.pop_front();
      --host.open;
    }
    it = host.open == 0 && host.waiters.empty() ? hosts_.erase(it) : std::next(it);
  }
  if (hosts_.empty()) return;
  // Stays fast for one more round after the last use, so that a busy client does not re-arm the
  // timer for every request.
  const bool keep_fast = busy_ > 0 || std::exchange(used_since_sweep_, false);
  if (!keep_fast) return Arm();
  ++busy_;
  Arm();
  --busy_;
}

}  // namespace metamcp::http
