// What somebody does who can write to the database, and what then shows it.
#include "services/audit/testing.h"

namespace metamcp::audit {
namespace {

class AuditTamperTest : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    if (db_ == nullptr) return;
    AppendCalls(4);
    kept_.push_back(Checkpoint());
    AppendCalls(4);
    kept_.push_back(Checkpoint());
    AppendCalls(2);
    ASSERT_EQ(FirstBad(kept_), 0) << what_;
  }

  // Computes hashes, frontier and head anew over what is there now, as somebody does who knows the
  // format and can write everything but has not the signing key.
  void Rehash() {
    const auto rows = store_.Read(*db_, "t", 1, 1000);
    ASSERT_TRUE(rows.ok());
    std::string previous = kChainStart;
    MerkleFrontier tree;
    const db::TransactOptions options;
    const absl::Status status = db_->Transact(options, [&](db::Transaction& tx) -> absl::Status {
      previous = kChainStart;
      tree = MerkleFrontier();
      METAMCP_RETURN_IF_ERROR(tx.Execute("DELETE FROM audit_records WHERE tenant = 't'").status());
      for (RecordRow row : *rows) {
        const size_t at = row.record.find("\"seq\":");
        row.seq = tree.size() + 1;
        row.record.replace(at, row.record.find(',', at) - at, StrCat("\"seq\":", row.seq));
        previous = ChainHash(previous, row.record);
        tree.Append(previous);
        METAMCP_RETURN_IF_ERROR(
            tx.Execute("INSERT INTO audit_records VALUES (:tenant, :seq, :id, :time, :subject, "
                       ":action, :item, :upstream, :virtual, :outcome, :trace, :hash, :record)",
                       {{"tenant", row.tenant},
                        {"seq", row.seq},
                        {"id", row.id},
                        {"time", row.time_us},
                        {"subject", row.subject},
                        {"action", row.action},
                        {"item", row.item},
                        {"upstream", row.upstream},
                        {"virtual", row.virtual_server},
                        {"outcome", row.outcome},
                        {"trace", row.trace},
                        {"hash", db::Blob(previous)},
                        {"record", row.record}})
                .status());
      }
      return tx
          .Execute(
              "UPDATE audit_heads SET seq = :seq, hash = :hash, frontier = :frontier WHERE "
              "tenant = 't'",
              {{"seq", tree.size()},
               {"hash", db::Blob(previous)},
               {"frontier", db::Blob(tree.Encode())}})
          .status();
    });
    ASSERT_TRUE(status.ok()) << status;
  }

  // Those that refuse an event that is stored already.
  void DropEventIndexes() {
    if (GetParam() != db::TestBackend::kPostgres) return Sql("DROP INDEX audit_records_id");
    const auto names = db_->Read([](db::Transaction& tx) {
      return tx.Query(
          "SELECT CAST(indexname AS TEXT) AS name FROM pg_indexes WHERE schemaname = "
          "current_schema() AND indexname ~ '^audit_records.*_id'");
    });
    ASSERT_TRUE(names.ok()) << names.status();
    for (const db::Row& row : *names) Sql(StrCat("DROP INDEX ", *row.Get<std::string>("name")));
  }

  std::vector<std::string> kept_;
};
INSTANTIATE_TEST_SUITE_P(Backends, AuditTamperTest, db::AllBackends(), db::BackendName);

TEST_P(AuditTamperTest, AnEditedRecordShows) {
  RecordProperty("req", "M-FR-007.5");
  Sql("UPDATE audit_records SET record = replace(record, '\"outcome\":\"ok\"', "
      "'\"outcome\":\"denied\"') WHERE seq = 6");
  EXPECT_EQ(FirstBad(), 6) << what_;
}

TEST_P(AuditTamperTest, AnEditedColumnShows) {
  RecordProperty("req", "M-FR-007.5");
  Sql("UPDATE audit_records SET outcome = 'denied' WHERE seq = 3");
  EXPECT_EQ(FirstBad(), 3) << what_;
}

TEST_P(AuditTamperTest, ADeletedRecordShows) {
  RecordProperty("req", "M-FR-007.5");
  Sql("DELETE FROM audit_records WHERE seq = 5");
  EXPECT_EQ(FirstBad(), 5) << what_;
}

TEST_P(AuditTamperTest, ADeletedTailShows) {
  RecordProperty("req", "M-FR-007.5");
  Sql("DELETE FROM audit_records WHERE seq > 7");
  EXPECT_EQ(FirstBad(), 8) << what_;
  // With a head that fits, by the database's own checkpoint; without that, by one that was kept.
  Rehash();
  EXPECT_EQ(FirstBad(), 8) << what_;
  Sql("DELETE FROM audit_checkpoints WHERE size > 4");
  Sql("UPDATE audit_heads SET checkpoint_seq = 4");
  EXPECT_EQ(FirstBad(), 0) << "nothing in the database can show it: " << what_;
  EXPECT_EQ(FirstBad(kept_), 8) << what_;
}

