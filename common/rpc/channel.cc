#include "common/rpc/channel.h"

#include <arpa/inet.h>
#include <google/protobuf/message.h>

#include "absl/strings/str_split.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/rpc/grpc_channel.h"
#include "common/rpc/grpc_log.h"

namespace metamcp::rpc {
namespace {

using Clock = CallContext::Clock;

// How long a call is offered to one replica after the other.
constexpr std::chrono::seconds kPatience{3};
constexpr std::chrono::milliseconds kPauseMin{20};
constexpr std::chrono::milliseconds kPauseMax{320};

// Whether anything has come back.
class WatchedSink final : public Sink<MessagePtr> {
 public:
  explicit WatchedSink(Sink<MessagePtr>& sink) : sink_(sink) {}
  Awaitable<absl::Status> Write(MessagePtr message) override {
    used = true;
    return sink_.Write(std::move(message));
  }
  bool used = false;

 private:
  Sink<MessagePtr>& sink_;
};

// Several targets in turn, those that are connected first.
class BalancedChannel final : public Channel {
 public:
  explicit BalancedChannel(std::vector<std::shared_ptr<GrpcChannel>> channels)
      : channels_(std::move(channels)) {}

  Awaitable<absl::Status> Unary(const CallContext& ctx, const MethodInfo& method,
                                const google::protobuf::Message& request,
                                google::protobuf::Message& response) override {
    Attempts attempts(ctx);
    for (;;) {
      const std::shared_ptr<GrpcChannel> one = Next();
      auto calling = one->Unary(ctx, method, request, response);
      const absl::Status status = co_await std::move(calling);
      if (!NotBegun(status) || !attempts.Another()) co_return status;
      const bool slept = co_await Sleep(attempts.pause);
      if (!slept) co_return absl::CancelledError("cancelled");
    }
  }

  Awaitable<absl::Status> Stream(const CallContext& ctx, const MethodInfo& method,
                                 const google::protobuf::Message& request,
                                 Sink<MessagePtr>& sink) override {
    Attempts attempts(ctx);
    for (;;) {
      const std::shared_ptr<GrpcChannel> one = Next();
      WatchedSink watched(sink);
      auto calling = one->Stream(ctx, method, request, watched);
      const absl::Status status = co_await std::move(calling);
      if (watched.used || !NotBegun(status) || !attempts.Another()) co_return status;
      const bool slept = co_await Sleep(attempts.pause);
      if (!slept) co_return absl::CancelledError("cancelled");
    }
  }

 private:
  struct Attempts {
    explicit Attempts(const CallContext& ctx)
        : until(std::min(ctx.deadline, Clock::now() + kPatience)) {}
    bool Another() {
      pause = std::min(pause * 2, kPauseMax);
      return Clock::now() + pause < until;
    }
    const Clock::time_point until;
    std::chrono::milliseconds pause = kPauseMin / 2;
  };

  std::shared_ptr<GrpcChannel> Next() {
    const size_t first = turn_++;
    for (size_t i = 0; i < channels_.size(); ++i) {
      const auto& one = channels_[(first + i) % channels_.size()];
      if (one->Connected()) return one;
    }
    return channels_[first % channels_.size()];
  }

  const std::vector<std::shared_ptr<GrpcChannel>> channels_;
  std::atomic<size_t> turn_{0};
};

}  // namespace

bool IsLocalTarget(std::string_view target) {
  constexpr std::string_view kDns = "dns:///";
  if (target.substr(0, kDns.size()) == kDns) target.remove_prefix(kDns.size());
  for (const std::string_view prefix : {"unix:", "localhost:", "[::1]:"}) {
    if (target.starts_with(prefix)) return true;
  }
  constexpr std::string_view kIpv4 = "ipv4:";
  if (target.starts_with(kIpv4)) target.remove_prefix(kIpv4.size());
  // An address, not a name that begins like one.
  in_addr address;
  const std::string host(target.substr(0, target.rfind(':')));
  return host.starts_with("127.") && ::inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool NotBegun(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return false;
  const auto info = GetErrorInfo(status);
  if (!info) return false;
  return info->reason == "SERVICE_UNREACHABLE" ||
         (info->reason == "SHUTTING_DOWN" && info->metadata.count("refused_by") > 0);
}

absl::StatusOr<std::shared_ptr<Channel>> Channel::Create(const std::string& targets,
                                                         ChannelOptions options) {
  TakeGrpcLog();
  if (options.tls != nullptr) OnlyTls13();
  std::vector<std::shared_ptr<GrpcChannel>> channels;
  bool several = false;
  for (const std::string& target : std::vector<std::string>(absl::StrSplit(targets, ','))) {
    if (options.tls == nullptr && !options.allow_plaintext && !IsLocalTarget(target)) {
      return MakeError(
          "CONFIG_INVALID", "gateway",
          StrCat("service address ", target,
                 " is not on this machine: set services.tls (mTLS; 'meta-mcp cert init' makes "
                 "certificates), or services.allowPlaintext in a closed network"));
    }
    several = several || !channels.empty() || target.rfind("dns:", 0) == 0;
    channels.push_back(std::make_shared<GrpcChannel>(target, options));
  }
  if (!several) return std::shared_ptr<Channel>(std::move(channels.front()));
  return std::shared_ptr<Channel>(std::make_shared<BalancedChannel>(std::move(channels)));
}

}  // namespace metamcp::rpc
