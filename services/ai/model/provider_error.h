#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/http/http_types.h"
#include "services/ai/model/model.h"

// What goes wrong with providers, in our words.
namespace metamcp::ai {

// An answer that is no success: AI_PROVIDER_FAILED with metadata status, and retryAfterMs where the
// provider says it. Never has the provider's key.
absl::Status ProviderError(const ProviderSpec& spec, int status, const http::HttpHeaders& headers,
                           const std::string& body);
// Errors of the transport as AI_PROVIDER_FAILED; our own and CANCELLED stay.
absl::Status InProvidersName(const ProviderSpec& spec, const absl::Status& status);

// Millionths of the currency of the provider's prices.
int64_t CostOf(const ProviderSpec& spec, const ModelUsage& usage);

}  // namespace metamcp::ai
