#include "gateway/session_upkeep.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/base/ids.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway {
namespace {

constexpr std::chrono::seconds kSweep{30};
// How soon this gateway knows what it was not told of a session.
constexpr std::chrono::milliseconds kReadMarks{1500};

}  // namespace

Awaitable<void> SessionUpkeep::Start(TaskGroup& tasks) {
  tasks.Spawn("session-sweep", Sweep());
  if (peers_ == nullptr) co_return;
  co_await ReadMarks();
  // Alone, nobody else writes marks; but those of the process before may come late.
  if (peers_->clustered() || !marks_read_) tasks.Spawn("session-marks", FollowMarks());
}

Awaitable<void> SessionUpkeep::Sweep() {
  for (;;) {
    const bool slept = co_await Sleep(kSweep);
    if (!slept) co_return;
    co_await EndIdle();
  }
}

// A session is idle when no gateway has seen it for long.
Awaitable<void> SessionUpkeep::EndIdle() {
  auto idle = sessions_.Idle(NowMicros());
  if (idle.empty()) co_return;
  if (peers_ != nullptr) {
    std::vector<std::string> handles;
    for (const auto& session : idle) handles.push_back(session->handle);
    auto asking = peers_->LastUsed(std::move(handles));
    const std::map<std::string, int64_t> used = co_await std::move(asking);
    for (const auto& session : idle) {
      const auto elsewhere = used.find(session->handle);
      if (elsewhere == used.end()) continue;
      session->last_used_us = std::max(session->last_used_us, elsewhere->second);
    }
    idle = sessions_.Idle(NowMicros());
  }
  std::vector<SessionRegistry::SessionMark> marks;
  for (const auto& session : idle) marks.push_back(sessions_.Remove(session));
  if (peers_ == nullptr || marks.empty()) co_return;
  auto publishing = peers_->Publish(std::move(marks));
  (void)co_await std::move(publishing);
}

Awaitable<void> SessionUpkeep::FollowMarks() {
  for (;;) {
    const bool slept = co_await Sleep(kReadMarks);
    if (!slept) co_return;
    co_await ReadMarks();
    if (!peers_->clustered() && marks_read_) co_return;
  }
}

Awaitable<void> SessionUpkeep::ReadMarks() {
  auto take = [this](const SessionRegistry::SessionMark& mark) { sessions_.Mark(mark); };
  auto reading = peers_->ReadMarks(std::move(take));
  const absl::Status read = co_await std::move(reading);
  if (read.ok() == marks_read_) co_return;
  marks_read_ = read.ok();
  if (read.ok()) co_return;
  Log(LogLevel::kWarning, "gateway.marks_late", {{"error", std::string(read.message())}});
}

}  // namespace metamcp::gateway
