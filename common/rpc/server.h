#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/channel.h"
#include "common/rpc/service.h"

namespace metamcp::rpc {

// Serves generated services over gRPC. Requests are received on gRPC's threads and handled as
// coroutines on `executor`; a cancelled or expired RPC cancels its coroutine (terminal). The
// principal and trace context come from the caller's CallMeta.
class GrpcServer {
 public:
  struct Options {
    // "host:port" (port 0 picks one) or "unix:/path". Plaintext only on loopback and unix sockets.
    std::string listen;
    TlsMaterial tls;
    // Calls at once; more are answered RESOURCE_EXHAUSTED.
    int calls_max = 4096;
  };

  // `services` must outlive the server. Errors: INVALID_ARGUMENT, UNAVAILABLE (cannot listen).
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Create(boost::asio::any_io_executor executor,
                                                            std::vector<Service*> services,
                                                            const Options& options);
  virtual ~GrpcServer() = default;

  // The address with the real port.
  virtual const std::string& address() const = 0;

  // Stops accepting, gives running calls `grace`, then cancels them, and waits for the last one.
  // Awaitable on the executor; the destructor does the same without grace.
  virtual Awaitable<void> Stop(std::chrono::steady_clock::duration grace) = 0;
};

}  // namespace metamcp::rpc
