#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/async/async_lock.h"
#include "common/db/executor.h"
#include "services/workflow/store/records.h"

namespace metamcp::workflow {

// Commits of many runs go into one transaction each time the database is free, which is what lets
// many runs share one disk flush. A database that is away is asked again until it answers; a commit
// that is handed in happens, whether its caller waits or not. Single-threaded.
class Committer {
 public:
  Committer(boost::asio::any_io_executor executor, db::DbExecutor& database);

  // Returns when it is stored. Errors: ABORTED reason RUN_FENCED; those of the store that do not
  // pass; CANCELLED after Stop.
  Awaitable<absl::Status> Commit(RunCommit commit);

  // The work; spawned once. Ends after Stop, when all that was handed in is stored or cannot be.
  Awaitable<void> Run();
  void Stop();

  // Called after each transaction.
  std::function<void()> on_commit;

 private:
  struct Entry {
    Entry(RunCommit commit_in, boost::asio::any_io_executor executor)
        : commit(std::move(commit_in)), done(executor) {}
    RunCommit commit;
    Signal done;
    bool finished = false;
    absl::Status result;
  };
  using Entries = std::vector<std::shared_ptr<Entry>>;
  Awaitable<void> Store(Entries batch);
  Awaitable<absl::StatusOr<std::vector<absl::Status>>> TryStore(const Entries& batch);

  boost::asio::any_io_executor executor_;
  db::DbExecutor& database_;
  Signal work_;
  Entries pending_;
  bool stopping_ = false;
};

}  // namespace metamcp::workflow
