#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/connector/session.h"

namespace metamcp::connector {

// Reads an InitializeResult. Errors: UPSTREAM_PROTOCOL, also for a revision that we do not speak.
absl::StatusOr<Negotiated> ReadInitializeResult(std::string_view result);

// Reads a DiscoverResult. Errors: UPSTREAM_PROTOCOL when it is none (no supportedVersions), or has
// no revision in common with us.
absl::StatusOr<Negotiated> ReadDiscoverResult(std::string_view result);

// What an answer to server/discover says about an upstream's era.
enum class EraVerdict { kModern, kLegacy };
EraVerdict JudgeDiscover(const Session::Answer& answer);

// Reads client capabilities in the modern shape (raw object, empty means {}).
Capset ReadCapset(std::string_view raw_capabilities);
// What of it an upstream of that revision may ask for: the rest it does not know.
Capset CapsetFor(Capset capset, mcp::Revision peer);
// All that can be bridged: what the sessions declare that find out what an upstream offers.
Capset GatewayCapset();
// The object that declares a set; the same to legacy and modern upstreams.
std::string CapabilitiesText(const Capset& capset);

}  // namespace metamcp::connector
