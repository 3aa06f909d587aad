#include "common/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <string>
#include <string_view>

#include "common/telemetry/log.h"

namespace metamcp::rpc {
namespace {

void Take(gpr_log_func_args* args) {
  const std::string_view message = args->message;
  // Identities are roles, so a server's certificate does not name the address that was dialled.
  const bool expected = message.find("No match found for server name") != std::string_view::npos;
  const bool error = args->severity == GPR_LOG_SEVERITY_ERROR && !expected;
  Log(error ? LogLevel::kWarning : LogLevel::kDebug, "grpc.message",
      {{"message", std::string(message)}});
}

}  // namespace

void TakeGrpcLog() {
  static const bool once = [] {
    gpr_set_log_function(&Take);
    return true;
  }();
  (void)once;
}

}  // namespace metamcp::rpc
