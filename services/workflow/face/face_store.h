#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "services/workflow/face/access.h"
#include "services/workflow/store/records.h"

namespace metamcp::workflow {

// What is known of a workflow beside its versions.
struct ObjectRow {
  std::string tenant, name_space, name;
  Sharing sharing;
  bool published = false;
  std::string published_version;  // empty: the newest
};

struct PublishedRow {
  ObjectRow object;
  DefinitionRow definition;
};

struct EndedRuns {
  int64_t ended = 0;  // in all
  int64_t completed = 0;
};

// The store of what makes workflows visible to others. Blocking: on database threads only. Errors:
// those of common/db, beside those named.
class FaceStore {
 public:
  explicit FaceStore(db::Database& database) : database_(database) {}
  static absl::Status MigrateBlocking(db::Database& database);

  // What is stored, else the defaults: whoever stored the first version owns it. A workflow that
  // nobody has stored has no owner.
  absl::StatusOr<ObjectRow> GetObject(const std::string& tenant, const std::string& name_space,
                                      const std::string& name);
  absl::Status PutObject(const ObjectRow& row, int64_t now_us);
  // Of all workflows of a tenant that have one stored, by "namespace/name".
  absl::StatusOr<std::vector<ObjectRow>> ListObjects(const std::string& tenant);
  // With the versions that calls run. Those whose version is gone are left out.
  absl::StatusOr<std::vector<PublishedRow>> ListPublished(const std::string& tenant);

  absl::StatusOr<EndedRuns> Figures(const std::string& tenant, const std::string& name_space,
                                    const std::string& name);

 private:
  db::Database& database_;
};

}  // namespace metamcp::workflow
