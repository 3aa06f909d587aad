#pragma once

#include <chrono>

#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "common/http/http_client.h"
#include "services/ai/model/chat.h"
#include "services/ai/model/model.h"

namespace metamcp::ai {

// One model over HTTP. Thread: the io thread. What it refers to must outlive it.
class HttpProvider {
 public:
  HttpProvider(http::HttpClient& http, ProviderSpec spec) : http_(http), spec_(std::move(spec)) {}

  // Asks once, without trying again. Errors: AI_PROVIDER_FAILED (metadata status, and retryAfterMs
  // where the provider says it), AI_REFUSED, AI_ANSWER_INVALID, DEADLINE_EXCEEDED, CANCELLED.
  Awaitable<absl::StatusOr<ModelReply>> Ask(const CallContext& ctx, const ModelRequest& request);

  // Passes a request of Chat Completions on as it is, but for the model's name, and the answer to
  // `out` as it comes. Answers that are no success but say that the request is wrong are passed on,
  // too. `end` has what is known also after an error. Errors: AI_PROVIDER_FAILED, CANCELLED, those
  // of `out`.
  Awaitable<absl::Status> Relay(const CallContext& ctx, const std::string& body,
                                const ChatShape& shape, ChatOut& out, ChatEnd* end);

  const ProviderSpec& spec() const { return spec_; }

 private:
  Awaitable<absl::Status> RelayAnswer(http::HttpClientResponse& response, const ChatShape& shape,
                                      ChatOut& out, ChatEnd* end);
  Awaitable<absl::Status> RelayStream(http::HttpClientResponse& response, const ChatShape& shape,
                                      ChatOut& out, ChatEnd* end);
  Awaitable<absl::StatusOr<ModelReply>> Send(const CallContext& ctx, http::HttpClientRequest call);
  Awaitable<absl::StatusOr<ModelReply>> ReadStream(http::HttpClientResponse& response);

  http::HttpClient& http_;
  const ProviderSpec spec_;
};

}  // namespace metamcp::ai
