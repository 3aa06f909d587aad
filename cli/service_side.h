#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/async/task_group.h"
#include "common/config/config.h"
#include "common/config/watch.h"
#include "common/rpc/server.h"

namespace metamcp::cli {

// Which of the suite's services may call which of each other's services and methods.
rpc::Callers CallersOfServices();

// What this process is towards the suite's other processes: its certificates, which it reads again
// when they change, its gRPC listener, and whether it is ready. Thread: the io thread.
class ServiceSide {
 public:
  ServiceSide(boost::asio::io_context& io, const config::ServicesConfig& config);

  // Reads the certificates, which must name `roles`. Errors: CONFIG_INVALID.
  absl::Status Open(const std::set<std::string>& roles);

  // For channels to others, but for roles and health.
  rpc::ChannelOptions channel_options() const;
  // A channel to where `role` ("catalog") runs. Errors: CONFIG_INVALID.
  absl::StatusOr<std::shared_ptr<rpc::Channel>> Dial(const std::string& role,
                                                     const std::string& targets) const;

  // Told of a call that was handled: method, how it ended, its time, and whether it is a stream
  // that lasts as long as its caller.
  using OnRpc = std::function<void(std::string_view, absl::StatusCode,
                                   std::chrono::steady_clock::duration, bool)>;
  // Listens on services.listen, if that is set. `on_rpc` may be null.
  absl::Status Listen(const std::vector<rpc::Service*>& services, OnRpc on_rpc);
  // Calls and streams that run now.
  rpc::GrpcServer::Load load() const;
  // Asked now and every quarter of a second whether these services are ready.
  void Follow(std::vector<rpc::Service*> services, std::function<bool()> ready);

  // The end, in this order. What is not ready gets no new calls from those who ask; after
  // services.drainDelayMs nobody gets an answer to a new call; running ones get `grace`.
  Awaitable<void> NotReady();
  // Stays for `settling`, so that whoever is on the way gets that answer.
  Awaitable<void> Refuse(std::chrono::milliseconds settling);
  Awaitable<void> Stop(std::chrono::steady_clock::duration grace);

  // Where it listens; empty if it does not.
  const std::string& address() const { return address_; }
  // Where the others reach it.
  std::string advertised() const;
  // Tells health now what is ready; otherwise that is looked at a few times a second. Whether all
  // is.
  bool TellReadiness();

 private:
  void WatchFiles();
  void Reload();
  void NoteEnd() const;
  Awaitable<void> Readiness();

  struct Followed {
    std::vector<std::string> services;
    std::function<bool()> ready;
  };

  boost::asio::io_context& io_;
  const config::ServicesConfig& config_;
  TaskGroup tasks_;
  std::shared_ptr<rpc::Tls> tls_;
  std::vector<std::unique_ptr<config::FileWatcher>> watchers_;
  std::vector<Followed> followed_;
  std::unique_ptr<rpc::GrpcServer> server_;
  std::string address_;
};

}  // namespace metamcp::cli
