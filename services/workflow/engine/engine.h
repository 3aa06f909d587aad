#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/async_lock.h"
#include "common/async/task_group.h"
#include "common/db/executor.h"
#include "services/workflow/engine/caller.h"
#include "services/workflow/engine/committer.h"
#include "services/workflow/engine/consents.h"
#include "services/workflow/engine/run_task.h"
#include "services/workflow/jq/jq_worker.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {

struct EngineOptions {
  EngineOptions() = default;
  std::string owner;  // of leases: one run of this process
  std::chrono::milliseconds lease{8'000};
  std::chrono::milliseconds renew{2'000};
  std::chrono::milliseconds poll{1'000};
  size_t runs_max = 1'000;  // in memory
  std::chrono::milliseconds call_timeout{120'000};
  std::chrono::milliseconds retry_pause{250};  // before the first automatic attempt of a step
  std::chrono::hours retention{0};             // of ended runs; 0: they stay
  int64_t runs_per_principal_max = 0;          // that have not ended; 0: any number
  Limits limits;
};

// Works on runs: claims those that are due by a lease in the database, renews the leases, and gives
// a run up when its lease is lost. Single-threaded. Await Stop before destruction.
class Engine final : public RunHost {
 public:
  Engine(boost::asio::any_io_executor executor, db::DbExecutor& database, JqWorkers& jq,
         Caller& caller, EngineOptions options);
  ~Engine() override;

  void Start();
  Awaitable<void> Stop();

  // Something is due, or others changed a run: look now.
  void LookNow() override;
  // Whether this process works on that run now.
  bool Holds(const std::string& run_id) const { return running_.count(run_id) > 0; }
  // Returns at the next change of any run that this process works on, or after half a second:
  // others may work on the run.
  Awaitable<void> Changed();

  // Stores a new run of a definition. Errors: NOT_FOUND, ARGUMENT_INVALID, RUN_LIMIT.
  struct NewRun {
    std::string tenant = "default";
    std::string name_space, name, version, input, principal, request_key, parent_run, parent_path;
    std::string subject;  // of the principal
    std::string mode;     // run_mode
    std::string origin;   // the run that this one repeats
    bool detached = false;
  };
  Awaitable<absl::StatusOr<RunRow>> StartRun(NewRun run);

  // Answers to steps whose call a person must allow.
  Consents& consents() { return consents_; }

  // Runs that this process carries on now.
  size_t running() const { return runs_.running(); }

  // RunHost.
  Awaitable<absl::StatusOr<std::vector<DecisionRow>>> Decisions(std::string run_id) override;
  Awaitable<absl::StatusOr<std::vector<BusEvent>>> ReadBus(std::string tenant,
                                                           int64_t after) override;
  Awaitable<absl::StatusOr<int64_t>> BusHead(std::string tenant) override;
  Awaitable<absl::StatusOr<RunRow>> StartChild(const RunRow& parent, ChildSpec spec) override;
  Awaitable<absl::StatusOr<RunRow>> GetRun(std::string tenant, std::string id) override;
  Awaitable<absl::StatusOr<std::string>> LoadValue(std::string run_id,
                                                   std::string reference) override;
  void Poke(const std::string& run_id) override;
  void PokeListeners() override;

 private:
  Awaitable<void> ClaimLoop();
  Awaitable<void> RenewLoop();
  Awaitable<void> PruneLoop();
  Awaitable<void> Renew();
  Awaitable<absl::StatusOr<size_t>> Claim();
  static Awaitable<void> Work(Engine* self, RunRow run);
  Awaitable<absl::StatusOr<std::shared_ptr<const Definition>>> Load(const RunRow& run);

  boost::asio::any_io_executor executor_;
  db::DbExecutor& database_;
  JqWorkers& jq_;
  Caller& caller_;
  const EngineOptions options_;
  Committer committer_;
  Consents consents_;
  Signal due_;
  Signal changed_;
  bool look_ = false;
  std::chrono::steady_clock::time_point looked_{};
  bool stopping_ = false;
  // Claimed and not given up: from the claim's answer on. Those that have been read are in
  // running_.
  std::set<std::string> held_;
  std::map<std::string, std::shared_ptr<RunTask>> running_;
  bool claiming_ = false;
  uint64_t claims_begun_ = 0;
  bool doubtful_ = true;  // runs may belong to this process that it does not know
  // Compiled definitions by digest-like key (tenant, namespace, name, version).
  std::map<std::string, std::shared_ptr<const Definition>> definitions_;
  TaskGroup loops_;
  TaskGroup commits_;
  TaskGroup runs_;
};

}  // namespace metamcp::workflow
