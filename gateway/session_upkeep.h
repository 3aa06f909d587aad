#pragma once

#include "common/async/task_group.h"
#include "gateway/protocol/edge_peers.h"
#include "gateway/protocol/session.h"

namespace metamcp::gateway {

// What happens to sessions by itself: idle ones end, and what other gateways did to a session
// becomes known here. Single-threaded.
class SessionUpkeep {
 public:
  // Both must outlive this; `peers` may be null.
  SessionUpkeep(SessionRegistry& sessions, EdgePeers* peers) : sessions_(sessions), peers_(peers) {}

  // Reads what is known of sessions, as far as the directory answers, and goes on in `tasks`, which
  // must have ended before this is destroyed.
  Awaitable<void> Start(TaskGroup& tasks);

 private:
  Awaitable<void> Sweep();
  Awaitable<void> EndIdle();
  Awaitable<void> FollowMarks();
  Awaitable<void> ReadMarks();

  SessionRegistry& sessions_;
  EdgePeers* const peers_;
  bool marks_read_ = true;
};

}  // namespace metamcp::gateway
