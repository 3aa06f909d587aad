#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/catalog/model.h"

namespace metamcp::catalog {

// A create that was done, so that its repetition returns the same object.
struct CreateRequest {
  std::string request_id;
  std::string object_id;
};

// A pin by the id of its item, as it is stored.
struct StoredPin {
  std::string item_id;
  std::string upstream_id;
  std::string original_name;
  std::string fingerprint;
  std::string definition;
  std::string by;
  int64_t at_us = 0;
};

// Everything that one transaction writes.
struct ChangeSet {
  std::vector<UpstreamPtr> put_upstreams;
  std::vector<std::string> remove_upstream_ids;  // with their items and pins
  std::vector<StoredPin> put_pins;
  std::vector<ItemPtr> put_items;
  std::vector<std::string> remove_item_ids;
  std::vector<VirtualServerPtr> put_servers;
  std::vector<std::string> remove_server_ids;
  std::vector<Tombstone> tombstones;  // their revision becomes the transaction's
  std::optional<std::string> separator;
  std::optional<CreateRequest> request;
  // The revision on which this was worked out. If the store has another one, another process has
  // written meanwhile, and nothing is written. Unset: whatever there is.
  std::optional<int64_t> expected;

  bool empty() const;
};

// Everything that a process starts from.
struct StoredCatalog {
  template <typename T>
  struct At {
    T value;
    int64_t revision = 0;
  };
  int64_t revision = 0;
  int64_t floor = 0;  // tombstones of this revision and older are forgotten
  std::string separator = "__";
  std::vector<At<UpstreamPtr>> upstreams;
  std::vector<At<AnalyzedItem>> items;
  std::vector<At<VirtualServerPtr>> servers;
  std::vector<StoredPin> pins;
  std::vector<Tombstone> tombstones;    // oldest first
  std::vector<CreateRequest> requests;  // oldest first
};

// Where the catalog is kept. Synchronous: called on database threads only. Errors are those of the
// database facade (common/db/database.h).
class CatalogStore {
 public:
  virtual ~CatalogStore() = default;

  virtual absl::StatusOr<StoredCatalog> Load(std::string_view tenant) = 0;

  // The newest revision, 0 before the first write.
  virtual absl::StatusOr<int64_t> Head(std::string_view tenant) = 0;

  // Writes all of `changes` or nothing, with catalog_head incremented in the same transaction;
  // returns the new revision. Errors: ABORTED ETAG_MISMATCH where `expected` does not hold.
  virtual absl::StatusOr<int64_t> Apply(std::string_view tenant, const ChangeSet& changes) = 0;
};

}  // namespace metamcp::catalog