TEST_P(AuditTamperTest, RecordsInAnotherOrderShow) {
  RecordProperty("req", "M-FR-007.5");
  Sql("UPDATE audit_records SET seq = 1000 WHERE seq = 2");
  Sql("UPDATE audit_records SET seq = 2 WHERE seq = 3");
  Sql("UPDATE audit_records SET seq = 3 WHERE seq = 1000");
  EXPECT_EQ(FirstBad(), 2) << what_;
  Rehash();
  EXPECT_EQ(FirstBad(), 1) << what_;  // somewhere in what the first checkpoint covers
}

TEST_P(AuditTamperTest, AnInsertedRecordShows) {
  RecordProperty("req", "M-FR-007.5");
  Sql("UPDATE audit_records SET seq = seq + 1000 WHERE seq > 5");
  Sql("INSERT INTO audit_records SELECT tenant, 6, 'new', time_us, subject, action, item, "
      "upstream, "
      "virtual_server, outcome, trace, hash, replace(replace(record, id, 'new'), '\"seq\":5', "
      "'\"seq\":6') FROM audit_records WHERE seq = 5");
  Sql("UPDATE audit_records SET seq = seq - 999 WHERE seq > 1000");
  EXPECT_EQ(FirstBad(), 6) << what_;
}

TEST_P(AuditTamperTest, AReplayedRecordShows) {
  RecordProperty("req", "M-FR-007.5");
  // Behind the last checkpoint, with hashes that fit: only the event itself tells.
  DropEventIndexes();
  Sql("INSERT INTO audit_records SELECT tenant, 11, id, time_us, subject, action, item, upstream, "
      "virtual_server, outcome, trace, hash, replace(record, '\"seq\":10', '\"seq\":11') FROM "
      "audit_records WHERE seq = 10");
  Rehash();
  EXPECT_EQ(FirstBad(), 11) << what_;
}

TEST_P(AuditTamperTest, ARewrittenLogShows) {
  RecordProperty("req", "M-FR-007.5");
  Sql("UPDATE audit_records SET item = 'x', record = replace(record, '\"item\":\"git__2\"', "
      "'\"item\":\"x\"') WHERE seq = 3");
  Rehash();
  EXPECT_EQ(FirstBad(), 1) << what_;
  Sql("DELETE FROM audit_checkpoints");
  EXPECT_NE(FirstBad(), 0) << "the head still names the last checkpoint";
  Sql("UPDATE audit_heads SET checkpoint_seq = 0");
  EXPECT_EQ(FirstBad(kept_), 1) << what_;
}

TEST_P(AuditTamperTest, AForkShows) {
  RecordProperty("req", "M-FR-007.5");
  // Two copies go on from the same point; the checkpoints of one were kept.
  AppendCalls(2);
  kept_.push_back(Checkpoint());
  Sql("DELETE FROM audit_records WHERE seq > 10");
  Sql("DELETE FROM audit_checkpoints WHERE size > 10");
  Sql("UPDATE audit_heads SET checkpoint_seq = 8");
  Rehash();
  AppendCalls(2);
  EXPECT_EQ(FirstBad(), 0) << what_;
  EXPECT_EQ(FirstBad(kept_), 9) << what_;
  Checkpoint();
  EXPECT_EQ(FirstBad(kept_), 9) << what_;
}

TEST_P(AuditTamperTest, CheckpointsOfAnotherKeyShow) {
  RecordProperty("req", "M-FR-007.5");
  const auto head = store_.GetHead(*db_, "t");
  audit::Checkpoint forged;
  forged.origin = (*head)->origin();
  forged.size = 8;
  forged.root = forged.chain = std::string(32, 'x');
  const std::string note = SignCheckpoint(forged, SigningKey::Generate());
  const db::TransactOptions options;
  ASSERT_TRUE(db_->Transact(options,
                            [&](db::Transaction& tx) -> absl::Status {
                              return tx
                                  .Execute(
                                      "UPDATE audit_checkpoints SET note = :note WHERE size = 8",
                                      {{"note", note}})
                                  .status();
                            })
                  .ok());
  EXPECT_NE(FirstBad(), 0);
}

TEST_P(AuditTamperTest, ALogThatIsGoneShows) {
  RecordProperty("req", "M-FR-007.5");
  for (const char* table : {"audit_records", "audit_heads", "audit_checkpoints"}) {
    Sql(StrCat("DELETE FROM ", table));
  }
  EXPECT_EQ(FirstBad(), 0);
  EXPECT_EQ(FirstBad(kept_), 1) << what_;
  // Begun anew: it has another name than the one whose checkpoints were kept.
  AppendCalls(10);
  EXPECT_NE(FirstBad(kept_), 0);
}

}  // namespace
}  // namespace metamcp::audit
