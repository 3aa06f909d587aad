#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/key_ring.h"
#include "common/mcp/version.h"
#include "gateway/routing/snapshot.h"

namespace metamcp::gateway {

// The results that the gateway answers by itself, as raw JSON objects.

// server/discover (2026-07-28): every capability that we bridge.
std::string DiscoverResult(const ServerView& view);

// initialize of a legacy revision.
std::string InitializeResult(const ServerView& view, mcp::Revision revision);

// tools/list, resources/list, resources/templates/list or prompts/list. `cursor` is empty for the
// first page. Pages follow the order of names that the catalog gives; a cursor names the last entry
// of its page, so that it survives changes of the catalog; it is good for `owner`, the principal,
// only. Errors: CURSOR_INVALID.
absl::StatusOr<std::string> ListResult(const ServerView& view, ItemKind kind,
                                       mcp::Revision revision, std::string_view cursor,
                                       bool has_cursor, size_t page_size, const KeyRing& keys,
                                       std::string_view owner);

// Sets _meta["io.modelcontextprotocol/serverInfo"] of a modern result to the gateway's.
std::string WithServerInfo(const ServerView& view, std::string result);

}  // namespace metamcp::gateway
