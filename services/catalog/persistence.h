#pragma once

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "services/catalog/store.h"

namespace metamcp::catalog {

// The store as the registry sees it: the same operations, awaited. The caller does not cancel
// them. An error other than INVALID_ARGUMENT, ALREADY_EXISTS, RESOURCE_EXHAUSTED and ABORTED leaves
// open whether Apply took effect.
class Persistence {
 public:
  virtual ~Persistence() = default;
  virtual Awaitable<absl::StatusOr<StoredCatalog>> Load() = 0;
  virtual Awaitable<absl::StatusOr<int64_t>> Head() = 0;
  virtual Awaitable<absl::StatusOr<int64_t>> Apply(ChangeSet changes) = 0;
};

}  // namespace metamcp::catalog
