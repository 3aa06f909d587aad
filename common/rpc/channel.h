#pragma once

#include <memory>
#include <string>

#include "common/rpc/service.h"

namespace metamcp::rpc {

// PEM texts of one side of mTLS; all empty means plaintext.
struct TlsMaterial {
  std::string ca;
  std::string certificate;
  std::string key;
};

// A gRPC channel to one address, for generated clients. Passes the deadline, cancellation, the
// CallContext (metadata metamcp-call-bin) and ErrorInfo (trailing metadata metamcp-error-bin).
// Connects in the background and reconnects by itself.
// Thread: calls are made from and resume on the caller's executor.
class Channel {
 public:
  // `target` is gRPC's: "host:port", "dns:///…", "unix:/path". Plaintext is refused for anything
  // but loopback and unix sockets. Errors: INVALID_ARGUMENT.
  static absl::StatusOr<std::shared_ptr<Channel>> Create(const std::string& target,
                                                         const TlsMaterial& tls);

  virtual ~Channel() = default;
  virtual Awaitable<absl::Status> Unary(const CallContext& ctx, const MethodInfo& method,
                                        const google::protobuf::Message& request,
                                        google::protobuf::Message& response) = 0;
  virtual Awaitable<absl::Status> Stream(const CallContext& ctx, const MethodInfo& method,
                                         const google::protobuf::Message& request,
                                         Sink<MessagePtr>& sink) = 0;
};

// Whether gRPC target or "host:port" names this machine only.
bool IsLocalTarget(std::string_view target);

}  // namespace metamcp::rpc
