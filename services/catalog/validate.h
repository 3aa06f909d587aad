#pragma once

#include <string>

#include "absl/status/status.h"
#include "metamcp/catalog/v1/catalog.pb.h"

// Checks of what operators and configuration write. All errors: INVALID_ARGUMENT, reason
// ARGUMENT_INVALID, naming the field and what was expected.
namespace metamcp::catalog {

absl::Status CheckUpstream(const v1::Upstream& upstream);
absl::Status CheckVirtualServer(const v1::VirtualServer& server);
absl::Status CheckSeparator(const std::string& separator);

// Makes `meta.name` the slug of what was given as name or display name; the given text stays as
// display name. Errors: neither is given.
absl::Status NormalizeName(common::v1::ObjectMeta* meta);

}  // namespace metamcp::catalog
