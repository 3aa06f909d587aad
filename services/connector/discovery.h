#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "metamcp/catalog/v1/catalog.pb.h"
#include "services/connector/session.h"

namespace metamcp::connector {

// One list of an upstream as it is now.
struct DiscoveredList {
  metamcp::catalog::v1::ItemKind kind;
  std::vector<metamcp::catalog::v1::Item> items;
  int64_t ttl_ms = 0;
  std::map<std::string, bool> tasks;  // tools that may run as tasks of 2025-11-25; true: must
  std::vector<std::string> dropped;   // "name: why" of each invalid definition
};

struct DiscoveryLimits {
  std::chrono::milliseconds timeout{30000};  // of one page
  size_t items_max = 20000;
  size_t pages_max = 2000;
};

// The request that lists a kind, and the member of its result.
std::string_view ListMethod(metamcp::catalog::v1::ItemKind kind);
std::string_view ListMember(metamcp::catalog::v1::ItemKind kind);

// Reads every page of one list. Definitions come out in the shape of MCP 2026-07-28. Invalid ones
// are named in `dropped`; those with a name are still in `items`, as the catalog tells operators
// why they are not exposed. Errors: those of Session::Ask; UPSTREAM_PROTOCOL for pages
// that go round in a circle, have too many items, or are no lists.
Awaitable<absl::StatusOr<DiscoveredList>> Discover(std::shared_ptr<Session> session,
                                                   std::string upstream_id,
                                                   metamcp::catalog::v1::ItemKind kind,
                                                   DiscoveryLimits limits);

// Brings one definition into the canonical shape; id and fingerprint are the catalog's to make.
// `problem` in it says what is wrong with it, if anything. Errors: INVALID_PARAMS for one that
// cannot even be named. Pure.
absl::StatusOr<metamcp::catalog::v1::Item> CanonicalItem(metamcp::catalog::v1::ItemKind kind,
                                                         std::string_view upstream_id,
                                                         std::string_view definition);

}  // namespace metamcp::connector
