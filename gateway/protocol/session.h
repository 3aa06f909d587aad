#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/key_ring.h"
#include "common/base/principal.h"
#include "common/mcp/jsonrpc.h"
#include "common/mcp/version.h"
#include "gateway/protocol/event_log.h"
#include "gateway/protocol/outbox.h"
#include "gateway/protocol/subscriptions.h"
#include "metamcp/catalog/v1/directory_service.pb.h"

namespace metamcp::gateway {

// A question that was sent to a legacy client and waits for its answer.
struct PendingAsk {
  explicit PendingAsk(boost::asio::any_io_executor executor)
      : done(std::move(executor), boost::asio::steady_timer::time_point::max()) {}
  boost::asio::steady_timer done;  // cancelled when answered
  bool answered = false;
  std::string result;  // raw
  std::optional<jsonrpc::ErrorObject> error;
};

// A task that a client of 2025-11-25 was told of by this process.
struct LegacyTask {
  std::string id;  // as the client knows it
  bool cancelled = false;
  std::string local;   // raw Task of one that was over at once and only this session knows
  std::string result;  // and what it came to
};

// What was negotiated with one legacy client, and what runs for it in this process.
// Single-threaded.
class LegacySession {
 public:
  LegacySession(boost::asio::any_io_executor executor, size_t outbox_messages_max,
                std::string instance = {})
      : outbox(std::move(executor), outbox_messages_max, 4u << 20), logs(std::move(instance)) {}

  // Sealed into the id; constant after construction.
  std::string id;      // what the client sends; a secret of the client
  std::string handle;  // names the session in lists and as affinity
  std::string virtual_server;
  std::string tenant;
  std::string subject;
  mcp::Revision revision = mcp::kLatestLegacy;
  std::string client_info;          // raw object or empty
  std::string client_capabilities;  // raw object in the shape of 2026-07-28
  std::string transport;            // http, stdio, sse, ws
  // The process that made it: what belongs to no request of it is there. `here`: this one.
  std::string home;
  bool here = true;
  int64_t created_us = 0;

  int64_t last_used_us = 0;
  std::string log_level;                                    // empty until logging/setLevel
  std::map<jsonrpc::Id, std::function<void()>> in_flight;   // cancels a running request
  std::map<std::string, std::shared_ptr<PendingAsk>> asks;  // by our request id
  std::map<std::string, std::unique_ptr<ResourceWatch>> watches;
  std::deque<LegacyTask> tasks;  // those made here
  LegacyTask* FindTask(std::string_view task_id);
  std::shared_ptr<void> interest;
  Outbox outbox;   // for the GET stream: what belongs to no request
  EventLogs logs;  // what may have to be sent again
  int streams = 0;
  int64_t next_ask = 0;
};

// The legacy sessions of this process. Ids are sealed with the key ring and carry what was
// negotiated, so that a session survives a restart and can be served by any replica; running
// streams and questions live in the process that holds them. That a session has ended, and its log
// level, every replica learns from its mark. Single-threaded.
class SessionRegistry {
 public:
  using SessionMark = catalog::v1::SessionMark;
  // Marks that are kept; the oldest sessions' go first.
  static constexpr size_t kMarksMax = 200000;
  // An id is good for a day after it was made, whatever its use; then the client initializes again.
  static constexpr int64_t kIdLifetimeUs = 24LL * 3600 * 1000000;
  struct Options {
    Options() {}
    std::chrono::microseconds idle = std::chrono::minutes(30);
    size_t sessions_max = 20000;
    size_t outbox_messages_max = 256;
    std::string instance;    // names this process; may be empty where it is alone
    bool clustered = false;  // sessions of other processes are theirs
  };
  SessionRegistry(boost::asio::any_io_executor executor, const KeyRing& keys, Options options)
      : executor_(std::move(executor)), keys_(keys), options_(options) {}

  // Seals the members of `session` into an id and registers it. Errors: QUEUE_FULL.
  absl::StatusOr<std::shared_ptr<LegacySession>> Create(const LegacySession& negotiated);

  // The session of an id, for this principal and virtual server; opened anew if this process does
  // not know it. Errors: SESSION_NOT_FOUND (unknown, ended, expired, or another's).
  absl::StatusOr<std::shared_ptr<LegacySession>> Find(std::string_view id,
                                                      std::string_view virtual_server,
                                                      const Principal& principal);

  // Ends a session: running requests are cancelled, streams close, the id is refused from now on.
  // Returns the mark that tells others.
  SessionMark Remove(const std::shared_ptr<LegacySession>& session);
  // What is told of a session by its mark: as it is, or as ended.
  static SessionMark MarkOf(const LegacySession& session, bool ended);
  // Takes what is known of a session of any process: it ends here too, or has another log level.
  void Mark(const SessionMark& mark);
  // By handle. Null where there is none.
  std::shared_ptr<LegacySession> FindHandle(std::string_view handle) const;
  std::vector<std::shared_ptr<LegacySession>> List() const;

  // Sessions of this process that were not used for the idle time and have no open stream; those of
  // other processes are forgotten, and marks that have expired. Call regularly.
  std::vector<std::shared_ptr<LegacySession>> Idle(int64_t now_us);
  void Clear();

  std::function<void(LegacySession&)> on_open;  // called for each session that becomes known here

 private:
  std::shared_ptr<LegacySession> Register(std::shared_ptr<LegacySession> session);
  std::shared_ptr<LegacySession> Make() const;
  void Forget(const LegacySession& session);

  boost::asio::any_io_executor executor_;
  const KeyRing& keys_;
  const Options options_;
  std::map<std::string, std::shared_ptr<LegacySession>, std::less<>> by_id_;
  std::map<std::string, std::shared_ptr<LegacySession>, std::less<>> by_handle_;
  // By handle, which is in the order of their making, until their ids have expired (a day).
  std::map<std::string, SessionMark, std::less<>> marks_;
};

}  // namespace metamcp::gateway
