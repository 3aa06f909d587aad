#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "common/async/task_group.h"
#include "common/http/address_rule.h"

namespace metamcp::connector::sandbox {

// Where a server may connect to: entries "public" (ports 80 and 443 of every public address),
// "host:port", "*.domain:port". A name is never let through to an address that is not public; an
// address that is written as an entry is, unless it is link-local, where clouds keep credentials.
class EgressRules {
 public:
  explicit EgressRules(std::vector<std::string> entries);
  // Whether `host` (name or address, without brackets) is allowed on `port`; `rule` then says what
  // its addresses must be.
  bool Allows(std::string_view host, uint16_t port, http::AddressRule* rule) const;

 private:
  struct Entry {
    std::string host;  // lower case; ".domain" for "*.domain"
    uint16_t port;
  };
  bool public_ = false;
  std::vector<Entry> entries_;
};

// The only way out of a sandbox that has no network: an HTTP proxy on a unix socket that takes
// CONNECT and plain http requests, resolves names itself, and connects to the addresses that it has
// checked. One for each child; what it refuses is logged. Thread: the executor's one.
class EgressProxy : public std::enable_shared_from_this<EgressProxy> {
 public:
  // Listens on `path`, which must not exist. `tasks` must outlive it.
  // Errors: INTERNAL where the socket cannot be made.
  static absl::StatusOr<std::shared_ptr<EgressProxy>> Start(boost::asio::any_io_executor executor,
                                                            TaskGroup& tasks, std::string path,
                                                            std::string server, EgressRules rules);
  ~EgressProxy();
  // Ends everything; the socket is removed.
  void Close();

 private:
  using Local = boost::asio::local::stream_protocol;
  using Tcp = boost::asio::ip::tcp;
  struct Link;  // one connection and its counterpart

  EgressProxy(boost::asio::any_io_executor executor, TaskGroup& tasks, std::string path,
              std::string server, EgressRules rules);
  static Awaitable<void> Accept(std::shared_ptr<EgressProxy> self);
  static Awaitable<void> Serve(std::shared_ptr<EgressProxy> self, std::shared_ptr<Link> link);
  static Awaitable<void> Backward(std::shared_ptr<EgressProxy> self, std::shared_ptr<Link> link);
  Awaitable<bool> Open(std::shared_ptr<Link> link, std::string host, uint16_t port);
  Awaitable<void> Refuse(std::shared_ptr<Link> link, std::string why);

  boost::asio::any_io_executor executor_;
  TaskGroup& tasks_;
  const std::string path_;
  const std::string server_;
  const EgressRules rules_;
  Local::acceptor acceptor_;
  std::set<std::shared_ptr<Link>> links_;
  int logged_ = 0;
  int lookups_ = 0;  // under way
  bool closed_ = false;
};

}  // namespace metamcp::connector::sandbox
