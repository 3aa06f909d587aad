#include "common/http/http_server.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <ctime>
#include <list>

#include "common/async/run.h"
#include "common/async/task_group.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/listen_socket.h"
#include "common/http/server_connection.h"
#include "common/telemetry/log.h"

namespace metamcp::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
// How long accepting pauses when the process is out of descriptors or memory.
constexpr auto kAcceptBackoff = std::chrono::milliseconds(200);
constexpr std::chrono::steady_clock::duration kMinGrace = std::chrono::milliseconds(50);
constexpr std::string_view kBusy =
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    "Content-Length: 0\r\n\r\n";

struct Listener {
  Listener(asio::any_io_executor executor, const ListenSocket& socket)
      : acceptor(executor), endpoint(socket.endpoint) {
    acceptor.assign(asio::generic::stream_protocol(socket.family, 0), socket.fd);
  }
  Acceptor acceptor;
  HttpEndpoint endpoint;
  HttpTlsServerOptions tls_options;
  ServerTlsMaterial material;
  TlsContext tls;
  int64_t not_after_us = 0;
};

std::string HttpDate() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[40];
  const size_t n = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return std::string(text, n);
}

class Server final : public HttpServer {
 public:
  Server(asio::any_io_executor executor, HttpHandler handler, HttpServerOptions options)
      : executor_(executor),
        shared_(std::move(handler), std::move(options)),
        tasks_(executor),
        empty_(executor, asio::steady_timer::time_point::max()) {}
  ~Server() override { CloseListeners(); }

  absl::StatusOr<HttpEndpoint> ListenTcp(const std::string& host, uint16_t port) override;
  absl::StatusOr<HttpEndpoint> ListenTls(const std::string& host, uint16_t port,
                                         const HttpTlsServerOptions& tls) override;
  absl::StatusOr<HttpEndpoint> ListenUnix(const std::string& path) override;
  absl::StatusOr<CertificateReload> ReloadCertificates() override;
  Awaitable<void> Stop(std::chrono::steady_clock::duration grace) override;
  size_t connections() const override { return connections_.size(); }

 private:
  HttpEndpoint Begin(std::shared_ptr<Listener> listener);
  Awaitable<void> Accept(std::shared_ptr<Listener> listener);
  Awaitable<void> Sweep();
  void SweepOnce();
  void Start(Stream::Socket socket, TlsContext tls);
  void CloseListeners();
  Awaitable<bool> WaitEmpty(std::chrono::steady_clock::duration limit);

  asio::any_io_executor executor_;
  ServerShared shared_;
  TaskGroup tasks_;  // the accept loops and the sweep
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::list<ServerConnection> connections_;
  asio::steady_timer empty_;
  bool sweeping_ = false;
  // Reused by every sweep.
  std::vector<pollfd> polls_;
  std::vector<ServerConnection*> polled_;
};

absl::StatusOr<HttpEndpoint> Server::ListenTcp(const std::string& host, uint16_t port) {
  auto socket = ListenOnTcp(host, port);
  if (!socket.ok()) return socket.status();
  return Begin(std::make_shared<Listener>(executor_, *socket));
}

absl::StatusOr<HttpEndpoint> Server::ListenTls(const std::string& host, uint16_t port,
                                               const HttpTlsServerOptions& tls) {
  METAMCP_ASSIGN_OR_RETURN(ServerTlsMaterial material, ReadTlsFilesBlocking(tls));
  int64_t not_after_us = 0;
  auto context = ServerTlsContext(tls, material, &not_after_us);
  if (!context.ok()) return context.status();
  auto socket = ListenOnTcp(host, port);
  if (!socket.ok()) return socket.status();
  auto listener = std::make_shared<Listener>(executor_, *socket);
  listener->tls_options = tls;
  listener->material = std::move(material);
  listener->not_after_us = not_after_us;
  listener->tls = *std::move(context);
  listener->endpoint.tls = true;
  return Begin(std::move(listener));
}

absl::StatusOr<HttpEndpoint> Server::ListenUnix(const std::string& path) {
  auto socket = ListenOnUnix(path);
  if (!socket.ok()) return socket.status();
  return Begin(std::make_shared<Listener>(executor_, *socket));
}

HttpEndpoint Server::Begin(std::shared_ptr<Listener> listener) {
  const HttpEndpoint endpoint = listener->endpoint;
  listeners_.push_back(listener);
  tasks_.Spawn("http.accept", Accept(std::move(listener)));
  return endpoint;
}

absl::StatusOr<CertificateReload> Server::ReloadCertificates() {
  struct Fresh {
    std::shared_ptr<Listener> listener;
    ServerTlsMaterial material;
    TlsContext tls;
    int64_t not_after_us = 0;
  };
  // All or nothing: what is read is used only when everything fits.
  std::vector<Fresh> all;
  CertificateReload out;
  for (const auto& listener : listeners_) {
    if (!listener->tls) continue;
    out.not_after_us = listener->not_after_us;
    Fresh fresh;
    fresh.listener = listener;
    METAMCP_ASSIGN_OR_RETURN(fresh.material, ReadTlsFilesBlocking(listener->tls_options));
    if (fresh.material == listener->material) continue;
    METAMCP_ASSIGN_OR_RETURN(
        fresh.tls, ServerTlsContext(listener->tls_options, fresh.material, &fresh.not_after_us));
    out.changed = true;
    out.authorities |= fresh.material.client_ca != listener->material.client_ca;
    all.push_back(std::move(fresh));
  }
  for (Fresh& fresh : all) {
    fresh.listener->material = std::move(fresh.material);
    fresh.listener->tls = std::move(fresh.tls);
    fresh.listener->not_after_us = out.not_after_us = fresh.not_after_us;
  }
  if (out.authorities) {
    for (ServerConnection& c : connections_) c.DistrustCertificate();
  }
  return out;
}

