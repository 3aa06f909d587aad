#pragma once

#include <string_view>

#include "gateway/routing/call_chain.h"

// -32042 of 2025-11-25: an upstream that wants the user to open URLs before it does what was asked.
// Source: MCP 2025-11-25, client/elicitation "URL Elicitation Required Error".
namespace metamcp::gateway {

inline constexpr int kUrlElicitationRequired = -32042;

// Turns that error into what the client knows: its own revision's error as it is; input_required
// with one question per URL, to be followed by the same call again (then it returns true); else
// -32021 with the links in its text. Takes outcomes with that error only.
bool TranslateUrlDemand(const CallSpec& spec, CallOutcome& outcome);

// Whether every answer of a raw inputResponses object is an acceptance.
bool AllAccepted(std::string_view input_responses);
// What a call comes to whose user would not open the URL.
absl::StatusOr<CallOutcome> NotOpened(std::string_view method);

}  // namespace metamcp::gateway
