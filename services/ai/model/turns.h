#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <string>

#include "common/async/call_context.h"
#include "common/async/sink.h"

namespace metamcp::ai {

// So many requests in a minute, of one principal or to one provider.
class Turns {
 public:
  virtual ~Turns() = default;
  // Takes one of `per_minute` (0 or less: any number) of what `key` names; false where none is
  // left.
  virtual Awaitable<bool> Take(const CallContext& ctx, std::string key, int64_t per_minute) = 0;
};

// Those of this process alone. Thread: the io thread.
class LocalTurns final : public Turns {
 public:
  Awaitable<bool> Take(const CallContext& ctx, std::string key, int64_t per_minute) override;
  bool TakeNow(const std::string& key, int64_t per_minute);

 private:
  using Clock = std::chrono::steady_clock;
  std::map<std::string, std::deque<Clock::time_point>> recent_;
};

}  // namespace metamcp::ai
