#include "services/connector/parked_calls.h"

#include <algorithm>

#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"

namespace metamcp::connector {
namespace {

constexpr std::chrono::seconds kSweepEvery(5);

absl::Status Invalid(std::string_view why) {
  return MakeError("STATE_INVALID", "connector", StrCat("this requestState ", why));
}

}  // namespace

std::string InputRequests(const std::map<std::string, Question>& questions) {
  json::ObjectWriter requests;
  for (const auto& [key, question] : questions) {
    json::ObjectWriter request;
    request.AddString("method", question.method);
    const auto params = mcp::InputParamsToModern(question.method, question.params);
    request.Add("params", params.ok() ? *params : question.params);
    requests.Add(key, std::move(request).Build());
  }
  return std::move(requests).Build();
}

ParkedCalls::ParkedCalls(boost::asio::any_io_executor executor, const KeyRing& keys,
                         Options options)
    : executor_(executor),
      keys_(keys),
      options_(options),
      instance_(options.instance.empty() ? HexEncode(RandomBytes(6)) : options.instance),
      sweep_(executor) {}

ParkedCalls::~ParkedCalls() { *alive_ = false; }

void ParkedCalls::TakeQuestions(Call& call) {
  ++call.round;
  int number = 0;
  for (Question& question : call.lease.exchange->questions) {
    call.questions.emplace(StrCat("r", call.round, "_", ++number), std::move(question));
  }
  call.lease.exchange->questions.clear();
}

std::string ParkedCalls::Ask(const std::string& id, Call& call) {
  call.phase = Phase::kSuspended;
  call.expiry = Clock::now() + options_.ttl;
  json::ObjectWriter result;
  result.AddString("resultType", "input_required");
  result.Add("inputRequests", InputRequests(call.questions));
  result.AddString(
      "requestState",
      keys_.Seal(SealPurpose::kCall, StrCat(instance_, ".", id, ".", call.round), call.binding));
  return std::move(result).Build();
}

absl::StatusOr<std::string> ParkedCalls::Park(Lease lease, const std::string& upstream_id,
                                              const std::string& binding, const std::string& owner,
                                              const std::string& holder) {
  if (calls_.size() - held_.size() >= options_.calls_max) {
    return MakeError("QUEUE_FULL", "connector", "too many calls wait for answers");
  }
  const auto own = owners_.find(owner);
  if (own != owners_.end() && own->second >= options_.calls_per_owner_max) {
    return MakeError("QUEUE_FULL", "connector",
                     "too many calls of this principal wait for answers");
  }
  ++owners_[owner];
  const std::string id = NewUuidV7();
  auto call = std::make_unique<Call>();
  call->upstream_id = upstream_id;
  call->binding = binding;
  call->owner = owner;
  call->holder = holder;
  call->lease = std::move(lease);
  TakeQuestions(*call);
  std::string result = Ask(id, *call);
  calls_.emplace(id, std::move(call));
  if (!sweeping_) Sweep();
  return result;
}

absl::StatusOr<std::pair<std::string, std::string>> ParkedCalls::Open(
    const std::string& state, const std::string& binding) const {
  const auto opened = keys_.Open(SealPurpose::kCall, state, binding);
  if (!opened) return Invalid("is not of this call, or was altered");
  const std::vector<std::string> parts = absl::StrSplit(*opened, '.');
  if (parts.size() != 3) return Invalid("is not of this call, or was altered");
  if (parts[0] == instance_) return std::make_pair(parts[1], parts[2]);
  return MakeError("CALL_OWNER_LOST", "connector",
                   "the connector that held this call has ended (restart); start it again");
}

absl::Status ParkedCalls::Abandon(const std::string& state, const std::string& binding) {
  const auto opened = Open(state, binding);
  if (!opened.ok()) return opened.status();
  const auto& [id, round] = *opened;
  const auto it = calls_.find(id);
  const bool waits = it != calls_.end() && it->second->phase == Phase::kSuspended;
  if (!waits || round != std::to_string(it->second->round)) {
    return Invalid("belongs to an earlier round, or has expired");
  }
  GiveUp(*it->second);
  Erase(it);
  return absl::OkStatus();
}

bool ParkedCalls::Owns(const std::string& state, const std::string& binding) const {
  return keys_.Open(SealPurpose::kCall, state, binding).has_value();
}

absl::StatusOr<ParkedCalls::Resumed> ParkedCalls::Resume(const std::string& state,
                                                         const std::string& binding,
                                                         const std::string& responses) {
  const auto opened = Open(state, binding);
  if (!opened.ok()) return opened.status();
  const auto& [id, round] = *opened;
  const auto it = calls_.find(id);
  if (it == calls_.end()) return Invalid("has expired; start the call again");
  Call& call = *it->second;
  const std::string digest = Sha256(responses);
  Resumed out;
  out.call_id = id;
  if (call.answered_state == state) {
    if (call.phase == Phase::kDone && call.answered_digest == digest && call.outcome) {
      out.outcome = call.outcome;
      return out;
    }
    return Invalid("was used already");
  }
  if (call.phase != Phase::kSuspended || round != std::to_string(call.round)) {
    return Invalid("belongs to an earlier round");
  }
  const auto answers =
      json::ScanObject(responses.empty() ? std::string_view("{}") : std::string_view(responses));
  if (!answers.ok()) {
    return MakeError("INVALID_PARAMS", "connector", "inputResponses must be an object");
  }
  for (const auto& [key, question] : call.questions) {
    const json::Member* answer = answers->Find(key);
    if (answer != nullptr && !answer->value.is_object()) {
      return MakeError("INVALID_PARAMS", "connector",
                       StrCat("inputResponses.", key, " must be an object"));
    }
  }
  call.answered_state = state;
  call.answered_digest = digest;
  for (auto question = call.questions.begin(); question != call.questions.end();) {
    const json::Member* answer = answers->Find(question->first);
    if (answer == nullptr) {
      ++question;
      continue;
    }
    if (!call.lease.exchange->done) {
      if (const auto refused = RefusedAnswer(answer->value.raw)) {
        call.lease.session->RejectQuestion(question->second, *refused);
      } else {
        call.lease.session->AnswerQuestion(question->second, answer->value.raw);
      }
    }
    question = call.questions.erase(question);
  }
  if (!call.questions.empty() && !call.lease.exchange->done) {
    TakeQuestions(call);
    out.asked_again = Ask(id, call);
    return out;
  }
  call.phase = Phase::kDelivering;
  call.lease.exchange->active_at = Clock::now();
  out.lease = std::move(call.lease);
  call.lease = Lease();
  return out;
}

absl::StatusOr<std::string> ParkedCalls::ParkAgain(const std::string& call_id, Lease lease) {
  const auto it = calls_.find(call_id);
  if (it == calls_.end()) return Invalid("has expired; start the call again");
  it->second->lease = std::move(lease);
  TakeQuestions(*it->second);
  return Ask(call_id, *it->second);
}

void ParkedCalls::Finished(const std::string& call_id, const CallOutcome& outcome) {
  const auto it = calls_.find(call_id);
  if (it == calls_.end()) return;
  Call& call = *it->second;
  Leave(call);
  call.phase = Phase::kDone;
  call.expiry = Clock::now() + options_.hold;
  if (outcome.result.json.size() <= options_.held_bytes_max) call.outcome = outcome;
  held_.push_back(call_id);
  if (held_.size() > options_.held_max) Erase(calls_.find(held_.front()));
}

void ParkedCalls::Dropped(const std::string& call_id) {
  if (const auto it = calls_.find(call_id); it != calls_.end()) Erase(it);
}

void ParkedCalls::Leave(const Call& call) {
  const auto own = owners_.find(call.owner);
  if (own != owners_.end() && --own->second == 0) owners_.erase(own);
}

void ParkedCalls::Erase(Calls::iterator it) {
  if (it->second->phase == Phase::kDone) {
    // Held results expire in the order in which they came.
    held_.erase(std::find(held_.begin(), held_.end(), it->first));
  } else {
    Leave(*it->second);
  }
  calls_.erase(it);
}

void ParkedCalls::GiveUp(Call& call) {
  if (call.lease.session == nullptr) return;
  for (const auto& [key, question] : call.questions) call.lease.session->RefuseQuestion(question);
  call.questions.clear();
  call.lease.session->Cancel(*call.lease.exchange, "nobody answers its questions");
}

template <typename Condition>
void ParkedCalls::DropIf(Condition condition) {
  for (auto it = calls_.begin(); it != calls_.end();) {
    if (condition(*it->second)) {
      GiveUp(*it->second);
      Erase(it++);
    } else {
      ++it;
    }
  }
}

void ParkedCalls::DropUpstream(const std::string& upstream_id) {
  DropIf([&](const Call& call) { return upstream_id.empty() || call.upstream_id == upstream_id; });
}

void ParkedCalls::DropHolder(const std::string& holder) {
  DropIf(
      [&](const Call& call) { return call.holder == holder && call.phase != Phase::kDelivering; });
}

size_t ParkedCalls::Count(const std::string& upstream_id) const {
  size_t count = 0;
  for (const auto& [id, call] : calls_) {
    count += call->upstream_id == upstream_id && call->phase == Phase::kSuspended;
  }
  return count;
}

void ParkedCalls::Sweep() {
  const auto now = Clock::now();
  for (auto it = calls_.begin(); it != calls_.end();) {
    if (it->second->expiry <= now && it->second->phase != Phase::kDelivering) {
      GiveUp(*it->second);
      Erase(it++);
    } else {
      ++it;
    }
  }
  sweeping_ = !calls_.empty();
  if (!sweeping_) return;
  sweep_.expires_after(std::min<Clock::duration>(kSweepEvery, options_.hold));
  auto again = [this, alive = alive_](boost::system::error_code error) {
    if (!error && *alive) Sweep();
  };
  sweep_.async_wait(std::move(again));
}

}  // namespace metamcp::connector
