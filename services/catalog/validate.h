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

// Answers show "***" instead of secrets. Puts back what `stored` has where `wanted` has that mask,
// so that what was read can be written. Errors: a mask for something that is not stored.
absl::Status Unmask(const v1::UpstreamSpec& stored, v1::UpstreamSpec* wanted);

// Makes `meta.name` the slug of what was given as name or display name; the given text stays as
// display name. Errors: neither is given.
absl::Status NormalizeName(common::v1::ObjectMeta* meta);

}  // namespace metamcp::catalog
