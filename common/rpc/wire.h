#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "common/async/call_context.h"

namespace google::protobuf {
class Message;
}

namespace metamcp::rpc {

// Keys of the two metadata entries of our own.
inline constexpr char kCallMetaKey[] = "metamcp-call-bin";
inline constexpr char kErrorInfoKey[] = "metamcp-error-bin";

// Largest message either side accepts: results travel in 256 KiB chunks and snapshots in 1 MiB
// ones, so this leaves room for one oversized definition.
inline constexpr int kMessageBytesMax = 40 * 1024 * 1024;

// The longest time a call may take over gRPC; a deadline without end means this.
inline constexpr std::chrono::hours kCallTimeMax{24};

// A client pings a silent connection this often and gives it up without an answer; the server's
// limits are below it, so that it does not take the pings for abuse.
inline constexpr int kKeepAliveMs = 10000;
inline constexpr int kKeepAliveTimeoutMs = 5000;
inline constexpr int kPingIntervalLeastMs = 5000;

absl::Status Encode(const google::protobuf::Message& message, grpc::ByteBuffer& out);
absl::Status Decode(grpc::ByteBuffer& in, google::protobuf::Message& message);

// CallContext without its deadline, which is gRPC's own timeout.
std::string EncodeCallMeta(const CallContext& ctx);
absl::Status DecodeCallMeta(const std::string& text, CallContext& ctx);

// The codes are the same on both sides. ErrorInfo goes to `error_info` (empty for none).
grpc::Status ToGrpc(const absl::Status& status, std::string& error_info);
absl::Status FromGrpc(const grpc::Status& status, const std::string& error_info);

}  // namespace metamcp::rpc
