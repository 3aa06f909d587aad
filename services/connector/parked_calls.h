#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/key_ring.h"
#include "services/connector/call_codec.h"
#include "services/connector/limiter.h"
#include "services/connector/session.h"

namespace metamcp::connector {

// How a call ended, for a caller that comes back for it.
struct CallOutcome {
  absl::Status status;
  std::optional<pb::UpstreamError> error;
  DecodedResult result;
  bool parked = false;  // waits here for its next round
};

// The questions as the inputRequests of 2026-07-28.
std::string InputRequests(const std::map<std::string, Question>& questions);

// Calls of legacy upstreams that wait for answers: the upstream asked something in the middle of a
// call, the caller got `input_required` with a sealed state, and comes back with a new call. States
// of one process are worthless in another and after `ttl`. Single-threaded.
// Source: MCP 2026-07-28, patterns/mrtr.
class ParkedCalls {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    Options() = default;
    Clock::duration ttl = std::chrono::minutes(10);
    Clock::duration hold = std::chrono::seconds(60);
    size_t calls_max = 10000;           // that wait at once
    size_t calls_per_owner_max = 1000;  // of one principal
    size_t held_max = 1000;             // results of calls that are over
    size_t held_bytes_max = 1u << 20;   // a larger outcome is not kept
    std::string instance;               // names this process in states; random if empty
  };
  // What a parked call keeps alive until it is resumed.
  struct Lease {
    std::shared_ptr<Session> session;
    std::shared_ptr<Exchange> exchange;
    std::shared_ptr<void> instance;
    std::shared_ptr<Limiter::Permit> permit;
  };

  ParkedCalls(boost::asio::any_io_executor executor, const KeyRing& keys, Options options);
  ~ParkedCalls();

  // Takes a call whose exchange has open questions and returns the input_required result.
  // `binding` names who may come back and with what; `owner` is whose share of the room it takes;
  // `holder` the one process that will come back, or nobody in particular. Errors: QUEUE_FULL.
  absl::StatusOr<std::string> Park(Lease lease, const std::string& upstream_id,
                                   const std::string& binding, const std::string& owner,
                                   const std::string& holder);

  // Whether a state was made here for that call, whatever became of it.
  bool Owns(const std::string& state, const std::string& binding) const;

  struct Resumed {
    std::string call_id;
    std::optional<Lease> lease;          // drive it on
    std::optional<CallOutcome> outcome;  // already over: the same answers were sent before
    std::string asked_again;             // input_required result: answers are missing
  };
  // Delivers answers. Errors: STATE_INVALID for a state that is not ours, belongs to someone or
  // something else, expired, or was used; CALL_OWNER_LOST for one of another process;
  // INVALID_PARAMS for malformed answers.
  absl::StatusOr<Resumed> Resume(const std::string& state, const std::string& binding,
                                 const std::string& responses);
  // Cancels the call of a state whose caller will not come back. Errors: STATE_INVALID.
  absl::Status Abandon(const std::string& state, const std::string& binding);
  // Parks a resumed call for its next round.
  absl::StatusOr<std::string> ParkAgain(const std::string& call_id, Lease lease);
  // Keeps the outcome of a resumed call for a caller whose connection broke.
  void Finished(const std::string& call_id, const CallOutcome& outcome);
  // The resumed call was cancelled.
  void Dropped(const std::string& call_id);

  const KeyRing& keys() const { return keys_; }

  // Gives up every call of an upstream (all of them for an empty id).
  void DropUpstream(const std::string& upstream_id);
  // Gives up every call that only `holder` could have taken up again.
  void DropHolder(const std::string& holder);
  size_t Count(const std::string& upstream_id) const;
  const std::string& instance() const { return instance_; }

 private:
  enum class Phase { kSuspended, kDelivering, kDone };
  struct Call {
    std::string upstream_id;
    std::string binding;
    std::string owner;
    std::string holder;
    Lease lease;
    int round = 0;
    Phase phase = Phase::kSuspended;
    std::map<std::string, Question> questions;  // by key
    Clock::time_point expiry;
    std::string answered_state;   // the state that was used last
    std::string answered_digest;  // and the answers it came with
    std::optional<CallOutcome> outcome;
  };
  std::string Ask(const std::string& id, Call& call);
  // The call's id and round, of a state that is ours. Errors: STATE_INVALID; CALL_OWNER_LOST.
  absl::StatusOr<std::pair<std::string, std::string>> Open(const std::string& state,
                                                           const std::string& binding) const;
  void TakeQuestions(Call& call);
  void GiveUp(Call& call);
  using Calls = absl::flat_hash_map<std::string, std::unique_ptr<Call>>;
  // The call waits no more; it may still hold a result.
  void Leave(const Call& call);
  void Erase(Calls::iterator it);
  template <typename Condition>
  void DropIf(Condition condition);
  void Sweep();

  boost::asio::any_io_executor executor_;
  const KeyRing& keys_;
  const Options options_;
  const std::string instance_;
  Calls calls_;
  absl::flat_hash_map<std::string, size_t> owners_;  // calls that are not over
  std::deque<std::string> held_;                     // ids of those that are, oldest first
  boost::asio::steady_timer sweep_;
  bool sweeping_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace metamcp::connector
