#pragma once

namespace metamcp::rpc {

// gRPC's own error lines become lines of our log, once for the process. Internal to common/rpc.
void TakeGrpcLog();

}  // namespace metamcp::rpc
