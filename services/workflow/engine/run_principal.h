#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/base/principal.h"
#include "services/workflow/store/records.h"

namespace metamcp::workflow {

// Of Principal::actors: a run, followed by its id.
inline constexpr char kRunActor[] = "run:";

// Who a run acts for, as it is stored with the run.
std::string PrincipalJson(const Principal& principal);
// How many runs are between whoever began and that principal.
int RunsAbove(std::string_view principal_json);
// Never null; the kind is "run", and the run itself is the last of the actors.
std::shared_ptr<const Principal> PrincipalOf(const RunRow& run);

}  // namespace metamcp::workflow
