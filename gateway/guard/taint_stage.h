#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/config/config.h"
#include "gateway/routing/call_stage.h"
#include "gateway/routing/consent_cause.h"

namespace metamcp::gateway {

// What a server that is not trusted (mcpServers.NAME.trusted: false) answers in a scope (principal,
// client and virtual server) may tell the model what to do: from then on calls of destructive or
// open-world tools of other servers wait for a person there (taint.mode consent) or are refused
// (refuse). A scope is clean again some time after the last such answer (taint.ttlMs). What other
// gateways saw comes by Learn; what they must hear is what Unsaid and TakeUntold say. Thread: the
// io thread.
class TaintStage final : public CallStage {
 public:
  struct Options {
    Options() {}
    size_t scopes_max = 100'000;      // beyond these every scope counts as tainted
    std::function<int64_t()> now_us;  // since the epoch; empty: the machine's
    // False: what other gateways saw is not known here now; then every scope counts as tainted in
    // which it could be. Empty: there are none.
    std::function<bool()> informed;
  };
  // As other gateways are told.
  struct Mark {
    std::string key;  // digest of the scope
    std::vector<std::string> sources;
    int64_t until_us = 0;
  };
  explicit TaintStage(const config::TaintConfig& config) : TaintStage(config, Options()) {}
  TaintStage(const config::TaintConfig& config, Options options);

  // Takes effect with the next call.
  void SetConfig(const config::TaintConfig& config);
  bool on() const { return on_; }

  // Errors: TAINTED, domain policy.
  absl::Status Before(const StageCall& call) override;
  void After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) override;

  // Why a person must allow a call that passed Before.
  std::optional<ConsentCause::Why> Asks(const StageCall& call) const;
  // Whether a call is about to let a server speak of which other gateways do not know yet.
  bool Unsaid(const StageCall& call) const;
  // Taints the scope of such a call; what to tell of it.
  Mark Begin(const StageCall& call);
  // They know.
  void Told(const Mark& mark);
  // Answers of which they do not know, each once.
  std::vector<Mark> TakeUntold();
  // Could not be told; TakeUntold gives it again.
  void Keep(Mark mark);
  // What another gateway saw.
  void Learn(const Mark& mark);

  size_t scopes() const { return scopes_.size(); }

 private:
  struct Scope {
    int64_t until_us = 0;
    int64_t told_us = 0;            // until when others know it to be tainted
    std::set<std::string> sources;  // slugs
  };
  const UpstreamInfo* FirstUntrusted(const StageCall& call) const;
  // Of the scope that `call` is in, those that are not the called server itself.
  std::vector<std::string> SourcesFor(const StageCall& call) const;
  void Add(const std::string& key, const std::vector<std::string>& sources, int64_t until_us);
  void Sweep();

  const Options options_;
  bool on_ = false;
  bool asks_ = false;
  int64_t ttl_us_ = 0;
  absl::flat_hash_map<std::string, Scope> scopes_;  // by digest
  absl::flat_hash_map<std::string, Mark> untold_;   // by digest
  // Of running calls that wait for a person: the servers that answered.
  absl::flat_hash_map<const CallSpec*, std::vector<std::string>> asked_;
  int64_t overflow_until_us_ = 0;
};

// Whether a tool with this definition may destroy something or reach beyond its server, as its
// annotations say; absent ones have MCP's defaults, which are the cautious ones.
bool IsRisky(const std::string& definition);

}  // namespace metamcp::gateway
