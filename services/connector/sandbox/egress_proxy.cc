#include "services/connector/sandbox/egress_proxy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <charconv>

#include "absl/strings/ascii.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "services/connector/sandbox/proxy_request.h"

namespace metamcp::connector::sandbox {
namespace {

constexpr size_t kLinksMax = 256;
constexpr int kLoggedMax = 50;  // refusals of one child
// Names are looked up one after the other in this process: a server must not fill the queue.
constexpr int kLookupsMax = 4;
constexpr std::chrono::milliseconds kLookupWait(10);
constexpr std::chrono::seconds kHeadTime(10);
constexpr std::chrono::seconds kConnectTime(20);

auto Tuple() { return boost::asio::as_tuple(boost::asio::use_awaitable); }

bool IsAddress(const std::string& host) {
  boost::system::error_code error;
  boost::asio::ip::make_address(host, error);
  return !error;
}

bool IsLinkLocal(const std::string& host) {
  boost::system::error_code error;
  auto address = boost::asio::ip::make_address(host, error);
  if (error) return false;
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6());
  }
  if (address.is_v4()) return (address.to_v4().to_uint() >> 16) == 0xa9fe;
  return address.to_v6().is_link_local() || host.substr(0, 9) == "fd00:ec2:";
}

}  // namespace

EgressRules::EgressRules(std::vector<std::string> entries) {
  for (std::string& text : entries) {
    if (text == "public") {
      public_ = true;
      continue;
    }
    const size_t colon = text.rfind(':');
    if (colon == std::string::npos) continue;
    Entry entry;
    entry.port = 0;
    std::from_chars(text.data() + colon + 1, text.data() + text.size(), entry.port);
    std::string host = absl::AsciiStrToLower(text.substr(0, colon));
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    }
    if (host.substr(0, 2) == "*.") host.erase(0, 1);
    entry.host = std::move(host);
    entries_.push_back(std::move(entry));
  }
}

bool EgressRules::Allows(std::string_view host, uint16_t port, http::AddressRule* rule) const {
  std::string name = absl::AsciiStrToLower(std::string(host));
  if (!name.empty() && name.back() == '.') name.pop_back();
  if (name.empty() || name.size() > 253 || IsLinkLocal(name)) return false;
  for (const Entry& entry : entries_) {
    if (entry.port != port) continue;
    const bool suffix = entry.host[0] == '.';
    if (suffix ? name.size() > entry.host.size() && name.ends_with(entry.host)
               : name == entry.host) {
      *rule = IsAddress(name) ? http::AddressRule::kAny : http::AddressRule::kPublic;
      return true;
    }
  }
  *rule = http::AddressRule::kPublic;
  return public_ && (port == 80 || port == 443);
}

struct EgressProxy::Link {
  explicit Link(Local::socket socket)
      : inner(std::move(socket)), outer(inner.get_executor()), limit(inner.get_executor()) {}
  void Close() {
    boost::system::error_code ignored;
    inner.close(ignored);
    outer.close(ignored);
    limit.cancel();
  }
  // Closes it unless somebody stops the clock before.
  void CloseAfter(std::chrono::seconds time, std::weak_ptr<Link> self) {
    limit.expires_after(time);
    limit.async_wait([self = std::move(self)](boost::system::error_code error) {
      if (const auto link = self.lock(); !error && link != nullptr) link->Close();
    });
  }
  Local::socket inner;
  Tcp::socket outer;
  boost::asio::steady_timer limit;
};

EgressProxy::EgressProxy(boost::asio::any_io_executor executor, TaskGroup& tasks, std::string path,
                         std::string server, EgressRules rules)
    : executor_(executor),
      tasks_(tasks),
      path_(std::move(path)),
      server_(std::move(server)),
      rules_(std::move(rules)),
      acceptor_(executor) {}

EgressProxy::~EgressProxy() { Close(); }

absl::StatusOr<std::shared_ptr<EgressProxy>> EgressProxy::Start(
    boost::asio::any_io_executor executor, TaskGroup& tasks, std::string path, std::string server,
    EgressRules rules) {
  std::shared_ptr<EgressProxy> proxy(
      new EgressProxy(executor, tasks, std::move(path), std::move(server), std::move(rules)));
  boost::system::error_code error;
  proxy->acceptor_.open(Local(), error);
  if (!error && proxy->path_.size() >= 100) error = boost::asio::error::name_too_long;
  if (!error) proxy->acceptor_.bind(Local::endpoint(proxy->path_), error);
  if (!error) proxy->acceptor_.listen(64, error);
  if (error) {
    return MakeError("INTERNAL", "connector",
                     StrCat("cannot listen on ", proxy->path_, ": ", error.message()));
  }
  // Inside, the same user connects; the folder around it keeps others out.
  ::chmod(proxy->path_.c_str(), 0600);
  tasks.Spawn("sandbox.proxy", Accept(proxy));
  return proxy;
}

void EgressProxy::Close() {
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (const auto& link : links_) link->Close();
  ::unlink(path_.c_str());
}

Awaitable<void> EgressProxy::Accept(std::shared_ptr<EgressProxy> self) {
  while (!self->closed_) {
    auto [error, socket] = co_await self->acceptor_.async_accept(Tuple());
    if (self->closed_ || error == boost::asio::error::operation_aborted) co_return;
    if (error) {
      boost::asio::steady_timer pause(self->executor_, std::chrono::milliseconds(50));
      co_await pause.async_wait(Tuple());
      continue;
    }
    if (self->links_.size() >= kLinksMax) continue;  // the socket closes
    auto link = std::make_shared<Link>(std::move(socket));
    self->links_.insert(link);
    self->tasks_.Spawn("sandbox.proxy_link", Serve(self, link));
  }
}

