#pragma once

#include <memory>
#include <string>

#include "common/auth/authenticator.h"
#include "common/base/principal.h"
#include "common/http/http_server.h"
#include "gateway/audit/recorder.h"

namespace metamcp::gateway {

// Passes one answer of the REST API on when it is recorded. `inner` and `recorder` must outlive it.
class AuditResponder final : public http::HttpResponder {
 public:
  AuditResponder(http::HttpResponder& inner, AuditRecorder& recorder, audit::v1::Event event)
      : inner_(inner), recorder_(recorder), event_(std::move(event)) {}

  Awaitable<absl::Status> Send(http::HttpResponse response) override;
  Awaitable<absl::Status> StartStream(int status, http::HttpHeaders headers) override;
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

  // Records what nobody answered, as when the client went away.
  ~AuditResponder() override;

 private:
  Awaitable<absl::Status> Record(int status);

  http::HttpResponder& inner_;
  AuditRecorder& recorder_;
  audit::v1::Event event_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool recorded_ = false;
};

// Whether a request of the REST API is recorded whatever comes of it: everything that changes
// something, and whatever reads the audit. Calls are recorded by the call chain.
bool IsAudited(const http::HttpRequest& request);

// The event of a request of the REST API. `operation` is the template of its path, empty where
// there is none.
audit::v1::Event MakeAdminEvent(const http::HttpRequest& request, const std::string& operation,
                                const Principal& principal);

// Records credentials that are refused: each of the first in a second, and one record for the rest
// of them, so that whoever tries many fills nothing.
class RefusalAudit {
 public:
  explicit RefusalAudit(AuditRecorder& recorder) : recorder_(recorder) {}
  void OnRefused(const auth::Credentials& credentials, const absl::Status& status);

 private:
  static constexpr int64_t kEachPerSecond = 20;
  void NoteRest();

  AuditRecorder& recorder_;
  int64_t second_ = 0;
  int64_t count_ = 0;
};

}  // namespace metamcp::gateway
