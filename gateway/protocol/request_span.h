#pragma once

#include "common/telemetry/trace.h"
#include "gateway/protocol/front.h"

namespace metamcp::gateway {

// Begins the server span of a request, by OpenTelemetry's semantic conventions for MCP; `in.trace`
// becomes its context. Nothing where no spans are recorded.
trace::Span BeginRequest(Incoming& in, mcp::Revision revision, const mcp::RequestMeta* meta);

// Notes in the span of `reply`, if it has one, what a call ended with.
void NoteOutcome(Reply& reply, const absl::StatusOr<CallOutcome>& outcome);

}  // namespace metamcp::gateway
