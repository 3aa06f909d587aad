#include "services/ai/ledger.h"

#include "common/base/ids.h"
#include "common/base/status_macros.h"

namespace metamcp::ai {
namespace {

constexpr int64_t kDayUs = 86'400'000'000;
// What was used is stored even where the request's own time is over.
constexpr std::chrono::seconds kStoreTime(5);

}  // namespace

int64_t DayOf(int64_t us) { return us / kDayUs; }

Awaitable<absl::StatusOr<UsageSum>> DbLedger::Today(const CallContext& ctx, UsageKey key) {
  std::function<absl::StatusOr<UsageRow>(db::Database&)> op = [key](db::Database& database) {
    return SqlStore(database).UsageOfDay(key.tenant, DayOf(NowMicros()), key.subject, key.provider);
  };
  auto reading = database_.Run<UsageRow>(ctx, std::move(op));
  METAMCP_CO_ASSIGN_OR_RETURN(const UsageRow row, co_await std::move(reading));
  UsageSum out;
  out.requests = row.requests;
  out.failures = row.failures;
  out.input_tokens = row.input_tokens;
  out.output_tokens = row.output_tokens;
  out.cost_micros = row.cost_micros;
  co_return out;
}

Awaitable<absl::Status> DbLedger::Add(const CallContext& ctx, UsageKey key, UsageSum used) {
  UsageRow row;
  row.tenant = key.tenant;
  row.subject = key.subject;
  row.provider = key.provider;
  row.day = DayOf(NowMicros());
  row.requests = used.requests;
  row.failures = used.failures;
  row.input_tokens = used.input_tokens;
  row.output_tokens = used.output_tokens;
  row.cost_micros = used.cost_micros;
  std::function<absl::Status(db::Database&)> op = [row](db::Database& database) {
    return SqlStore(database).AddUsage(row);
  };
  CallContext own = ctx;
  own.deadline = CallContext::Clock::now() + kStoreTime;
  auto adding = database_.RunStatus(own, std::move(op));
  co_return co_await std::move(adding);
}

}  // namespace metamcp::ai
