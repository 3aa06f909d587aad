#include "gateway/protocol/session.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::gateway {
namespace {

// An id is good for a day after it was made, whatever its use; then the client initializes again.
constexpr int64_t kIdLifetimeUs = 24LL * 3600 * 1000000;

// Ended sessions that are remembered, so that a client which comes and goes all day costs no
// memory.
constexpr size_t kEndedMax = 100'000;

std::string Context(std::string_view tenant, std::string_view subject, std::string_view server) {
  return StrCat("legacy|", tenant, "|", subject, "|", server);
}

absl::Status Gone() {
  return MakeError("SESSION_NOT_FOUND", "gateway", "this session is unknown or has ended");
}

}  // namespace

std::shared_ptr<LegacySession> SessionRegistry::Register(std::shared_ptr<LegacySession> session) {
  session->last_used_us = NowMicros();
  by_id_[session->id] = session;
  if (on_open) on_open(*session);
  return session;
}

absl::StatusOr<std::shared_ptr<LegacySession>> SessionRegistry::Create(
    const LegacySession& negotiated) {
  if (by_id_.size() >= options_.sessions_max) {
    return MakeError("QUEUE_FULL", "gateway", "too many sessions; end some with DELETE");
  }
  auto session = std::make_shared<LegacySession>(executor_, options_.outbox_messages_max);
  session->handle = NewUuidV7();
  session->virtual_server = negotiated.virtual_server;
  session->tenant = negotiated.tenant;
  session->subject = negotiated.subject;
  session->revision = negotiated.revision;
  session->client_info = negotiated.client_info;
  session->client_capabilities = negotiated.client_capabilities;
  session->transport = negotiated.transport;
  session->created_us = NowMicros();
  json::ObjectWriter plain;
  plain.AddString("h", session->handle);
  plain.AddString("r", mcp::RevisionName(session->revision));
  plain.AddString("t", session->transport);
  plain.AddInt("c", session->created_us);
  if (!session->client_info.empty()) plain.Add("i", session->client_info);
  plain.Add("p", session->client_capabilities.empty() ? "{}" : session->client_capabilities);
  session->id = keys_.Seal(SealPurpose::kSession, std::move(plain).Build(),
                           Context(session->tenant, session->subject, session->virtual_server));
  return Register(std::move(session));
}

absl::StatusOr<std::shared_ptr<LegacySession>> SessionRegistry::Find(
    std::string_view id, std::string_view virtual_server, const Principal& principal) {
  if (const auto it = by_id_.find(id); it != by_id_.end()) {
    const auto& session = it->second;
    if (session->virtual_server != virtual_server || session->subject != principal.subject ||
        session->tenant != principal.tenant) {
      return Gone();
    }
    session->last_used_us = NowMicros();
    return session;
  }
  const auto plain = keys_.Open(SealPurpose::kSession, id,
                                Context(principal.tenant, principal.subject, virtual_server));
  if (!plain) return Gone();
  auto view = json::ScanObject(*plain);
  if (!view.ok()) return Gone();
  auto session = std::make_shared<LegacySession>(executor_, options_.outbox_messages_max);
  session->id = std::string(id);
  session->handle = view->String("h").value_or("");
  session->virtual_server = std::string(virtual_server);
  session->tenant = principal.tenant;
  session->subject = principal.subject;
  session->transport = view->String("t").value_or("");
  session->created_us = json::RawInt64(view->Raw("c")).value_or(0);
  session->client_info = std::string(view->Raw("i"));
  session->client_capabilities = std::string(view->Raw("p"));
  const auto revision = mcp::ParseRevision(view->String("r").value_or(""));
  const bool expired = session->created_us + kIdLifetimeUs < NowMicros();
  if (!revision || expired || ended_.count(session->handle) > 0) return Gone();
  session->revision = *revision;
  if (by_id_.size() >= options_.sessions_max) {
    return MakeError("QUEUE_FULL", "gateway", "too many sessions; end some with DELETE");
  }
  return Register(std::move(session));
}

void SessionRegistry::Remove(const std::shared_ptr<LegacySession>& session) {
  ended_[session->handle] = session->created_us + kIdLifetimeUs;
  // Handles begin with their time: the oldest goes, whose id expires first.
  if (ended_.size() > kEndedMax) ended_.erase(ended_.begin());
  by_id_.erase(session->id);
  const auto in_flight = std::move(session->in_flight);
  session->in_flight.clear();
  for (const auto& [id, cancel] : in_flight) cancel();
  session->watches.clear();
  session->interest.reset();
  session->outbox.Close();
}

bool SessionRegistry::Revoke(std::string_view handle) {
  for (const auto& [id, session] : by_id_) {
    if (session->handle != handle) continue;
    Remove(std::shared_ptr<LegacySession>(session));
    return true;
  }
  return false;
}

std::vector<std::shared_ptr<LegacySession>> SessionRegistry::List() const {
  std::vector<std::shared_ptr<LegacySession>> out;
  for (const auto& [id, session] : by_id_) out.push_back(session);
  return out;
}

void SessionRegistry::Sweep(int64_t now_us) {
  std::vector<std::shared_ptr<LegacySession>> idle;
  for (const auto& [id, session] : by_id_) {
    const bool used = session->streams > 0 || !session->in_flight.empty() ||
                      now_us - session->last_used_us < options_.idle.count();
    if (!used) idle.push_back(session);
  }
  for (const auto& session : idle) Remove(session);
  for (auto it = ended_.begin(); it != ended_.end();) {
    it = it->second < now_us ? ended_.erase(it) : std::next(it);
  }
}

void SessionRegistry::Clear() {
  const auto all = List();
  for (const auto& session : all) {
    const auto in_flight = std::move(session->in_flight);
    session->in_flight.clear();
    for (const auto& [id, cancel] : in_flight) cancel();
    session->watches.clear();
    session->interest.reset();
    session->outbox.Close();
  }
  by_id_.clear();
}

}  // namespace metamcp::gateway
