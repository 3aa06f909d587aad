#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/policy/facts.h"
#include "gateway/routing/call_stage.h"

// What a policy is told of items and calls.
namespace metamcp::gateway {

// "tool", "resource" or "prompt"; templates are resources.
std::string_view KindOf(ItemKind kind);

// An entry of the view, under all its names: exposed, qualified, and those of every upstream that
// may serve it.
policy::Item ItemOf(const ServerView& view, const ExposedEntry& entry);
// What a call is for that names no listed item, or one of many that a template stands for.
policy::Item ItemOf(const StageCall& call);

// The arguments under the names that the upstream knows them by. `held` keeps what had to be made.
// Errors: INVALID_PARAMS.
absl::StatusOr<std::string_view> ArgumentsOf(const StageCall& call, std::string& held);
// The name by which the client introduced itself; empty where it did not.
std::string ClientOf(const CallSpec& spec);

// Whether everything that may serve these routes is there for `who`.
bool MaySeeRoutes(const ServerView& view, std::span<const catalog::v1::Route> routes,
                  const Principal& who);

// Of the items of `view` that our own services share with some only: whose they are.
std::unordered_map<const ExposedEntry*, auth::Ownership> OwnedItems(const ServerView& view);

// As if it were not there.
absl::Status NotThere(const ServerView& view, std::string_view kind, std::string_view name);

}  // namespace metamcp::gateway
