#pragma once

#include <string>
#include <vector>

#include "metamcp/audit/v1/audit_service.pb.h"
#include "services/audit/sql_store.h"

namespace metamcp::audit {

// Records of the newest failures that one answer looks at.
inline constexpr int64_t kFailuresMax = 20'000;

// Groups failed records (newest first) with their opened personal fields by what the request tells
// apart; most frequent first. Pure.
v1::ListFailuresResponse GroupFailures(const v1::ListFailuresRequest& request,
                                       const std::vector<RecordRow>& rows,
                                       const std::vector<std::string>& personals);

}  // namespace metamcp::audit
