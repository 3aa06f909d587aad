#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "services/ai/model/provider.h"
#include "services/ai/model/turns.h"

namespace metamcp::ai {

// What was used today, kept across restarts and by all processes.
struct UsageKey {
  std::string tenant;
  std::string subject;   // empty: of everybody
  std::string provider;  // empty: of all
};
struct UsageSum {
  int64_t requests = 0;
  int64_t failures = 0;
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  int64_t cost_micros = 0;
};

class UsageLedger {
 public:
  virtual ~UsageLedger() = default;
  // The sum of the current day (UTC).
  virtual Awaitable<absl::StatusOr<UsageSum>> Today(const CallContext& ctx, UsageKey key) = 0;
  // Adds to today's row of one principal and provider.
  virtual Awaitable<absl::Status> Add(const CallContext& ctx, UsageKey key, UsageSum used) = 0;
};

struct PoolLimits {
  PoolLimits() = default;
  int64_t requests_per_minute = 30;  // of one principal; 0: no limit
  int64_t tokens_per_day = 0;
  int64_t cents_per_day = 0;
  int64_t breaker_failures = 3;
  std::chrono::milliseconds breaker_open{30'000};
};

struct ProviderState {
  std::string name, api, model;
  // ready, open (left alone after failures) or waiting (as the provider asked).
  std::string state;
  std::string last_error;
  int64_t until_ms = 0;  // from now, of open and waiting
};

// The models in their order. Asks the first that may be asked; where it fails, the next. A request
// is never lost by a change of provider: it is sent whole to each. Thread: the io thread.
class ModelPool {
 public:
  using Clock = std::chrono::steady_clock;
  ModelPool(http::HttpClient& http, UsageLedger& ledger, Turns& turns,
            std::vector<ProviderSpec> providers, PoolLimits limits);

  bool empty() const { return providers_.empty(); }
  std::vector<ProviderState> States() const;

  // Errors: AI_NO_PROVIDER, AI_QUOTA, AI_REFUSED, AI_ANSWER_INVALID, AI_PROVIDER_FAILED (of the
  // last that was asked), DEADLINE_EXCEEDED, CANCELLED.
  Awaitable<absl::StatusOr<ModelReply>> Ask(const CallContext& ctx, const ModelRequest& request);

  // Passes a request of Chat Completions on to the first of `names` that answers, and its answer to
  // `out`. Once something was passed on nobody else is asked. Errors: as Ask, ARGUMENT_INVALID, and
  // those of `out`.
  Awaitable<absl::StatusOr<ChatEnd>> Chat(const CallContext& ctx, std::vector<std::string> names,
                                          std::string body, ChatOut& out);

 private:
  struct Slot {
    std::unique_ptr<HttpProvider> provider;
    int failures = 0;  // in a row
    bool asked_to_wait = false;
    Clock::time_point closed_until;
    std::string last_error;
  };
  Awaitable<absl::Status> CheckQuota(const CallContext& ctx);
  Awaitable<bool> MayAsk(const CallContext& ctx, Slot& slot);
  void Note(Slot& slot, const absl::Status& status);
  Awaitable<void> Store(const CallContext& ctx, const Slot& slot, UsageSum used);
  Slot* FindChat(const std::string& name);

  UsageLedger& ledger_;
  Turns& turns_;
  std::vector<std::unique_ptr<Slot>> providers_;
  const PoolLimits limits_;
};

}  // namespace metamcp::ai
