#pragma once

#include <string>
#include <string_view>

#include "gateway/protocol/front.h"

namespace metamcp::gateway {

// The page of a list request; `params` may be absent. Waits a bounded moment while an upstream that
// is new may still report (FrontDeps::first_list_wait). Errors: CURSOR_INVALID, INVALID_PARAMS.
Awaitable<absl::StatusOr<std::string>> AnswerList(const FrontDeps& deps, Incoming& in,
                                                  ItemKind kind, mcp::Revision revision);

// UNSUPPORTED_VERSION unless the request's revision is one that is served without a session.
absl::Status CheckModernVersion(const mcp::RequestMeta& meta);

// The kind that a list method lists, if it is one.
std::optional<ItemKind> ListKind(std::string_view method);

// Tells the client in headers what the limits leave it, where the answer has begun with nothing
// yet.
void TellAllowance(Reply& reply, const absl::StatusOr<CallOutcome>& outcome);

// A raw object of the further members of `_meta` that travel to the upstream; empty for none.
std::string ForwardedMeta(const mcp::RequestMeta& meta);

// Sends progress and log notifications of a call to its client.
class FrontEvents final : public CallEvents {
 public:
  FrontEvents(Reply& reply, mcp::Revision revision, jsonrpc::Id progress_token,
              std::string log_level)
      : reply_(reply),
        revision_(revision),
        token_(std::move(progress_token)),
        log_level_(std::move(log_level)) {}
  Awaitable<absl::Status> Progress(std::string params) override;
  Awaitable<absl::Status> LogMessage(std::string params) override;
  Awaitable<absl::Status> Notification(std::string method, std::string params) override;
  Awaitable<absl::Status> Paused(std::chrono::milliseconds retry_after) override;

 private:
  Reply& reply_;
  const mcp::Revision revision_;
  const jsonrpc::Id token_;
  const std::string log_level_;
};

}  // namespace metamcp::gateway
