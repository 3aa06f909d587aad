#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/config/counter_rule.h"
#include "gateway/routing/call_observer.h"

namespace metamcp::gateway::admin {

// What is measured at the time of a scrape.
struct Gauges {
  struct Upstream {
    std::string name;
    std::string state;
    bool enabled = false;
    bool reachable = false;
  };
  // Of one limit (limits.rules): what it refused, by kind.
  struct Limit {
    std::string rule;
    std::string scope;
    std::string kind;
    uint64_t refused = 0;
  };
  std::vector<Upstream> upstreams;
  std::vector<Limit> limits;
  size_t limit_keys = 0;
  // What the detectors found, by detector, place and action.
  struct Finding {
    std::string detector;
    std::string place;
    std::string action;
    uint64_t count = 0;
  };
  std::vector<Finding> findings;
  size_t connections = 0;
  size_t sessions = 0;
  size_t event_streams = 0;
  // Of the audit; nothing where this gateway records nothing.
  struct Audit {
    size_t waiting = 0;         // events in memory
    int64_t spooled_bytes = 0;  // on disk
  };
  std::optional<Audit> audit;
};

// The numbers of the gateway for Prometheus. Label values come from configuration and from the
// error registry; past `series_max` combinations of virtual server, upstream and method further
// ones are counted together as "other". Single-threaded.
class Metrics final : public CallObserver {
 public:
  explicit Metrics(size_t series_max = 2000);
  // Counters beside these: metamcp_user_NAME_total.
  void AddCounters(std::vector<config::CounterRule> rules);
  ~Metrics() override;

  void OnFinished(const FinishedCall& call) override;

  // The exposition in Prometheus' text format 0.0.4.
  std::string Text(const Gauges& gauges) const;

  uint64_t calls() const { return calls_; }
  uint64_t failures() const { return failures_; }

 private:
  struct Series;
  struct Impl;
  Series& Find(const FinishedCall& call);
  void CountUserCounters(const FinishedCall& call);

  const size_t series_max_;
  uint64_t calls_ = 0;
  uint64_t failures_ = 0;
  std::unique_ptr<Impl> impl_;
};

}  // namespace metamcp::gateway::admin
