#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/auth/authenticator.h"
#include "common/http/http_server.h"
#include "gateway/access/access_guard.h"
#include "gateway/audit/recorder.h"
#include "gateway/limits/gateway_limits.h"
#include "metamcp/ai/v1/ai_service.metamcp.h"

namespace metamcp::gateway {

// OpenAI's Chat Completions for clients of the gateway: /v1/chat/completions and /v1/models, by the
// providers of ai.providers whose api is "chat". Keys, roles, policy (kind "model"), limits and the
// audit are those of tools; what goes through is not changed. Failures have the shape of that API.
// Thread: the io thread.
class ModelEdge {
 public:
  struct Deps {
    Deps(const AccessGuard& access_in, GatewayLimits& limits_in, auth::Authenticator& who)
        : access(access_in), limits(limits_in), authenticator(who) {}
    const AccessGuard& access;
    GatewayLimits& limits;
    auth::Authenticator& authenticator;
    ai::v1::AiService* ai = nullptr;  // null: there are no models
    AuditRecorder* audit = nullptr;   // null: nothing is recorded
    bool on = false;                  // ai.chatApi
    std::chrono::milliseconds timeout{900'000};
  };
  explicit ModelEdge(Deps deps) : deps_(std::move(deps)) {}

  static bool Owns(std::string_view path);
  Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder);

 private:
  struct Model {
    std::string provider, name;
  };
  // Models that `who` may use, in the order in which they are asked. `denied` gets why those that
  // have the name `wanted` may not be used.
  Awaitable<absl::StatusOr<std::vector<Model>>> Models(const CallContext& ctx, std::string wanted,
                                                       absl::Status* denied);
  absl::Status Check(const Principal& who, const Model& model) const;
  Awaitable<void> Answer(http::HttpRequest& request, http::HttpResponder& responder,
                         std::shared_ptr<const Principal> who);
  Awaitable<void> List(const CallContext& ctx, const http::HttpRequest& request,
                       http::HttpResponder& responder);
  Awaitable<void> Chat(const CallContext& ctx, http::HttpRequest& request,
                       http::HttpResponder& responder);

  const Deps deps_;
};

}  // namespace metamcp::gateway
