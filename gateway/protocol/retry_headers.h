#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {

using AddHeader = std::function<void(std::string_view name, const std::string& value)>;

// What an answer that says 429 or 503 tells its client: Retry-After in whole seconds, and of a
// limit X-RateLimit-Limit, -Remaining and -Reset (seconds until it is whole again). A status that
// names no time gets one second.
void AddRetryHeaders(const absl::Status& status, int http, const AddHeader& add);

// Whether `status` is a limit of ours that is reached.
bool IsLimit(const absl::Status& status);

// The same of a call that passed; nothing where no limit has a rate.
void AddAllowanceHeaders(const Allowance& allowance, const AddHeader& add);

}  // namespace metamcp::gateway
