#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "services/ai/model/provider.h"

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
  int64_t requests_per_minute = 30;  // of one principal, in this process; 0: no limit
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
  ModelPool(http::HttpClient& http, UsageLedger& ledger, std::vector<ProviderSpec> providers,
            PoolLimits limits);

  bool empty() const { return providers_.empty(); }
  std::vector<ProviderState> States() const;

  // Errors: AI_NO_PROVIDER, AI_QUOTA, AI_REFUSED, AI_ANSWER_INVALID, AI_PROVIDER_FAILED (of the
  // last that was asked), DEADLINE_EXCEEDED, CANCELLED.
  Awaitable<absl::StatusOr<ModelReply>> Ask(const CallContext& ctx, const ModelRequest& request);

 private:
  struct Slot {
    std::unique_ptr<HttpProvider> provider;
    int failures = 0;  // in a row
    bool asked_to_wait = false;
    Clock::time_point closed_until;
    std::string last_error;
    std::deque<Clock::time_point> recent;
  };
  static bool TakeTurn(std::deque<Clock::time_point>& recent, int64_t per_minute);
  Awaitable<absl::Status> CheckQuota(const CallContext& ctx);
  Awaitable<bool> MayAsk(const CallContext& ctx, Slot& slot);
  void Note(Slot& slot, const absl::Status& status);

  UsageLedger& ledger_;
  std::vector<std::unique_ptr<Slot>> providers_;
  const PoolLimits limits_;
  std::map<std::string, std::deque<Clock::time_point>> recent_;  // by principal
};

}  // namespace metamcp::ai
