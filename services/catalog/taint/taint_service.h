#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <list>

#include "common/db/executor.h"
#include "metamcp/catalog/v1/taint_service.metamcp.h"

namespace metamcp::catalog {

// proto/metamcp/catalog/v1/taint_service.proto. Thread: the executor's one thread.
class TaintService final : public v1::TaintService {
 public:
  struct Options {
    Options() {}
    // Other processes mark, too: how often they are looked for. 0: nobody does.
    std::chrono::milliseconds poll{0};
    std::function<int64_t()> now_us;  // since the epoch; empty: the machine's
  };
  // `database` must outlive this.
  TaintService(boost::asio::any_io_executor executor, db::DbExecutor& database, Options options);

  Awaitable<absl::StatusOr<v1::MarkTaintResponse>> MarkTaint(const CallContext& ctx,
                                                             v1::MarkTaintRequest request) override;
  Awaitable<absl::Status> WatchTaint(const CallContext& ctx, v1::WatchTaintRequest request,
                                     Sink<v1::WatchTaintResponse>& sink) override;

 private:
  int64_t Now() const;

  boost::asio::any_io_executor executor_;
  db::DbExecutor& database_;
  const Options options_;
  std::list<boost::asio::steady_timer*> watchers_;
  size_t marks_ = 0;
  int64_t pruned_us_ = 0;
};

}  // namespace metamcp::catalog
