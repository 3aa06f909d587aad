#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/config/config.h"
#include "gateway/routing/call_stage.h"

namespace metamcp::gateway {

// Asks whether a call that taint would refuse has been agreed to. Must not wait.
class TaintConsent {
 public:
  virtual ~TaintConsent() = default;
  // `sources`: slugs of the servers that are not trusted and answered in this scope. OK lets the
  // call through; an error refuses it in its own words.
  virtual absl::Status Ask(const StageCall& call, const std::vector<std::string>& sources) = 0;
};

// What a server that is not trusted (mcpServers.NAME.trusted: false) has answered in a scope
// (principal, client and virtual server) may have told the model what to do: from then on calls of
// destructive or open-world tools of other servers are refused there, unless TaintConsent lets them
// through. A scope is clean again some time after the last such answer (taint.ttlMs). Known to this
// gateway only. Thread: the io thread.
class TaintStage final : public CallStage {
 public:
  struct Options {
    Options() {}
    size_t scopes_max = 100'000;      // beyond these every scope counts as tainted
    std::function<int64_t()> now_ms;  // steady; empty: the machine's
  };
  explicit TaintStage(const config::TaintConfig& config) : TaintStage(config, Options()) {}
  TaintStage(const config::TaintConfig& config, Options options);

  // Takes effect with the next call.
  void SetConfig(const config::TaintConfig& config);
  // Null: everything is refused. Must outlive the last call.
  void SetConsent(TaintConsent* consent) { consent_ = consent; }

  // Errors: TAINTED, domain policy; those of the consent.
  absl::Status Before(const StageCall& call) override;
  void After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) override;

  size_t scopes() const { return scopes_.size(); }

 private:
  struct Scope {
    int64_t until_ms = 0;
    std::set<std::string> sources;  // slugs
  };
  // Of the scope that `call` is in, those that are not the called server itself.
  std::vector<std::string> SourcesFor(const StageCall& call);
  void Sweep();

  const Options options_;
  bool on_ = false;
  int64_t ttl_ms_ = 0;
  TaintConsent* consent_ = nullptr;
  absl::flat_hash_map<std::string, Scope> scopes_;
  bool overflowed_ = false;
  int64_t overflow_until_ms_ = 0;
};

// Whether a tool with this definition may destroy something or reach beyond its server, as its
// annotations say; absent ones have MCP's defaults, which are the cautious ones.
bool IsRisky(const std::string& definition);

}  // namespace metamcp::gateway
