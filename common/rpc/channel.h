#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/rpc/service.h"
#include "common/rpc/tls.h"

namespace metamcp::rpc {

struct ChannelOptions {
  ChannelOptions() = default;
  std::shared_ptr<const Tls> tls;  // null: plaintext
  bool allow_plaintext = false;    // beyond this machine too
  std::vector<std::string> roles;  // that the server's certificate must name
  // Full name of the service whose health the server is asked for; only ready addresses are used,
  // in turn. Empty: the first address that connects, whatever its health.
  std::string health;
};

// A gRPC channel to a service, for generated clients. Passes the deadline, cancellation, the
// CallContext (metadata metamcp-call-bin) and ErrorInfo (trailing metadata metamcp-error-bin).
// Connects in the background and reconnects by itself.
//
// Where there may be several addresses, a call that none has begun (it could not be sent, or the
// server was ending and refused it) is tried at the next, for a short while. Otherwise its caller
// sees SERVICE_UNREACHABLE, or SHUTTING_DOWN. What a server may have begun is never sent twice.
// Thread: calls are made from and resume on the caller's executor.
class Channel {
 public:
  // `targets`: gRPC's, by commas: "host:port", "dns:///host:port", "unix:/path". Plaintext is
  // refused for anything but loopback and unix sockets. Errors: CONFIG_INVALID.
  static absl::StatusOr<std::shared_ptr<Channel>> Create(const std::string& targets,
                                                         ChannelOptions options);

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

// Whether no server has begun the call, so that it may be made elsewhere.
bool NotBegun(const absl::Status& status);

}  // namespace metamcp::rpc
