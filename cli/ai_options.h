#pragma once

#include "common/config/config.h"
#include "services/ai/app.h"

namespace metamcp::cli {

// The settings of the ai service as it takes them: providers in the order of ai.order, else by
// name.
ai::AppOptions ToAiOptions(const config::AiConfig& config);

}  // namespace metamcp::cli
