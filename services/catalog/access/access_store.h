#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "metamcp/access/v1/access_service.pb.h"

namespace metamcp::catalog {

// A key with what proves its secret.
struct StoredKey {
  access::v1::Key key;
  access::v1::SecretMac mac;
  access::v1::SecretMac old;  // until_us 0: none
};

// All SQL of who may come in (migrations/0003). Short-lived: made for one operation on a database
// thread. Each change moves the revision on. Errors: those of the database facade.
class AccessStore {
 public:
  AccessStore(db::Database& database, std::string_view tenant)
      : database_(database), tenant_(tenant) {}

  absl::StatusOr<int64_t> Revision();
  // What gateways hold: keys that are in force at `now_us`, the disabled, the teams.
  absl::StatusOr<access::v1::WatchAccessResponse> Snapshot(int64_t now_us);

  // ALREADY_EXISTS where a key in force at `now_us` has the name.
  absl::Status AddKey(const StoredKey& key, int64_t now_us);
  // Newest first; those that are revoked or have ended only with `all`.
  absl::StatusOr<std::vector<access::v1::Key>> Keys(bool all, int64_t now_us);
  // Gives a key in force another secret. NOT_FOUND.
  absl::StatusOr<access::v1::Key> Rotate(const std::string& id, const std::string& prefix,
                                         const access::v1::SecretMac& mac, int64_t old_until_us,
                                         int64_t now_us);
  // NOT_FOUND.
  absl::StatusOr<access::v1::Key> Revoke(const std::string& id, int64_t now_us);

  absl::StatusOr<std::vector<access::v1::User>> Users();
  absl::StatusOr<access::v1::User> SetUser(const std::string& subject, bool disabled,
                                           int64_t now_us);

  absl::StatusOr<std::vector<access::v1::Team>> Teams();
  absl::StatusOr<access::v1::Team> AddTeam(const std::string& name, int64_t now_us);
  absl::Status RemoveTeam(const std::string& name);
  absl::StatusOr<access::v1::Team> SetMember(const std::string& name, const std::string& subject,
                                             bool absent);

  // Moves no revision on, except for a key whose secret is now known under another key of the ring.
  absl::Status Report(const access::v1::ReportUseRequest& seen);

 private:
  db::Params With(db::Params params) const;
  absl::Status Bump(db::Transaction& tx);
  absl::StatusOr<StoredKey> KeyInForce(db::Transaction& tx, const std::string& id, int64_t now_us);
  absl::Status Put(db::Transaction& tx, const StoredKey& key);
  absl::StatusOr<std::vector<access::v1::Team>> ReadTeams(db::Transaction& tx);
  absl::StatusOr<access::v1::Team> ReadTeam(db::Transaction& tx, const std::string& name);

  db::Database& database_;
  const std::string tenant_;
};

}  // namespace metamcp::catalog
