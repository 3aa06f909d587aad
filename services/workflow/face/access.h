#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/principal.h"

// Who may do what with workflows and runs. Pure.
namespace metamcp::workflow {

// Whose a workflow is, and with whom it is shared.
struct Sharing {
  std::string owner;
  std::string team;
  // private: owner and administrators; team: who is in `team`, everybody where it is empty; public:
  // everybody of the tenant.
  std::string visibility = "team";
};
bool IsVisibility(std::string_view text);

bool IsAdmin(const Principal& who);
// See and run.
bool MaySee(const Principal& who, const Sharing& workflow);
// Store versions, publish, share, remove.
bool MayChange(const Principal& who, const Sharing& workflow);
// See and control a run that `starter` began.
bool MayHandleRun(const Principal& who, std::string_view starter, const Sharing& workflow);

// Whom the approval of a step names. An empty list: who may handle the run.
struct Approvers {
  // user:NAME, role:NAME, team:NAME, owner, starter; a bare name is a user's.
  std::vector<std::string> who;
  bool separate = false;  // not the one who started the run
};
// From what an approval shows, as it is stored; what cannot be read names nobody who is not named.
Approvers ReadApprovers(std::string_view detail);
// Named approvers may decide with any role; unnamed ones need the role operator, unless they
// started the run.
bool MayApprove(const Principal& who, std::string_view starter, const Sharing& workflow,
                const Approvers& approvers);

}  // namespace metamcp::workflow
