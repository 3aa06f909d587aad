#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/async/async_lock.h"
#include "common/async/sink.h"
#include "gateway/limits/limiter.h"
#include "metamcp/catalog/v1/quota_service.metamcp.h"

namespace metamcp::gateway::limits {

// Settles with the catalog, in the background, what the limiter has spent of shared limits and of
// daily quotas, and fetches what it will need: ten times a second while calls are made, never
// otherwise. A call never waits for it. Thread: the io thread.
class Exchange {
 public:
  struct Options {
    Options() {}
    std::string gateway;  // names this run of the gateway
    // Gateways that are alive, this one included. May be empty: one.
    std::function<size_t()> gateways;
  };
  // `catalog` may be null: nothing is shared, and quotas end with the process. Both must outlive
  // this.
  Exchange(boost::asio::any_io_executor executor, Limiter& limiter,
           catalog::v1::QuotaService* catalog, Options options);

  // Reads what is used up of today's quotas. Errors: the catalog's.
  Awaitable<absl::Status> Load();
  // Works until cancelled. Spawn it once.
  Awaitable<void> Run();
  // One round. Errors: the catalog's; then nothing is lost, and the next round tells it.
  Awaitable<absl::Status> Round();
  // Gives back what was granted and not used. After Run has ended.
  Awaitable<void> Leave();

  // Milliseconds since the last round that worked; -1 before the first.
  int64_t last_ms() const;

 private:
  // What one round tells, in the order of the request.
  struct Told {
    std::vector<BucketPtr> rates, quotas, slots;
  };
  CallContext Context() const;
  void Tell(const BucketPtr& bucket, bool leaving, catalog::v1::ExchangeLimitsRequest& request,
            Told& told);
  void TellRate(const BucketPtr& bucket, bool leaving, catalog::v1::ExchangeLimitsRequest& request,
                Told& told);
  void TellQuota(const BucketPtr& bucket, bool leaving, catalog::v1::ExchangeLimitsRequest& request,
                 Told& told);
  void TellSlots(const BucketPtr& bucket, catalog::v1::ExchangeLimitsRequest& request, Told& told);
  void Apply(const catalog::v1::ExchangeLimitsRequest& request,
             const catalog::v1::ExchangeLimitsResponse& response, const Told& told);
  void TakeBack(const catalog::v1::ExchangeLimitsRequest& request, const Told& told);
  bool Lasting(const Bucket& bucket) const;

  Limiter& limiter_;
  catalog::v1::QuotaService* const catalog_;
  const Options options_;
  Signal active_;
  int64_t last_ok_ns_ = -1;
  bool failing_ = false;
};

}  // namespace metamcp::gateway::limits
