#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <mutex>

#include "common/rpc/channel.h"

namespace metamcp::rpc {

// One gRPC target. Internal to common/rpc; contract of Channel. A call that no server has seen
// fails with SERVICE_UNREACHABLE.
class GrpcChannel final : public Channel {
 public:
  GrpcChannel(std::string target, ChannelOptions options);

  Awaitable<absl::Status> Unary(const CallContext& ctx, const MethodInfo& method,
                                const google::protobuf::Message& request,
                                google::protobuf::Message& response) override;
  Awaitable<absl::Status> Stream(const CallContext& ctx, const MethodInfo& method,
                                 const google::protobuf::Message& request,
                                 Sink<MessagePtr>& sink) override;
  // Whether a call would go out at once. Begins to connect if not.
  bool Connected();

 private:
  // Made with one generation of the process's certificates; calls keep the one they began on.
  struct Connection {
    Connection(uint64_t g, std::shared_ptr<grpc::Channel> c)
        : generation(g), channel(c), stub(std::move(c)) {}
    const uint64_t generation;
    const std::shared_ptr<grpc::Channel> channel;
    grpc::GenericStub stub;
  };
  std::shared_ptr<Connection> Current();
  std::shared_ptr<grpc::Channel> Connect(const Tls::Current* tls) const;
  absl::Status Finished(const grpc::ClientContext& context, const grpc::Status& status) const;
  static Awaitable<absl::Status> ReadAll(std::shared_ptr<class StreamReactor> reactor,
                                         const MethodInfo& method, Sink<MessagePtr>& sink);

  const std::string target_;
  const ChannelOptions options_;
  std::mutex mu_;
  std::shared_ptr<Connection> current_;  // guarded by mu_
};

}  // namespace metamcp::rpc
