#include "gateway/audit/gateway_audit.h"

#include "common/base/strings.h"
#include "gateway/admin/admin_edge.h"
#include "gateway/admin/problem.h"
#include "gateway/login/login_edge.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {

GatewayAudit::GatewayAudit(AuditRecorder& recorder, CallAudit::Options options, CallChain& chain,
                           auth::Authenticator& authenticator)
    : recorder_(recorder),
      sandboxes_(recorder),
      calls_(recorder, std::move(options)),
      refusals_(recorder) {
  chain.SetAuditor(&calls_);
  authenticator.on_refused = [this](const auth::Credentials& shown, const absl::Status& why) {
    refusals_.OnRefused(shown, why);
  };
}

Awaitable<void> GatewayAudit::Admin(admin::AdminEdge& edge, http::HttpRequest& request,
                                    http::HttpResponder& responder,
                                    std::shared_ptr<const Principal> principal) {
  if (!IsAudited(request)) {
    co_await edge.Handle(request, responder, std::move(principal));
    co_return;
  }
  if (const absl::Status ready = recorder_.Ready(); !ready.ok()) {
    http::HttpResponse problem = admin::MakeProblem(ready);
    (void)co_await responder.Send(std::move(problem));
    co_return;
  }
  AuditResponder recorded(
      responder, recorder_,
      MakeAdminEvent(request, edge.Operation(request.method, request.path), *principal));
  co_await edge.Handle(request, recorded, std::move(principal));
}

Awaitable<void> GatewayAudit::Login(LoginEdge& edge, http::HttpRequest& request,
                                    http::HttpResponder& responder) {
  audit::v1::Event event;
  event.set_action("login");
  event.set_item(StrCat(request.method, " ", request.path));
  AuditResponder recorded(responder, recorder_, std::move(event));
  co_await edge.Handle(request, recorded);
}

}  // namespace metamcp::gateway
