#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/key_ring.h"
#include "common/db/database.h"
#include "services/audit/record.h"

namespace metamcp::audit {

// The keys of subjects, sealed by the key ring in audit_subjects, and those that were used lately.
// Thread: database threads. All errors are those of common/db, beside those named.
class Subjects {
 public:
  explicit Subjects(const KeyRing& ring) : ring_(ring) {}

  // A sealed random key for the lookups of a new tenant (audit_heads.lookup).
  std::string NewLookup(const std::string& tenant) const;

  // What one transaction needs: the tenant, its head's lookup and epoch, and keys that it has made
  // itself, which others may use after its commit only.
  struct Scope {
    std::string tenant;
    std::string lookup;
    int64_t epoch = 0;
    std::map<std::string, SubjectKey> made;
  };
  // The key of a subject; made where there is none.
  absl::StatusOr<SubjectKey> Get(db::Transaction& tx, Scope& scope, const std::string& subject);
  // After the commit.
  void Keep(const Scope& scope);

  // Its pseudonym. Errors: NOT_FOUND.
  absl::StatusOr<std::string> Find(db::Transaction& tx, const Scope& scope,
                                   const std::string& subject) const;
  // The key of a pseudonym; nothing where it is destroyed. Errors: INTERNAL if no key of the ring
  // opens it.
  absl::StatusOr<std::optional<SubjectKey>> Open(db::Transaction& tx, const std::string& tenant,
                                                 const std::string& id) const;
  // The name of a pseudonym; empty where it is destroyed.
  absl::StatusOr<std::string> Name(db::Transaction& tx, const std::string& tenant,
                                   const std::string& id) const;

  // Seals again what an older key of the ring has sealed. Returns how many there were.
  absl::StatusOr<int64_t> Reseal(db::Transaction& tx) const;

 private:
  struct Tenant {
    int64_t epoch = 0;
    std::map<std::string, SubjectKey> keys;
  };
  absl::StatusOr<std::string> LookupOf(const Scope& scope, const std::string& subject) const;
  std::string RingMark() const;

  const KeyRing& ring_;
  std::mutex mutex_;
  std::map<std::string, Tenant> tenants_;
};

}  // namespace metamcp::audit
