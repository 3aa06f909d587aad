#include "services/connector/dialer.h"

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/connector/handshake.h"
#include "services/connector/http_channel.h"
#include "services/connector/login/authorized_client.h"
#include "services/connector/ws_channel.h"

namespace metamcp::connector {
namespace {

using Clock = std::chrono::steady_clock;
using Known = EraMemory::Known;

constexpr std::chrono::hours kEraHorizon(24);

// A call that waits for the connection was not sent, however far the handshake came.
absl::Status Named(const absl::Status& status, const std::string& domain) {
  if (status.ok()) return status;
  ErrorInfo info;
  info.reason = "UPSTREAM_UNAVAILABLE";
  if (const auto known = GetErrorInfo(status); known && known->reason != "UPSTREAM_LOST") {
    info = *known;
  }
  info.domain = domain;
  return WithErrorInfo(status, info);
}

bool HasReason(const absl::Status& status, std::string_view reason) {
  const auto info = GetErrorInfo(status);
  return info.has_value() && info->reason == reason;
}

bool OverHttp(const Dialer::Request& request) {
  return request.target.type == "http" || request.target.type == "sse";
}

// Errors that say something about the way to the upstream, not about its era. A child that ends at
// a question may be of the other era; a web server that fails says nothing about it.
bool IsTransport(const absl::Status& status, bool http) {
  return (http && HasReason(status, "UPSTREAM_LOST")) || HasReason(status, "UPSTREAM_AUTH") ||
         HasReason(status, "UPSTREAM_LOGIN_REQUIRED") ||
         HasReason(status, "UPSTREAM_UNAVAILABLE") || HasReason(status, "QUEUE_FULL") ||
         HasReason(status, "CONFIG_INVALID");
}

}  // namespace

Dialer::SessionOr Dialer::NewSession(const Request& request, bool http_sse,
                                     SessionObserver& observer) {
  std::shared_ptr<Channel> channel;
  if (request.target.type == "stdio") {
    const Target& target = request.target;
    auto plan = options_.sandboxes == nullptr
                    ? PlainPlan(target.spawn)
                    : options_.sandboxes->Plan(target.slug, target.spawn, target.sandbox);
    if (!plan.ok()) return plan.status();
    auto child = ChildProcess::Spawn(executor_, std::move(*plan), budget_);
    if (!child.ok()) return child.status();
    StdioLimits limits;
    limits.line_bytes_max = options_.message_bytes_max;
    limits.stop_grace = options_.times.stop_grace;
    channel = std::make_shared<StdioChannel>(std::move(*child), tasks_, request.log, limits);
  } else {
    HttpChannelOptions options;
    options.target = request.target;
    options.message_bytes_max = options_.message_bytes_max;
    options.connect_timeout = options_.times.probe * 2;
    if (request.credentials != nullptr) {
      options.client =
          std::make_shared<AuthorizedClient>(http_, request.credentials, request.owner);
    }
    http::HttpClient& client = options.client != nullptr ? *options.client : http_;
    if (request.target.type == "ws") {
      channel = MakeWsChannel(executor_, client, tasks_, std::move(options));
    } else {
      channel = MakeHttpChannel(executor_, client, tasks_, std::move(options), http_sse);
    }
  }
  SessionOptions options;
  options.domain = request.target.domain;
  options.client_info = options_.client_info;
  options.client_capabilities = CapabilitiesText(request.declared);
  options.hold_questions = request.hold_questions;
  auto session =
      std::make_shared<Session>(executor_, std::move(channel), std::move(options), observer);
  session->Start();
  return session;
}

Awaitable<absl::Status> Dialer::Legacy(std::shared_ptr<Session> session) {
  auto shaking = session->Initialize(options_.times.connect);
  auto negotiated = co_await std::move(shaking);
  if (!negotiated.ok()) co_return negotiated.status();
  session->Adopt(std::move(*negotiated));
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Dialer::Modern(std::shared_ptr<Session> session) {
  auto asking = session->Discover(options_.times.connect);
  auto answer = co_await std::move(asking);
  if (!answer.ok()) co_return answer.status();
  if (answer->error) {
    co_return MakeError("UPSTREAM_PROTOCOL", "connector",
                        StrCat("server/discover was refused: ", answer->error->code, " ",
                               answer->error->message.substr(0, 200)));
  }
  auto negotiated = ReadDiscoverResult(answer->result);
  if (!negotiated.ok()) co_return negotiated.status();
  session->Adopt(std::move(*negotiated));
  co_return absl::OkStatus();
}

Awaitable<Dialer::SessionOr> Dialer::DialKnown(const Request& request, EraMemory& memory,
                                               SessionObserver& observer, bool modern) {
  auto session = NewSession(request, memory.http_sse, observer);
  if (!session.ok()) co_return session.status();
  auto shaking = modern ? Modern(*session) : Legacy(*session);
  const absl::Status status = co_await std::move(shaking);
  if (status.ok()) co_return *session;
  (*session)->Detach();
  auto closing = (*session)->Close();
  co_await std::move(closing);
  co_return status;
}

Awaitable<Dialer::SessionOr> Dialer::DialLegacyAfterProbe(const Request& request, EraMemory& memory,
                                                          SessionObserver& observer,
                                                          std::shared_ptr<Session> probed) {
  if (!probed->lost()) {
    auto shaking = Legacy(probed);
    const absl::Status status = co_await std::move(shaking);
    if (status.ok()) co_return probed;
    if (!probed->lost() && HasReason(status, "UPSTREAM_PROTOCOL")) {
      // A modern server that was too slow for the probe refuses initialize.
      auto again = Modern(probed);
      const absl::Status modern = co_await std::move(again);
      if (modern.ok()) co_return probed;
    }
    if (IsTransport(status, OverHttp(request))) {
      probed->Detach();
      auto closing = probed->Close();
      co_await std::move(closing);
      co_return status;
    }
  }
  // Some servers end, or get confused, when the first request is not initialize: a fresh one.
  probed->Detach();
  auto closing = probed->Close();
  co_await std::move(closing);
  auto fresh = DialKnown(request, memory, observer, false);
  co_return co_await std::move(fresh);
}

Awaitable<Dialer::SessionOr> Dialer::DialProbing(const Request& request, EraMemory& memory,
                                                 SessionObserver& observer) {
  auto made = NewSession(request, memory.http_sse, observer);
  if (!made.ok()) co_return made.status();
  const std::shared_ptr<Session> session = *made;
  auto asking = session->Discover(options_.times.probe);
  auto answer = co_await std::move(asking);
  const bool http = OverHttp(request);
  if (!answer.ok() && request.target.type != "stdio" &&
      (http ? !HasReason(answer.status(), "UPSTREAM_PROTOCOL")
            : IsTransport(answer.status(), false))) {
    // On HTTP neither silence nor refusal to let us in says anything about the era. On a channel
    // of our own, silence does.
    session->Detach();
    auto closing = session->Close();
    co_await std::move(closing);
    co_return answer.status();
  }
  if (answer.ok() && JudgeDiscover(*answer) == EraVerdict::kModern) {
    if (!answer->error) {
      session->Adopt(*ReadDiscoverResult(answer->result));
      co_return session;
    }
    auto again = Modern(session);
    const absl::Status status = co_await std::move(again);
    if (status.ok()) co_return session;
    session->Detach();
    auto closing = session->Close();
    co_await std::move(closing);
    co_return status;
  }
  auto legacy = DialLegacyAfterProbe(request, memory, observer, session);
  co_return co_await std::move(legacy);
}

Awaitable<absl::StatusOr<std::shared_ptr<Session>>> Dialer::Dial(Request request, EraMemory& memory,
                                                                 SessionObserver& observer) {
  if (memory.until < Clock::now()) memory = EraMemory();
  bool modern = request.target.era == "modern";
  const bool pinned = modern || request.target.era == "legacy" || request.target.type == "sse";
  const bool known = pinned || memory.known != Known::kUnknown;
  if (!pinned) modern = memory.known == Known::kModern;
  if (request.target.type == "sse") memory.http_sse = true;
  auto dialing =
      known ? DialKnown(request, memory, observer, modern) : DialProbing(request, memory, observer);
  auto session = co_await std::move(dialing);
  if (!session.ok() && request.target.type == "http" && !modern && !memory.http_sse &&
      HasReason(session.status(), "UPSTREAM_PROTOCOL")) {
    // Neither form of Streamable HTTP: the two endpoints of 2024-11-05 are left.
    memory.http_sse = true;
    auto older = DialKnown(request, memory, observer, false);
    auto second = co_await std::move(older);
    if (second.ok()) {
      session = std::move(second);
    } else {
      memory.http_sse = false;
    }
  }
  if (!session.ok()) {
    if (!pinned) memory.known = Known::kUnknown;
    co_return Named(session.status(), request.target.domain);
  }
  memory.known = (*session)->negotiated().modern() ? Known::kModern : Known::kLegacy;
  memory.until = Clock::now() + kEraHorizon;
  co_return session;
}

}  // namespace metamcp::connector
