#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "common/rpc/call_reactor.h"
#include "common/rpc/server.h"

namespace metamcp::rpc {

// Gives each RPC that arrives to its method, if its caller may have it. Internal to common/rpc.
class Dispatcher final : public grpc::CallbackGenericService {
 public:
  Dispatcher(asio::any_io_executor executor, const std::vector<Service*>& services,
             const GrpcServer::Options& options);

  // On gRPC's threads.
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;
  int running() const { return running_ + streams_; }
  GrpcServer::Load load() const { return {running_, streams_}; }
  // As GrpcServer::Refuse.
  void Refuse();

 private:
  struct Entry {
    Target target;
    const std::set<std::string>* callers = nullptr;  // null: every role
    bool endless = false;
    const RequestCheck* check = nullptr;
  };
  absl::Status Admit(const grpc::GenericCallbackServerContext& context, const Entry& entry) const;
  void Remember(const std::shared_ptr<CallReactor>& reactor);

  const asio::any_io_executor executor_;
  const Callers callers_;
  const bool tls_;
  const int calls_max_;
  const int streams_max_;
  const std::map<std::string, RequestCheck> checks_;
  const FinishedHook on_finished_;
  std::map<std::string, Entry, std::less<>> entries_;  // by path
  std::atomic<int> running_{0};                        // of calls that end by themselves
  std::atomic<int> streams_{0};                        // of the others
  std::atomic<bool> refusing_{false};
  std::mutex mu_;
  std::vector<std::weak_ptr<CallReactor>> endless_;  // guarded by mu_
};

}  // namespace metamcp::rpc
