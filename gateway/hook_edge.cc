#include "gateway/hook_edge.h"

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "gateway/admin/problem.h"

namespace metamcp::gateway {
namespace {

constexpr std::string_view kPrefix = "/api/v1/workflows/hooks/";
constexpr size_t kBodyMax = 1u << 20;
constexpr std::chrono::seconds kTime(30);

}  // namespace

bool HookEdge::Owns(std::string_view path) {
  return path.size() > kPrefix.size() && path.rfind(kPrefix, 0) == 0 &&
         path.find('/', kPrefix.size()) == std::string_view::npos;
}

Awaitable<void> HookEdge::Handle(http::HttpRequest& request, http::HttpResponder& responder) {
  absl::Status refused;
  if (request.method != "POST") {
    refused = MakeError("METHOD_NOT_ALLOWED", "gateway", "send events with POST");
  } else if (workflows_ == nullptr) {
    refused = MakeError("NOT_FOUND", "gateway", "this gateway has no workflow service");
  } else if (request.body.size() > kBodyMax) {
    refused =
        MakeError("BODY_TOO_LARGE", "gateway", StrCat("an event has at most ", kBodyMax, " bytes"));
  }
  if (!refused.ok()) {
    http::HttpResponse problem = admin::MakeProblem(refused);
    if (request.method != "POST") problem.headers.Set("Allow", "POST");
    (void)co_await responder.Send(std::move(problem));
    co_return;
  }
  workflow::v1::ReceiveHookRequest event;
  event.set_id(request.path.substr(kPrefix.size()));
  event.set_message_id(std::string(request.headers.Get("webhook-id")));
  event.set_timestamp(std::string(request.headers.Get("webhook-timestamp")));
  event.set_signature(std::string(request.headers.Get("webhook-signature")));
  event.set_body(std::move(request.body));
  const CallContext ctx(nullptr, CallContext::Clock::now() + kTime);
  auto receiving = workflows_->ReceiveHook(ctx, std::move(event));
  const auto received = co_await std::move(receiving);
  if (!received.ok()) {
    http::HttpResponse problem = admin::MakeProblem(received.status());
    (void)co_await responder.Send(std::move(problem));
    co_return;
  }
  json::ObjectWriter body;
  body.AddString("run", received->run());
  body.AddBool("repeatedMessage", received->repeated_message());
  http::HttpResponse response(202, "application/json", std::move(body).Build());
  (void)co_await responder.Send(std::move(response));
}

}  // namespace metamcp::gateway
