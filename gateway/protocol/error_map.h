#pragma once

#include "absl/status/status.h"
#include "common/mcp/jsonrpc.h"
#include "common/mcp/version.h"

namespace metamcp::gateway {

// A failure as a client sees it.
struct WireError {
  jsonrpc::ErrorObject error;
  // HTTP status where the failure belongs to the transport; 200 where it is answered in band.
  int http = 200;
};

// The one place where a Status becomes a JSON-RPC error and an HTTP status. `data` carries reason,
// source (who failed), hint and class from the registry, and the status's metadata. Internal
// errors lose their message (it is logged by whoever made it). `trace_id` is added where known.
WireError ToWireError(const absl::Status& status, mcp::Era era, std::string_view trace_id = {});

// The HTTP status of an answer that carries this error: what the failure is to the transport
// (malformed, unknown method or envelope of the modern era), else 200.
int HttpStatusOf(const WireError& wire, mcp::Era era);

}  // namespace metamcp::gateway