Awaitable<void> EgressProxy::Refuse(std::shared_ptr<Link> link, std::string why) {
  const std::string answer =
      StrCat("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n",
             "Content-Length: ", why.size() + 1, "\r\n\r\n", why, "\n");
  const auto bytes = boost::asio::buffer(answer);
  co_await boost::asio::async_write(link->inner, bytes, Tuple());
}

Awaitable<bool> EgressProxy::Open(std::shared_ptr<Link> link, std::string host, uint16_t port) {
  http::AddressRule rule = http::AddressRule::kPublic;
  std::string why = StrCat(host.substr(0, 253), ":", port);
  if (!rules_.Allows(host, port, &rule)) {
    why += " is not in the network rules of this server's sandbox";
  } else {
    link->CloseAfter(kConnectTime, link);
    boost::asio::steady_timer turn(executor_);
    while (lookups_ >= kLookupsMax) {
      turn.expires_after(kLookupWait);
      co_await turn.async_wait(Tuple());
      if (closed_ || !link->inner.is_open()) co_return false;
    }
    Tcp::resolver resolver(executor_);
    const std::string service = std::to_string(port);
    ++lookups_;
    auto [error, found] = co_await resolver.async_resolve(host, service, Tuple());
    --lookups_;
    bool forbidden = false;
    if (!error) {
      for (const auto& one : found) {
        const auto endpoint = one.endpoint();
        if (!http::AddressAllowed(rule, endpoint.address().to_string())) {
          forbidden = true;
          continue;
        }
        boost::system::error_code ignored;
        link->outer.close(ignored);
        const auto [failed] = co_await link->outer.async_connect(endpoint, Tuple());
        if (!link->inner.is_open()) co_return false;
        if (!failed) co_return true;
      }
    }
    why += forbidden ? " is not a public address" : " cannot be reached";
  }
  if (logged_++ < kLoggedMax) {
    Log(LogLevel::kWarning, "sandbox.refused", {{"upstream", server_}, {"why", why}});
  }
  auto refusing = Refuse(link, std::move(why));
  co_await std::move(refusing);
  co_return false;
}

Awaitable<void> EgressProxy::Serve(std::shared_ptr<EgressProxy> self, std::shared_ptr<Link> link) {
  struct Leave {
    EgressProxy* proxy;
    std::shared_ptr<Link> link;
    ~Leave() {
      link->Close();
      proxy->links_.erase(link);
    }
  } leave{self.get(), link};
  link->CloseAfter(kHeadTime, link);
  std::string head;
  std::array<char, 16 << 10> chunk;
  size_t end = std::string::npos;
  while ((end = head.find("\r\n\r\n")) == std::string::npos) {
    if (head.size() > kProxyHeadMax) co_return;
    const auto space = boost::asio::buffer(chunk);
    const auto [error, n] = co_await link->inner.async_read_some(space, Tuple());
    if (error) co_return;
    head.append(chunk.data(), n);
  }
  auto request = ReadProxyRequest(std::string_view(head).substr(0, end + 4));
  if (!request.has_value()) {
    auto refusing = self->Refuse(link, "this proxy takes CONNECT host:port and http://host/ only");
    co_await std::move(refusing);
    co_return;
  }
  auto opening = self->Open(link, request->host, request->port);
  const bool open = co_await std::move(opening);
  if (!open) co_return;
  link->limit.cancel();
  if (request->connect) {
    const std::string first = "HTTP/1.1 200 Connection established\r\n\r\n";
    const auto bytes = boost::asio::buffer(first);
    const auto [failed, sent] = co_await boost::asio::async_write(link->inner, bytes, Tuple());
    if (failed) co_return;
  }
  self->tasks_.Spawn("sandbox.proxy_back", Backward(self, link));
  std::string rest = request->head + head.substr(end + 4);
  while (true) {
    if (!rest.empty()) {
      const auto more = boost::asio::buffer(rest);
      const auto [error, n] = co_await boost::asio::async_write(link->outer, more, Tuple());
      if (error) co_return;
    }
    const auto space = boost::asio::buffer(chunk);
    const auto [error, n] = co_await link->inner.async_read_some(space, Tuple());
    if (error) break;
    rest.assign(chunk.data(), n);
  }
  // What comes back may still be on its way; Backward closes.
  boost::system::error_code ignored;
  link->outer.shutdown(Tcp::socket::shutdown_send, ignored);
  boost::asio::steady_timer ended(self->executor_);
  while (link->inner.is_open() && link->outer.is_open()) {
    ended.expires_after(std::chrono::milliseconds(200));
    co_await ended.async_wait(Tuple());
  }
}

Awaitable<void> EgressProxy::Backward(std::shared_ptr<EgressProxy> self,
                                      std::shared_ptr<Link> link) {
  std::array<char, 16 << 10> chunk;
  while (!self->closed_) {
    const auto space = boost::asio::buffer(chunk);
    const auto [error, n] = co_await link->outer.async_read_some(space, Tuple());
    if (error) break;
    const auto bytes = boost::asio::buffer(chunk.data(), n);
    const auto [failed, sent] = co_await boost::asio::async_write(link->inner, bytes, Tuple());
    if (failed) break;
  }
  link->Close();
}

}  // namespace metamcp::connector::sandbox
