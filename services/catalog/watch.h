#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "common/async/sink.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"
#include "services/catalog/registry.h"

namespace metamcp::catalog {

inline constexpr size_t kWatchChunkBytes = 1 << 20;

// Sends a gateway everything that changed after `revision` (everything, if that is not known any
// more), then each publication, until the caller is cancelled or the sink ends. While the reader is
// slow nothing is queued: what it gets next is what differs by then. Memory held for it is one
// chunk, and references to objects that it is being sent.
// Errors: the sink's; CANCELLED.
Awaitable<absl::Status> WatchCatalog(Registry& registry, int64_t revision,
                                     Sink<pb::WatchCatalogResponse>& sink);

// The same of upstreams with their whole spec, for connectors: first all, then those whose spec,
// labels or enabled changed. What providers report does not come back.
Awaitable<absl::Status> WatchUpstreams(Registry& registry, Sink<pb::WatchUpstreamsResponse>& sink);

}  // namespace metamcp::catalog
