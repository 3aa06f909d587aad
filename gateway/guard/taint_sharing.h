#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <optional>
#include <vector>

#include "common/async/async_lock.h"
#include "gateway/guard/taint_stage.h"
#include "metamcp/catalog/v1/taint_service.metamcp.h"

namespace metamcp::gateway {

// Taint of one gateway, and how it comes to the others: before a server that is not trusted is
// called for the first time in a scope, that is stored and the others have heard of it; later
// answers follow in the background. Calls of trusted servers never wait. Thread: the io thread.
class TaintGuard final : public ConsentCause {
 public:
  struct Options {
    Options() {}
    catalog::v1::TaintService* service = nullptr;  // null: nothing is kept or shared
    bool shared = false;                           // other gateways take part
  };
  TaintGuard(boost::asio::any_io_executor executor, const config::TaintConfig& config,
             Options options);

  CallStage& stage() { return stage_; }
  void SetConfig(const config::TaintConfig& config);
  // Of each new snapshot: while all servers are trusted nobody is followed.
  void OnSnapshot(const Snapshot& snapshot);

  // Follows the others, and tells them, until cancelled. Spawn each once.
  Awaitable<void> Follow();
  Awaitable<void> Report();

  std::optional<Why> Asks(const StageCall& call) const override { return stage_.Asks(call); }
  bool Unsaid(const StageCall& call) const override;
  Awaitable<void> Say(const StageCall& call) override;

 private:
  class Learner;
  bool informed() const;
  Awaitable<bool> Tell(std::vector<TaintStage::Mark> marks, std::chrono::milliseconds limit);

  bool needed() const { return untrusted_ && stage_.on(); }

  const Options options_;
  TaintStage stage_;
  Signal wanted_;
  bool untrusted_ = false;  // some server is
  // When the service was last heard; none: not yet.
  std::optional<std::chrono::steady_clock::time_point> heard_;
};

}  // namespace metamcp::gateway
