#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/cluster/members.h"
#include "metamcp/catalog/v1/directory_service.metamcp.h"

namespace metamcp::connector {

// Which upstreams this connector may run where there are several: a lease in the directory for
// each, as long as the process keeps its own. Rendezvous hashing says who should ask for one that
// is free, so that one connector more or less moves few. While the directory cannot be asked,
// everybody goes on with what it has: nobody else can take it meanwhile. Single-threaded.
class Leases {
 public:
  // `members` and `directory` must outlive this; either may be null: then this connector is alone.
  Leases(cluster::Members* members, metamcp::catalog::v1::DirectoryService* directory)
      : members_(members), directory_(directory) {}

  bool alone() const {
    return members_ == nullptr || directory_ == nullptr || !members_->clustered();
  }

  struct Wishes {
    std::vector<std::string> desired;  // ids that somebody should run
    std::set<std::string> running;     // of them, those that run here
    std::set<std::string> busy;        // of those, the ones that must not move now
    std::vector<std::string> ended;    // given up and ended here
    bool leaving = false;              // this connector wants to be rid of all
  };
  struct Verdict {
    std::vector<std::string> start;  // ours now
    std::vector<std::string> stop;   // somebody else's
    std::vector<std::string> move;   // end it, then name it in `ended`
  };
  // Asks the directory. Errors: NOT_FOUND while this process has no lease; the directory's. A
  // caller that is refused names the same `ended` again.
  Awaitable<absl::StatusOr<Verdict>> Ask(Wishes wishes);

  // Instance that runs an upstream as last heard; empty if nobody does.
  std::string OwnerOf(const std::string& id) const;

 private:
  cluster::Members* const members_;
  metamcp::catalog::v1::DirectoryService* const directory_;
  std::map<std::string, std::string> owners_;  // by upstream id
};

}  // namespace metamcp::connector
