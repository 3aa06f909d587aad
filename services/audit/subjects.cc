#include "services/audit/subjects.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::audit {
namespace {

constexpr size_t kKeptMax = 20'000;  // keys of one tenant in memory

std::string LookupContext(const std::string& tenant) { return StrCat("audit.lookup\n", tenant); }
std::string KeyContext(const std::string& tenant, const std::string& id) {
  return StrCat("audit.key\n", tenant, "\n", id);
}
std::string NameContext(const std::string& tenant, const std::string& id) {
  return StrCat("audit.name\n", tenant, "\n", id);
}

absl::Status NoKey(std::string_view what) {
  return MakeError("INTERNAL", "audit",
                   StrCat("no key of the key ring opens ", what,
                          ": put back the key that was removed (services.keysFile)"));
}

}  // namespace

std::string Subjects::NewLookup(const std::string& tenant) const {
  return ring_.Seal(SealPurpose::kVault, RandomBytes(32), LookupContext(tenant));
}

std::string Subjects::RingMark() const {
  return HexEncode(ring_.Mac(SealPurpose::kVault, "audit.ring")).substr(0, 16);
}

absl::StatusOr<std::string> Subjects::LookupOf(const Scope& scope,
                                               const std::string& subject) const {
  const auto key = ring_.Open(SealPurpose::kVault, scope.lookup, LookupContext(scope.tenant));
  if (!key) return NoKey("the lookup key of the audit log");
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  METAMCP_CHECK(HMAC(EVP_sha256(), key->data(), static_cast<int>(key->size()),
                     reinterpret_cast<const unsigned char*>(subject.data()), subject.size(), mac,
                     &size) != nullptr);
  return std::string(reinterpret_cast<const char*>(mac), size);
}

absl::StatusOr<std::string> Subjects::Find(db::Transaction& tx, const Scope& scope,
                                           const std::string& subject) const {
  METAMCP_ASSIGN_OR_RETURN(const std::string lookup, LookupOf(scope, subject));
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT id FROM audit_subjects WHERE tenant = :tenant AND lookup = :lookup",
               {{"tenant", scope.tenant}, {"lookup", db::Blob(lookup)}}));
  if (rows.empty()) return MakeError("NOT_FOUND", "audit", "nothing is recorded of this subject");
  return rows[0].Get<std::string>("id");
}

absl::StatusOr<std::optional<SubjectKey>> Subjects::Open(db::Transaction& tx,
                                                         const std::string& tenant,
                                                         const std::string& id) const {
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT sealed_key FROM audit_subjects WHERE tenant = :tenant AND id = :id",
               {{"tenant", tenant}, {"id", id}}));
  if (rows.empty()) return std::optional<SubjectKey>();
  METAMCP_ASSIGN_OR_RETURN(const std::string sealed, rows[0].Get<std::string>("sealed_key"));
  auto key = ring_.Open(SealPurpose::kVault, sealed, KeyContext(tenant, id));
  if (!key) return NoKey("the key of a subject");
  return std::optional<SubjectKey>(SubjectKey{id, *std::move(key)});
}

absl::StatusOr<std::string> Subjects::Name(db::Transaction& tx, const std::string& tenant,
                                           const std::string& id) const {
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT sealed_name FROM audit_subjects WHERE tenant = :tenant AND id = :id",
               {{"tenant", tenant}, {"id", id}}));
  if (rows.empty()) return std::string();
  METAMCP_ASSIGN_OR_RETURN(const std::string sealed, rows[0].Get<std::string>("sealed_name"));
  return ring_.Open(SealPurpose::kVault, sealed, NameContext(tenant, id)).value_or("");
}

