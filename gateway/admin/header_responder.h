#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "common/http/http_server.h"

namespace metamcp::gateway::admin {

// Adds headers to whatever answer goes through it: what the rules of the gateway want on every
// answer, such as CORS. `inner` must outlive it.
class HeaderResponder final : public http::HttpResponder {
 public:
  HeaderResponder(http::HttpResponder& inner, http::HttpHeaders headers)
      : inner_(inner), headers_(std::move(headers)) {}

  Awaitable<absl::Status> Send(http::HttpResponse response) override {
    AddTo(response.headers);
    return inner_.Send(std::move(response));
  }
  Awaitable<absl::Status> StartStream(int status, http::HttpHeaders headers) override {
    AddTo(headers);
    return inner_.StartStream(status, std::move(headers));
  }
  Awaitable<absl::Status> Write(std::string_view data) override { return inner_.Write(data); }
  Awaitable<absl::Status> Finish() override { return inner_.Finish(); }
  Awaitable<absl::StatusOr<std::unique_ptr<http::WebSocket>>> Upgrade(
      http::WebSocketOptions options) override {
    return inner_.Upgrade(std::move(options));
  }
  void OnDisconnect(std::function<void()> callback) override {
    inner_.OnDisconnect(std::move(callback));
  }
  bool disconnected() const override { return inner_.disconnected(); }
  bool started() const override { return inner_.started(); }

 private:
  void AddTo(http::HttpHeaders& headers) const {
    for (size_t i = 0; i < headers_.size(); ++i) {
      headers.Add(headers_.at(i).name, headers_.at(i).value);
    }
  }

  http::HttpResponder& inner_;
  const http::HttpHeaders headers_;
};

}  // namespace metamcp::gateway::admin
