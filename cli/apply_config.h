#pragma once

#include "common/config/config.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"

namespace metamcp::cli {

// The upstreams and virtual servers of a configuration as the catalog takes them.
catalog::v1::ApplyConfigRequest ToApplyConfig(const config::Config& config);

}  // namespace metamcp::cli
