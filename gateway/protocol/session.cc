#include "gateway/protocol/session.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::gateway {
namespace {

std::string Context(std::string_view tenant, std::string_view subject, std::string_view server) {
  return StrCat("legacy|", tenant, "|", subject, "|", server);
}

absl::Status Gone() {
  return MakeError("SESSION_NOT_FOUND", "gateway", "this session is unknown or has ended");
}

}  // namespace

std::shared_ptr<LegacySession> SessionRegistry::Make() const {
  return std::make_shared<LegacySession>(executor_, options_.outbox_messages_max,
                                         options_.instance);
}

std::shared_ptr<LegacySession> SessionRegistry::Register(std::shared_ptr<LegacySession> session) {
  session->last_used_us = NowMicros();
  by_id_[session->id] = session;
  by_handle_[session->handle] = session;
  if (on_open) on_open(*session);
  return session;
}

absl::StatusOr<std::shared_ptr<LegacySession>> SessionRegistry::Create(
    const LegacySession& negotiated) {
  if (by_id_.size() >= options_.sessions_max) {
    return MakeError("QUEUE_FULL", "gateway", "too many sessions; end some with DELETE");
  }
  auto session = Make();
  session->handle = NewUuidV7();
  session->virtual_server = negotiated.virtual_server;
  session->tenant = negotiated.tenant;
  session->subject = negotiated.subject;
  session->revision = negotiated.revision;
  session->client_info = negotiated.client_info;
  session->client_capabilities = negotiated.client_capabilities;
  session->transport = negotiated.transport;
  session->home = options_.instance;
  session->created_us = NowMicros();
  json::ObjectWriter plain;
  plain.AddString("h", session->handle);
  plain.AddString("r", mcp::RevisionName(session->revision));
  plain.AddString("t", session->transport);
  if (!session->home.empty()) plain.AddString("g", session->home);
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
  auto session = Make();
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
  const auto mark = marks_.find(session->handle);
  if (!revision || expired || (mark != marks_.end() && mark->second.ended())) return Gone();
  if (mark != marks_.end()) session->log_level = mark->second.log_level();
  // A process that is alone takes up what one before it left.
  session->home = view->String("g").value_or("");
  if (session->home.empty() || !options_.clustered) session->home = options_.instance;
  session->here = session->home == options_.instance;
  session->revision = *revision;
  if (by_id_.size() >= options_.sessions_max) {
    return MakeError("QUEUE_FULL", "gateway", "too many sessions; end some with DELETE");
  }
  return Register(std::move(session));
}

SessionRegistry::SessionMark SessionRegistry::MarkOf(const LegacySession& session, bool ended) {
  SessionMark mark;
  mark.set_handle(session.handle);
  mark.set_ended(ended);
  mark.set_log_level(session.log_level);
  mark.set_expires_us(session.created_us + kIdLifetimeUs);
  return mark;
}

SessionRegistry::SessionMark SessionRegistry::Remove(
    const std::shared_ptr<LegacySession>& session) {
  const SessionMark mark = MarkOf(*session, true);
  Forget(*session);
  Mark(mark);
  const auto in_flight = std::move(session->in_flight);
  session->in_flight.clear();
  for (const auto& [id, cancel] : in_flight) cancel();
  session->watches.clear();
  session->interest.reset();
  session->outbox.Close();
  return mark;
}

void SessionRegistry::Mark(const SessionMark& mark) {
  SessionMark& known = marks_[mark.handle()];
  const bool ended = known.ended() || mark.ended();
  std::string level = mark.log_level().empty() ? known.log_level() : mark.log_level();
  known = mark;
  known.set_ended(ended);
  known.set_log_level(level);
  if (known.expires_us() == 0) known.set_expires_us(NowMicros() + kIdLifetimeUs);
  if (marks_.size() > kMarksMax) marks_.erase(marks_.begin());
  const auto session = FindHandle(mark.handle());
  if (session == nullptr) return;
  if (!level.empty()) session->log_level = std::move(level);
  if (ended) Remove(session);
}

std::shared_ptr<LegacySession> SessionRegistry::FindHandle(std::string_view handle) const {
  const auto it = by_handle_.find(handle);
  return it == by_handle_.end() ? nullptr : it->second;
}

void SessionRegistry::Forget(const LegacySession& session) {
  by_handle_.erase(session.handle);
  by_id_.erase(session.id);
}

std::vector<std::shared_ptr<LegacySession>> SessionRegistry::List() const {
  std::vector<std::shared_ptr<LegacySession>> out;
  for (const auto& [id, session] : by_id_) out.push_back(session);
  return out;
}

std::vector<std::shared_ptr<LegacySession>> SessionRegistry::Idle(int64_t now_us) {
  std::vector<std::shared_ptr<LegacySession>> idle;
  for (auto it = by_id_.begin(); it != by_id_.end();) {
    const auto session = (it++)->second;
    const bool used = session->streams > 0 || !session->in_flight.empty() ||
                      now_us - session->last_used_us < options_.idle.count();
    if (used) continue;
    if (session->here) {
      idle.push_back(session);
    } else {
      Forget(*session);
    }
  }
  std::erase_if(marks_, [now_us](const auto& entry) { return entry.second.expires_us() < now_us; });
  return idle;
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
  by_handle_.clear();
}

}  // namespace metamcp::gateway