Awaitable<void> Server::Accept(std::shared_ptr<Listener> listener) {
  while (!shared_.draining) {
    Stream::Socket socket(executor_);
    const auto [ec] = co_await listener->acceptor.async_accept(socket, kToken);
    if (ec == asio::error::operation_aborted || !listener->acceptor.is_open()) co_return;
    if (ec == asio::error::connection_aborted || ec == asio::error::interrupted) continue;
    if (ec) {
      Log(LogLevel::kWarning, "http.accept_failed",
          {{"address", listener->endpoint.ToString()}, {"error", ec.message()}});
      co_await Sleep(kAcceptBackoff);
      continue;
    }
    Start(std::move(socket), listener->tls);
  }
}

void Server::Start(Stream::Socket socket, TlsContext tls) {
  if (connections_.size() >= shared_.options.connections_max) {
    Stream refused(std::move(socket));
    const asio::const_buffer answer(kBusy.data(), kBusy.size());
    if (!tls) refused.TryWrite(std::span<const asio::const_buffer>(&answer, 1));
    return;
  }
  if (!sweeping_) {
    shared_.now = ServerShared::Clock::now();
    shared_.date = HttpDate();
  }
  connections_.emplace_back(shared_, std::move(socket), std::move(tls));
  const auto it = std::prev(connections_.end());
  auto done = [this, it](std::exception_ptr) {
    connections_.erase(it);
    if (connections_.empty()) empty_.cancel();
  };
  asio::co_spawn(executor_, it->Run(),
                 asio::bind_cancellation_slot(it->signal().slot(), std::move(done)));
  // May run at once, and ends when there are no connections: so it comes last.
  if (!sweeping_) {
    sweeping_ = true;
    tasks_.Spawn("http.sweep", Sweep());
  }
}

// Runs while there are connections, so that an idle server never wakes up.
Awaitable<void> Server::Sweep() {
  while (!connections_.empty()) {
    const bool slept = co_await Sleep(shared_.options.sweep_interval);
    if (!slept) break;
    SweepOnce();
  }
  sweeping_ = false;
}

void Server::SweepOnce() {
  shared_.now = ServerShared::Clock::now();
  shared_.date = HttpDate();
  polls_.clear();
  polled_.clear();
  for (ServerConnection& c : connections_) {
    c.CheckDeadline();
    if (!c.watched()) continue;
    polls_.push_back(pollfd{c.fd(), POLLRDHUP, 0});
    polled_.push_back(&c);
  }
  if (polls_.empty() || ::poll(polls_.data(), polls_.size(), 0) <= 0) return;
  std::vector<std::function<void()>> callbacks;
  for (size_t i = 0; i < polls_.size(); ++i) {
    if (polls_[i].revents == 0) continue;
    if (auto callback = polled_[i]->CheckPeer(polls_[i].revents)) {
      callbacks.push_back(std::move(callback));
    }
  }
  // Called last: what they do may end connections.
  for (const auto& callback : callbacks) callback();
}

void Server::CloseListeners() {
  for (const auto& listener : listeners_) {
    error_code ignored;
    listener->acceptor.close(ignored);
    if (!listener->endpoint.unix_path.empty()) ::unlink(listener->endpoint.unix_path.c_str());
  }
  listeners_.clear();
}

Awaitable<bool> Server::WaitEmpty(std::chrono::steady_clock::duration limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!connections_.empty() && std::chrono::steady_clock::now() < until) {
    empty_.expires_at(until);
    co_await empty_.async_wait(kToken);
  }
  co_return connections_.empty();
}

Awaitable<void> Server::Stop(std::chrono::steady_clock::duration grace) {
  shared_.draining = true;
  CloseListeners();
  for (ServerConnection& c : connections_) c.Drain();
  // Idle connections need one turn of the loop to end.
  const bool drained = co_await WaitEmpty(std::max(grace, kMinGrace));
  if (!drained) {
    Log(LogLevel::kWarning, "http.cut_off", {{"connections", connections_.size()}});
    for (auto it = connections_.begin(); it != connections_.end();) {
      auto next = std::next(it);
      it->signal().emit(asio::cancellation_type::terminal);
      it = next;
    }
    // A handler that shields itself from cancellation delays us, never longer than this.
    co_await WaitEmpty(std::chrono::seconds(30));
  }
  tasks_.CancelAll();
  co_await tasks_.Join(std::chrono::seconds(30));
}

}  // namespace

std::string HttpEndpoint::ToString() const {
  if (!unix_path.empty()) return StrCat("unix:", unix_path);
  const bool v6 = host.find(':') != std::string::npos;
  return StrCat(tls ? "https://" : "http://", v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

std::unique_ptr<HttpServer> HttpServer::Create(asio::any_io_executor executor, HttpHandler handler,
                                               HttpServerOptions options) {
  return std::make_unique<Server>(executor, std::move(handler), std::move(options));
}

}  // namespace metamcp::http
