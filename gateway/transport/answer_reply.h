#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/protocol/reply.h"
#include "metamcp/gateway/v1/edge_peer_service.pb.h"

namespace metamcp::gateway {

// Keeps the one answer of a request that has no stream of its own.
class AnswerReply final : public Reply {
 public:
  Awaitable<absl::Status> Notify(std::string) override {
    co_return absl::UnimplementedError("a passed request has no stream");
  }
  Awaitable<absl::Status> Respond(int http_status, std::string message) override {
    response.set_http_status(http_status);
    response.set_answer(std::move(message));
    co_return absl::OkStatus();
  }
  Awaitable<absl::Status> End(int http_status) override {
    response.set_http_status(http_status);
    co_return absl::OkStatus();
  }
  Awaitable<absl::Status> Open() override { co_return absl::OkStatus(); }
  bool can_push() const override { return false; }
  bool started() const override { return false; }
  void OnGone(std::function<void()>) override {}
  void SetHeader(std::string_view, std::string_view) override {}
  v1::DeliverResponse response;
};

}  // namespace metamcp::gateway