absl::StatusOr<SubjectKey> Subjects::Get(db::Transaction& tx, Scope& scope,
                                         const std::string& subject) {
  if (const auto made = scope.made.find(subject); made != scope.made.end()) return made->second;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Tenant& tenant = tenants_[scope.tenant];
    // Somebody was erased since: whose key that was is not known here, so all are read again.
    if (tenant.epoch != scope.epoch) tenant = Tenant{scope.epoch, {}};
    if (const auto it = tenant.keys.find(subject); it != tenant.keys.end()) return it->second;
  }
  METAMCP_ASSIGN_OR_RETURN(const std::string lookup, LookupOf(scope, subject));
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT id FROM audit_subjects WHERE tenant = :tenant AND lookup = :lookup",
               {{"tenant", scope.tenant}, {"lookup", db::Blob(lookup)}}));
  if (!rows.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string id, rows[0].Get<std::string>("id"));
    METAMCP_ASSIGN_OR_RETURN(const auto key, Open(tx, scope.tenant, id));
    if (!key) return absl::InternalError("a subject without a key");
    scope.made[subject] = *key;
    return *key;
  }
  SubjectKey key{StrCat("s-", HexEncode(RandomBytes(12))), RandomBytes(32)};
  METAMCP_RETURN_IF_ERROR(tx.Upsert(
      "audit_subjects", {{"tenant", scope.tenant}, {"id", key.id}},
      {{"lookup", db::Blob(lookup)},
       {"sealed_name", ring_.Seal(SealPurpose::kVault, subject, NameContext(scope.tenant, key.id))},
       {"sealed_key", ring_.Seal(SealPurpose::kVault, key.key, KeyContext(scope.tenant, key.id))},
       {"ring", RingMark()},
       {"created_us", NowMicros()}}));
  scope.made[subject] = key;
  return key;
}

void Subjects::Keep(const Scope& scope) {
  if (scope.made.empty()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  Tenant& tenant = tenants_[scope.tenant];
  if (tenant.epoch != scope.epoch) return;
  if (tenant.keys.size() > kKeptMax) tenant.keys.clear();
  tenant.keys.insert(scope.made.begin(), scope.made.end());
}

absl::StatusOr<int64_t> Subjects::Reseal(db::Transaction& tx) const {
  const std::string mark = RingMark();
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT tenant, id, sealed_name, sealed_key FROM audit_subjects WHERE ring <> :ring "
               "LIMIT 500",
               {{"ring", mark}}));
  for (const db::Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(const std::string tenant, row.Get<std::string>("tenant"));
    METAMCP_ASSIGN_OR_RETURN(const std::string id, row.Get<std::string>("id"));
    METAMCP_ASSIGN_OR_RETURN(const std::string name, Name(tx, tenant, id));
    METAMCP_ASSIGN_OR_RETURN(const auto key, Open(tx, tenant, id));
    if (!key) continue;
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE audit_subjects SET sealed_name = :name, sealed_key = :key, ring = :ring "
                   "WHERE tenant = :tenant AND id = :id",
                   {{"name", ring_.Seal(SealPurpose::kVault, name, NameContext(tenant, id))},
                    {"key", ring_.Seal(SealPurpose::kVault, key->key, KeyContext(tenant, id))},
                    {"ring", mark},
                    {"tenant", tenant},
                    {"id", id}})
            .status());
  }
  if (static_cast<int64_t>(rows.size()) > 0) return static_cast<int64_t>(rows.size());
  METAMCP_ASSIGN_OR_RETURN(const db::Rows heads,
                           tx.Query("SELECT tenant, lookup FROM audit_heads"));
  for (const db::Row& row : heads) {
    METAMCP_ASSIGN_OR_RETURN(const std::string tenant, row.Get<std::string>("tenant"));
    METAMCP_ASSIGN_OR_RETURN(const std::string sealed, row.Get<std::string>("lookup"));
    const auto key = ring_.Open(SealPurpose::kVault, sealed, LookupContext(tenant));
    if (!key) return NoKey("the lookup key of the audit log");
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE audit_heads SET lookup = :lookup WHERE tenant = :tenant",
                   {{"lookup", ring_.Seal(SealPurpose::kVault, *key, LookupContext(tenant))},
                    {"tenant", tenant}})
            .status());
  }
  return 0;
}

}  // namespace metamcp::audit
