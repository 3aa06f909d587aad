#pragma once

#include <memory>
#include <string>

#include "common/base/principal.h"
#include "services/workflow/store/records.h"

namespace metamcp::workflow {

// Who a run acts for, as it is stored with the run.
std::string PrincipalJson(const Principal& principal);
// Never null; the kind is "run".
std::shared_ptr<const Principal> PrincipalOf(const RunRow& run);

}  // namespace metamcp::workflow
