#pragma once

#include <memory>

#include "common/auth/authenticator.h"
#include "common/http/http_server.h"
#include "gateway/audit/admin_audit.h"
#include "gateway/audit/call_audit.h"
#include "gateway/audit/sandbox_audit.h"

namespace metamcp::gateway {

class CallChain;
class LoginEdge;
namespace admin {
class AdminEdge;
}

// Everything of one gateway that is recorded. `recorder` must outlive it; it must outlive the calls
// of `chain` and the uses of `authenticator`.
class GatewayAudit {
 public:
  GatewayAudit(AuditRecorder& recorder, CallAudit::Options options, CallChain& chain,
               auth::Authenticator& authenticator);

  // Lets `edge` answer, and records what IsAudited says.
  Awaitable<void> Admin(admin::AdminEdge& edge, http::HttpRequest& request,
                        http::HttpResponder& responder, std::shared_ptr<const Principal> principal);
  // The same for logins at upstreams: without query and body, which hold secrets.
  Awaitable<void> Login(LoginEdge& edge, http::HttpRequest& request,
                        http::HttpResponder& responder);

  // What the catalog tells of servers.
  void OnCatalog(const catalog::v1::WatchCatalogResponse& message) {
    sandboxes_.OnCatalog(message);
  }

 private:
  AuditRecorder& recorder_;
  SandboxAudit sandboxes_;
  CallAudit calls_;
  RefusalAudit refusals_;
};

}  // namespace metamcp::gateway
