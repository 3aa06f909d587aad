#include "gateway/audit/admin_audit.h"

#include "common/audit/text.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "gateway/admin/problem.h"
#include "gateway/audit/call_audit.h"

namespace metamcp::gateway {
namespace {

constexpr size_t kTargetBytesMax = 2048;
constexpr std::string_view kAuditPath = "/api/v1/audit/";
constexpr std::string_view kSecretsPath = "/api/v1/secrets/";

bool IsRead(const std::string& method) { return method == "GET" || method == "HEAD"; }

void SetStatus(int status, audit::v1::Event& event) {
  const bool denied = status == 401 || status == 403;
  event.set_code(status);
  event.set_decision(denied ? "deny" : "allow");
  event.set_outcome(status < 400 ? "ok" : denied ? "denied" : status < 500 ? "error" : "failed");
}

}  // namespace

bool IsAudited(const http::HttpRequest& request) {
  if (request.path == "/api/v1/call") return false;
  return !IsRead(request.method) ||
         std::string_view(request.path).substr(0, kAuditPath.size()) == kAuditPath;
}

audit::v1::Event MakeAdminEvent(const http::HttpRequest& request, const std::string& operation,
                                const Principal& principal) {
  audit::v1::Event event;
  SetPrincipal(principal, event);
  const bool reads_audit = IsRead(request.method) && IsAudited(request);
  event.set_action(reads_audit ? "audit.read" : "admin");
  event.set_item(
      StrCat(audit::CleanText(request.method, 16), " ", operation.empty() ? "?" : operation));
  event.set_target(audit::CleanText(
      StrCat(request.path, request.query.empty() ? "" : "?", request.query), kTargetBytesMax));
  // A digest of a short value would let it be guessed.
  if (request.path.compare(0, kSecretsPath.size(), kSecretsPath) != 0) {
    SetArguments(request.body, event);
  }
  event.set_trace(TraceId(request.headers.Get("traceparent")));
  event.set_rule("role");
  return event;
}

AuditResponder::~AuditResponder() {
  if (recorded_) return;
  event_.set_decision("allow");
  event_.set_outcome("cancelled");
  recorder_.Note(std::move(event_));
}

Awaitable<absl::Status> AuditResponder::Record(int status) {
  SetStatus(status, event_);
  event_.set_duration_us(std::chrono::duration_cast<std::chrono::microseconds>(
                             std::chrono::steady_clock::now() - start_)
                             .count());
  recorded_ = true;
  auto recording = recorder_.Record(std::move(event_));
  co_return co_await std::move(recording);
}

Awaitable<absl::Status> AuditResponder::Send(http::HttpResponse response) {
  if (!recorded_) {
    event_.set_result_size(static_cast<int64_t>(response.body.size()));
    auto recording = Record(response.status);
    const absl::Status recorded = co_await std::move(recording);
    if (!recorded.ok()) response = admin::MakeProblem(recorded);
  }
  auto sending = inner_.Send(std::move(response));
  co_return co_await std::move(sending);
}

Awaitable<absl::Status> AuditResponder::StartStream(int status, http::HttpHeaders headers) {
  if (!recorded_) {
    auto recording = Record(status);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(recording));
  }
  auto starting = inner_.StartStream(status, std::move(headers));
  co_return co_await std::move(starting);
}

void RefusalAudit::NoteRest() {
  if (count_ <= kEachPerSecond) return;
  audit::v1::Event event;
  event.set_action("auth.refused");
  event.set_outcome("denied");
  event.set_decision("deny");
  event.set_count(count_ - kEachPerSecond);
  recorder_.Note(std::move(event));
}

void RefusalAudit::OnRefused(const auth::Credentials& credentials, const absl::Status& status) {
  const int64_t second = NowMicros() / 1'000'000;
  if (second != second_) {
    NoteRest();
    second_ = second;
    count_ = 0;
  }
  if (++count_ > kEachPerSecond) return;
  audit::v1::Event event;
  event.set_action("auth.refused");
  event.set_outcome("denied");
  event.set_decision("deny");
  if (const auto info = GetErrorInfo(status)) event.set_reason(info->reason);
  const std::string_view peer = credentials.loopback ? "peer:loopback" : "peer:remote";
  event.set_rule(credentials.certificate == nullptr ? std::string(peer)
                                                    : StrCat(peer, " via:mtls"));
  recorder_.Note(std::move(event));
}

}  // namespace metamcp::gateway
