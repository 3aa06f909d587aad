#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "services/workflow/definition/definition.h"
#include "services/workflow/engine/caller.h"
#include "services/workflow/jq/jq_worker.h"

namespace metamcp::workflow {

// Everything that can be found wrong with a document before it runs: its form, its expressions, and
// tools that nobody offers.
struct Checked {
  std::unique_ptr<Definition> definition;  // null where there are problems
  std::vector<Problem> problems;
};

Awaitable<absl::StatusOr<Checked>> CheckDocument(const CallContext& ctx, std::string source,
                                                 const Limits& limits, JqWorkers& jq,
                                                 Caller& caller);

}  // namespace metamcp::workflow
