#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/channel.h"
#include "common/rpc/service.h"

namespace metamcp::rpc {

// Serves generated services over gRPC, with grpc.health.v1. Requests are received on gRPC's threads
// and handled as coroutines on `executor`; a cancelled or expired RPC cancels its coroutine
// (terminal). The principal and trace context come from the caller's CallMeta.
//
// The end of a server, as one of several: NotReady, then, when balancers have noticed, Refuse,
// then Stop.
class GrpcServer {
 public:
  struct Options {
    Options() = default;
    // "host:port" (port 0 picks one) or "unix:/path". Plaintext only on loopback and unix sockets.
    std::string listen;
    std::shared_ptr<const Tls> tls;  // null: plaintext
    bool allow_plaintext = false;    // on any address
    Callers callers;
    // Plaintext address of grpc.health.v1 alone; empty for none.
    std::string probe_listen;
    bool reflection = false;
    // Methods whose streams end only with their caller ("/package.Service/Watch"): Refuse ends
    // them.
    std::vector<std::string> endless;
    // Calls at once, and beside them streams of `endless`; more are answered RESOURCE_EXHAUSTED.
    int calls_max = 4096;
    int streams_max = 65536;
    // Told of each call that was handled: method, how it ended, how long it took. On the executor.
    std::function<void(std::string_view, absl::StatusCode, std::chrono::steady_clock::duration)>
        on_finished;
    // By method ("/package.Service/Method"); not asked without TLS. On the executor.
    std::map<std::string, RequestCheck> checks;
  };

  // `services` must outlive the server. Errors: CONFIG_INVALID, UNAVAILABLE (cannot listen).
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Create(boost::asio::any_io_executor executor,
                                                            std::vector<Service*> services,
                                                            const Options& options);
  virtual ~GrpcServer() = default;

  // The addresses with the real ports.
  virtual const std::string& address() const = 0;
  virtual const std::string& probe_address() const = 0;

  // Calls that run now, and beside them streams of Options::endless.
  struct Load {
    int calls = 0;
    int streams = 0;
  };
  virtual Load load() const = 0;

  // Whether grpc.health.v1 calls this service ready; nothing is before. The process as a whole
  // (the service "") is ready when all are.
  virtual void SetReady(std::string_view service, bool ready) = 0;
  // Nothing is ready any more, whatever SetReady says.
  virtual void NotReady() = 0;
  // New calls are answered UNAVAILABLE with SHUTTING_DOWN, which tells their callers to go
  // elsewhere, and so end the endless ones that run. On the executor.
  virtual void Refuse() = 0;
  // Stops accepting, gives running calls `grace`, then cancels them, and waits for the last one.
  // Awaitable on the executor; the destructor does the same without grace.
  virtual Awaitable<void> Stop(std::chrono::steady_clock::duration grace) = 0;
};

}  // namespace metamcp::rpc
