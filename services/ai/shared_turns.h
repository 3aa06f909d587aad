#pragma once

#include <string>

#include "metamcp/catalog/v1/quota_service.metamcp.h"
#include "services/ai/model/turns.h"

namespace metamcp::ai {

// Turns that all processes share, by the buckets in which gateways share their limits: the catalog
// is asked for one token of each request, as a model is slower and dearer than that question. While
// it does not answer, each process counts for itself. Thread: the io thread.
class SharedTurns final : public Turns {
 public:
  // `owner` names this process to the catalog, which must outlive this.
  SharedTurns(catalog::v1::QuotaService& catalog, std::string owner)
      : catalog_(catalog), owner_(std::move(owner)) {}

  Awaitable<bool> Take(const CallContext& ctx, std::string key, int64_t per_minute) override;

 private:
  catalog::v1::QuotaService& catalog_;
  const std::string owner_;
  LocalTurns alone_;
  bool failing_ = false;
};

}  // namespace metamcp::ai
