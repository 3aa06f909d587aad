#include "services/ai/shared_turns.h"

#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::ai {
namespace {

constexpr std::chrono::milliseconds kTime(500);
constexpr int64_t kMinuteNs = 60'000'000'000;

}  // namespace

Awaitable<bool> SharedTurns::Take(const CallContext& ctx, std::string key, int64_t per_minute) {
  if (per_minute <= 0) co_return true;
  catalog::v1::ExchangeLimitsRequest request;
  request.set_gateway(owner_);
  catalog::v1::RateLease& rate = *request.add_rates();
  // Keys of buckets tell nobody's name.
  rate.set_key(StrCat("ai:", Sha256Hex(StrCat(per_minute, "|", key))));
  rate.set_interval_ns(kMinuteNs / per_minute);
  rate.set_burst(per_minute);
  rate.set_want(1);
  const CallContext capped = ctx.Capped(kTime);
  auto exchanging = catalog_.ExchangeLimits(capped, std::move(request));
  const auto response = co_await std::move(exchanging);
  if (response.ok() && response->rates_size() == 1) {
    failing_ = false;
    co_return response->rates(0).granted() > 0;
  }
  if (!failing_) {
    Log(LogLevel::kWarning, "ai.limits_alone",
        {{"error", std::string(response.status().message())}});
  }
  failing_ = true;
  co_return alone_.TakeNow(key, per_minute);
}

}  // namespace metamcp::ai
