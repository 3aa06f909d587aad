#pragma once

#include <string>
#include <vector>

#include "common/audit/chain.h"
#include "common/db/database.h"
#include "services/audit/sql_store.h"

namespace metamcp::audit {

// One check of a tenant's whole log, in steps that each take a database thread for some
// milliseconds: records against their hashes and their columns, the head, the checkpoints of the
// database, and those that were kept outside.
//
//   LogCheck check(store, tenant, key, notes_kept_outside);
//   while (!check.done()) METAMCP_RETURN_IF_ERROR(check.Step(database));
class LogCheck {
 public:
  // `outside`: notes with where they were kept; those of other tenants are passed over.
  LogCheck(SqlStore& store, std::string tenant, VerifyKey key,
           std::vector<std::pair<std::string, std::string>> outside);

  absl::Status Step(db::Database& database);
  bool done() const { return done_; }

  // Once it is done.
  const std::optional<ChainFault>& fault() const { return chain_ ? chain_->fault() : early_; }
  int64_t first() const { return head_.base_seq + 1; }
  int64_t records() const { return chain_ ? chain_->records() : 0; }
  int64_t checkpoints() const { return chain_ ? chain_->checkpoints() + chain_->older() : 0; }
  int64_t unproved() const { return chain_ ? chain_->unproved() : 0; }
  int64_t outside() const { return outside_used_; }

 private:
  absl::Status Begin(db::Database& database);
  absl::Status ExpectStored(db::Database& database);
  absl::Status ExpectOutside();

  SqlStore& store_;
  const std::string tenant_;
  const VerifyKey key_;
  const std::vector<std::pair<std::string, std::string>> outside_;
  Head head_;
  std::unique_ptr<ChainVerifier> chain_;
  std::optional<ChainFault> early_;
  int64_t next_ = 0;
  int64_t checkpoint_ = 0;  // the last one that was read
  int64_t outside_used_ = 0;
  bool done_ = false;
};

}  // namespace metamcp::audit
