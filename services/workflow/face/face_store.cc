#include "services/workflow/face/face_store.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/migrations.h"
#include "migrations/workflow_face.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

using db::Row;
using db::Rows;
using db::Transaction;

absl::StatusOr<ObjectRow> ReadObject(const Row& row) {
  ObjectRow out;
  METAMCP_ASSIGN_OR_RETURN(out.tenant, row.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(out.name_space, row.Get<std::string>("namespace"));
  METAMCP_ASSIGN_OR_RETURN(out.name, row.Get<std::string>("name"));
  METAMCP_ASSIGN_OR_RETURN(out.sharing.owner, row.Get<std::string>("owner"));
  METAMCP_ASSIGN_OR_RETURN(out.sharing.team, row.Get<std::string>("team"));
  METAMCP_ASSIGN_OR_RETURN(out.sharing.visibility, row.Get<std::string>("visibility"));
  METAMCP_ASSIGN_OR_RETURN(out.published, row.Get<bool>("published"));
  METAMCP_ASSIGN_OR_RETURN(out.published_version, row.Get<std::string>("published_version"));
  return out;
}

}  // namespace

absl::Status FaceStore::MigrateBlocking(db::Database& database) {
  return db::MigrateBlocking(database, "workflow_face", workflow_face::Migrations()).status();
}

absl::StatusOr<ObjectRow> FaceStore::GetObject(const std::string& tenant,
                                               const std::string& name_space,
                                               const std::string& name) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<ObjectRow> {
    const db::Params key = {{"tenant", tenant}, {"namespace", name_space}, {"name", name}};
    METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                             tx.Query("SELECT * FROM workflow_objects WHERE tenant = :tenant AND "
                                      "namespace = :namespace AND name = :name",
                                      key));
    if (!rows.empty()) return ReadObject(rows[0]);
    ObjectRow out;
    out.tenant = tenant;
    out.name_space = name_space;
    out.name = name;
    METAMCP_ASSIGN_OR_RETURN(
        const Rows first,
        tx.Query("SELECT created_by FROM workflow_definitions WHERE tenant = :tenant AND "
                 "namespace = :namespace AND name = :name ORDER BY seq LIMIT 1",
                 key));
    if (!first.empty()) {
      METAMCP_ASSIGN_OR_RETURN(out.sharing.owner, first[0].Get<std::string>("created_by"));
    }
    return out;
  });
}

absl::Status FaceStore::PutObject(const ObjectRow& row, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx.Upsert("workflow_objects",
                     {{"tenant", row.tenant}, {"namespace", row.name_space}, {"name", row.name}},
                     {{"owner", row.sharing.owner},
                      {"team", row.sharing.team},
                      {"visibility", row.sharing.visibility},
                      {"published", row.published},
                      {"published_version", row.published_version},
                      {"changed_us", now_us}});
  });
}

absl::StatusOr<std::vector<ObjectRow>> FaceStore::ListObjects(const std::string& tenant) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<ObjectRow>> {
    METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                             tx.Query("SELECT * FROM workflow_objects WHERE tenant = :tenant "
                                      "ORDER BY namespace, name",
                                      {{"tenant", tenant}}));
    std::vector<ObjectRow> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(ObjectRow one, ReadObject(row));
      out.push_back(std::move(one));
    }
    return out;
  });
}

absl::StatusOr<std::vector<PublishedRow>> FaceStore::ListPublished(const std::string& tenant) {
  METAMCP_ASSIGN_OR_RETURN(std::vector<ObjectRow> objects, ListObjects(tenant));
  std::vector<PublishedRow> out;
  SqlStore definitions(database_);
  for (ObjectRow& object : objects) {
    if (!object.published) continue;
    auto definition =
        definitions.GetDefinition(tenant, object.name_space, object.name, object.published_version);
    if (absl::IsNotFound(definition.status())) continue;
    if (!definition.ok()) return definition.status();
    out.push_back({std::move(object), *std::move(definition)});
  }
  return out;
}

absl::StatusOr<EndedRuns> FaceStore::Figures(const std::string& tenant,
                                             const std::string& name_space,
                                             const std::string& name) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<EndedRuns> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query(
            "SELECT state, COUNT(*) AS n FROM workflow_runs WHERE tenant = :tenant AND "
            "namespace = :namespace AND name = :name AND ended_us > 0 AND mode = '' GROUP BY state",
            {{"tenant", tenant}, {"namespace", name_space}, {"name", name}}));
    EndedRuns out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(const std::string state, row.Get<std::string>("state"));
      METAMCP_ASSIGN_OR_RETURN(const int64_t n, row.Get<int64_t>("n"));
      out.ended += n;
      if (state == run_state::kCompleted) out.completed += n;
    }
    return out;
  });
}

}  // namespace metamcp::workflow
