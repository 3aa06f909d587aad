#include "services/audit/log_check.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::audit {
namespace {

constexpr int64_t kRecordsPerStep = 500;
constexpr int64_t kCheckpointsPerStep = 5000;

}  // namespace

LogCheck::LogCheck(SqlStore& store, std::string tenant, VerifyKey key,
                   std::vector<std::pair<std::string, std::string>> outside)
    : store_(store),
      tenant_(std::move(tenant)),
      key_(std::move(key)),
      outside_(std::move(outside)) {}

absl::Status LogCheck::Begin(db::Database& database) {
  auto head = store_.GetHead(database, tenant_);
  if (!head.ok() && absl::IsInternal(head.status())) {
    early_ = ChainFault{1, std::string(head.status().message())};
    done_ = true;
    return absl::OkStatus();
  }
  METAMCP_RETURN_IF_ERROR(head.status());
  if (!*head) {
    // Checkpoints that were kept of a log that is not there any more.
    for (const auto& [note, source] : outside_) {
      const auto kept = OpenCheckpoint(note, key_);
      const std::string suffix = MakeOrigin("", tenant_).substr(MakeOrigin("", "").size() - 1);
      if (!kept.ok() || kept->origin.size() < suffix.size() ||
          kept->origin.substr(kept->origin.size() - suffix.size()) != suffix) {
        continue;
      }
      ++outside_used_;
      early_ = ChainFault{1, StrCat("the log is gone, but ", source, " has a checkpoint of ",
                                    kept->size, " records")};
    }
    done_ = true;
    return absl::OkStatus();
  }
  head_ = **std::move(head);
  next_ = head_.base_seq + 1;
  ChainStart start;
  start.previous = head_.base_hash;
  start.removed = head_.base_frontier;
  chain_ = std::make_unique<ChainVerifier>(tenant_, head_.origin(), std::move(start));
  if (head_.base_seq == 0 && head_.base_hash != kChainStart) {
    chain_->Fail(1, "the log's head names another start of the chain");
  }
  METAMCP_RETURN_IF_ERROR(ExpectOutside());
  return ExpectStored(database);
}

absl::Status LogCheck::ExpectOutside() {
  for (const auto& [note, source] : outside_) {
    const auto kept = OpenCheckpoint(note, key_);
    if (!kept.ok()) {
      chain_->Fail(next_, StrCat(source, ": ", Sv(kept.status().message())));
      continue;
    }
    const std::string suffix = head_.origin().substr(head_.origin().rfind('/'));
    const bool ours = kept->origin.size() > suffix.size() &&
                      kept->origin.substr(kept->origin.size() - suffix.size()) == suffix;
    if (!ours) continue;
    ++outside_used_;
    chain_->Expect(*kept, source);
  }
  return absl::OkStatus();
}

absl::Status LogCheck::ExpectStored(db::Database& database) {
  for (;;) {
    METAMCP_ASSIGN_OR_RETURN(
        const std::vector<CheckpointRow> rows,
        store_.Checkpoints(database, tenant_, checkpoint_, kCheckpointsPerStep));
    for (const CheckpointRow& row : rows) {
      const auto stored = OpenCheckpoint(row.note, key_);
      if (!stored.ok() || stored->size != row.size) {
        chain_->Fail(std::max(next_, checkpoint_ + 1),
                     StrCat("the database's checkpoint of ", row.size, " records: ",
                            stored.ok() ? "it says another size" : Sv(stored.status().message())));
        return absl::OkStatus();
      }
      if (stored->size <= head_.seq) chain_->Expect(*stored, "the database");
      checkpoint_ = row.size;
    }
    if (static_cast<int64_t>(rows.size()) < kCheckpointsPerStep) break;
  }
  if (checkpoint_ > head_.seq) {
    // Written after the head that this check began with, or the end was cut off.
    METAMCP_ASSIGN_OR_RETURN(const std::optional<Head> now, store_.GetHead(database, tenant_));
    if (!now || now->seq < checkpoint_) {
      chain_->Fail(head_.seq + 1, StrCat("the log ends with record ", head_.seq,
                                         ", but the database has a checkpoint of ", checkpoint_,
                                         ": the end is missing"));
    }
  }
  if (checkpoint_ < head_.checkpoint_seq) {
    chain_->Fail(checkpoint_ + 1, StrCat("the checkpoint of ", head_.checkpoint_seq,
                                         " records is missing in the database"));
  }
  if (head_.base_seq > 0 && chain_->older() == 0 && checkpoint_ == 0) {
    chain_->Fail(1, "no checkpoint proves what retention has removed");
  }
  return absl::OkStatus();
}

absl::Status LogCheck::Step(db::Database& database) {
  if (done_) return absl::OkStatus();
  if (chain_ == nullptr) return Begin(database);
  METAMCP_ASSIGN_OR_RETURN(const std::vector<RecordRow> rows,
                           store_.Read(database, tenant_, next_, kRecordsPerStep));
  bool fine = !chain_->fault();
  for (const RecordRow& row : rows) {
    // What came after the head was read is looked at next time.
    if (!fine || row.seq > head_.seq) break;
    next_ = row.seq + 1;
    fine = chain_->Add(row.seq, row.record, row.hash);
    if (!fine) break;
    const std::string difference = DifferenceOf(row);
    if (!difference.empty()) fine = chain_->Fail(row.seq, difference);
  }
  const bool end = static_cast<int64_t>(rows.size()) < kRecordsPerStep || next_ > head_.seq;
  if (!fine || end) {
    if (fine) chain_->Finish(head_.seq, head_.hash);
    done_ = true;
  }
  return absl::OkStatus();
}

}  // namespace metamcp::audit
