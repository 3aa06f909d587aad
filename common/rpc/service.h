#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "common/async/sink.h"

namespace google::protobuf {
class Message;
}

namespace metamcp::rpc {

class Channel;
using MessagePtr = std::unique_ptr<google::protobuf::Message>;

// One method of a generated service interface.
struct MethodInfo {
  std::string_view name;
  std::string_view path;  // "/package.Service/Method", as gRPC writes it
  bool streaming;
  const google::protobuf::Message* request;  // prototypes
  const google::protobuf::Message* response;
};

class ServiceInfo {
 public:
  ServiceInfo(std::string_view name, std::vector<MethodInfo> methods)
      : name_(name), methods_(std::move(methods)) {}
  std::string_view name() const { return name_; }  // "package.Service"
  const std::vector<MethodInfo>& methods() const { return methods_; }

 private:
  std::string_view name_;
  std::vector<MethodInfo> methods_;
};

// Base of every generated service interface: lets the gRPC server and the REST transcoder call a
// method without knowing its types. `request` must be of the method's request type.
class Service {
 public:
  virtual ~Service() = default;
  virtual const ServiceInfo& info() const = 0;
  virtual Awaitable<absl::StatusOr<MessagePtr>> InvokeUnary(int method, const CallContext& ctx,
                                                            MessagePtr request) = 0;
  virtual Awaitable<absl::Status> InvokeStream(int method, const CallContext& ctx,
                                               MessagePtr request, Sink<MessagePtr>& sink) = 0;
};

}  // namespace metamcp::rpc
