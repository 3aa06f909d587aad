#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "common/base/principal.h"
#include "common/http/http_server.h"
#include "common/telemetry/trace.h"
#include "gateway/admin/route_table.h"

namespace metamcp::gateway::admin {

// REST in front of rpc::Service: the operations come from the methods' http options, JSON from
// json_codec.h. Server streams become event streams of one JSON message per event; an error after
// the first is an event named "error". Failures are problems (problem.h): NOT_FOUND for an unknown
// path, METHOD_NOT_ALLOWED with Allow, PERMISSION_DENIED without the operation's role,
// UNSUPPORTED_MEDIA_TYPE for a body that is not application/json. Thread: the io thread.
class Transcoder {
 public:
  struct Options {
    Options() {}
    std::chrono::milliseconds timeout = std::chrono::seconds(120);  // of a unary call
    std::chrono::milliseconds stream_timeout = std::chrono::hours(12);
  };

  // Errors: RouteTable::Create's.
  static absl::StatusOr<std::unique_ptr<Transcoder>> Create(
      const std::vector<rpc::Service*>& services, Options options);

  const RouteTable& table() const { return *table_; }

  // Answers one request.
  Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder,
                         std::shared_ptr<const Principal> principal);

  // The request message of a matched request. Errors: see json_codec.h.
  static absl::StatusOr<rpc::MessagePtr> MakeMessage(const http::HttpRequest& request,
                                                     const RouteMatch& match);

 private:
  Transcoder(std::unique_ptr<RouteTable> table, Options options)
      : table_(std::move(table)), options_(options) {}
  Awaitable<void> Unary(const Route& route, TraceContext trace,
                        std::shared_ptr<const Principal> principal, rpc::MessagePtr message,
                        http::HttpResponder& responder);
  Awaitable<void> Stream(const Route& route, std::shared_ptr<const Principal> principal,
                         rpc::MessagePtr message, http::HttpResponder& responder);

  const std::unique_ptr<RouteTable> table_;
  const Options options_;
};

// The trace context of a request's headers.
TraceContext TraceOf(const http::HttpRequest& request);
// The server span of a request to the route "METHOD /path/{pattern}"; `trace` becomes its context.
trace::Span BeginAdminSpan(std::string_view method, std::string_view route, TraceContext& trace);

// Sends `status` as a problem.
Awaitable<void> SendProblem(http::HttpResponder& responder, absl::Status status);
// NOT_FOUND, or METHOD_NOT_ALLOWED with Allow where the path has other methods.
Awaitable<void> SendUnmatched(http::HttpResponder& responder, const std::string& method,
                              const std::string& path, std::vector<std::string> allowed);
// PERMISSION_DENIED where the principal lacks the role.
absl::Status CheckRole(const Principal* principal, std::string_view role);

}  // namespace metamcp::gateway::admin
