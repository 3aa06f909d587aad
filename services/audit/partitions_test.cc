#include "services/audit/partitions.h"

#include <atomic>
#include <thread>

#include "common/db/migrations.h"
#include "migrations/audit.h"
#include "services/audit/testing.h"

namespace metamcp::audit {
namespace {

// On PostgreSQL alone; `week` 0 is the one that is now.
class PartitionsTest : public StoreFixture {
 protected:
  void SetUp() override {
    if (GetParam() != db::TestBackend::kPostgres) GTEST_SKIP() << "has no partitions";
    StoreFixture::SetUp();
  }
  int64_t TimeIn(int64_t week) const { return (now_ / kPartitionUs + week) * kPartitionUs + 1000; }
  static std::string TableOf(int64_t time_us) {
    return StrCat("audit_records_w", time_us / kPartitionUs);
  }
  void AppendAt(int64_t time_us, int count, const std::string& tenant = "t") {
    std::vector<v1::Event> events;
    for (int i = 0; i < count; ++i) {
      events.push_back(MakeEvent("bob", "then"));
      events.back().set_time_us(time_us + i);
    }
    EXPECT_EQ(Append(events, tenant), count);
  }
  int64_t Count(const std::string& sql) {
    const auto count = db_->Read([&](db::Transaction& tx) -> absl::StatusOr<int64_t> {
      METAMCP_ASSIGN_OR_RETURN(const db::Row row, tx.QueryOne(sql));
      return row.Get<int64_t>("n");
    });
    EXPECT_TRUE(count.ok()) << count.status() << " " << sql;
    return count.value_or(-1);
  }
  int64_t RowsIn(const std::string& table) {
    return Count(StrCat("SELECT COUNT(*) AS n FROM ", table));
  }
  bool IsThere(const std::string& table) {
    return Count(StrCat("SELECT CASE WHEN to_regclass('", table,
                        "') IS NULL THEN 0 ELSE 1 END AS n")) == 1;
  }
  void RetainAll(int64_t before_us, const std::string& tenant = "t") {
    for (int64_t last = 1; last > 0;) {
      const auto step = store_.Retain(*db_, tenant, before_us, 2);
      ASSERT_TRUE(step.ok()) << step.status();
      last = *step;
    }
  }
  // The table as the first release made it.
  void MakeOldTable() {
    for (const char* table : {"audit_records", "audit_heads", "audit_subjects", "audit_checkpoints",
                              "audit_holds", "audit_usage", "schema_migrations", "schema_needs"}) {
      Sql(StrCat("DROP TABLE IF EXISTS ", table));
    }
    const auto migrated = db::MigrateBlocking(*db_, "audit", Migrations());
    ASSERT_TRUE(migrated.ok()) << migrated.status();
  }

  const int64_t now_ = NowMicros();
};
INSTANTIATE_TEST_SUITE_P(Backends, PartitionsTest, db::AllBackends(), db::BackendName);

TEST_P(PartitionsTest, ANewDatabaseHasThisWeekAndTheNextTwo) {
  RecordProperty("req", "M-NFR-003.4");
  for (const int64_t week : {0, 1, 2}) EXPECT_TRUE(IsThere(TableOf(TimeIn(week))));
  AppendCalls(3);
  EXPECT_EQ(RowsIn(TableOf(now_)), 3);
  EXPECT_EQ(KeepPartitions(*db_, now_).value_or(-1), 0) << "not twice";
  EXPECT_EQ(KeepPartitions(*db_, TimeIn(1)).value_or(-1), 1);
  EXPECT_EQ(FirstBad(), 0) << what_;
}

TEST_P(PartitionsTest, AFilledTableIsTakenOverWhileItIsWritten) {
  RecordProperty("req", "M-NFR-003.4");
  MakeOldTable();
  AppendAt(TimeIn(-40), 50);
  AppendCalls(50);
  const std::string note = Checkpoint();
  std::atomic<bool> ends{false};
  std::atomic<int> written{0};
  std::vector<std::thread> writers;
  for (int w = 0; w < 2; ++w) {
    writers.emplace_back([this, w, &ends, &written] {
      const auto own = Open();
      SqlStore store(ring_);
      while (!ends) {
        const v1::Event event = MakeEvent(StrCat("writer", w), "own");
        const auto stored = store.Append(*own, "t", {&event});
        EXPECT_TRUE(stored.ok()) << stored.status();
        ++written;
      }
    });
  }
  while (written < 20) std::this_thread::yield();
  EXPECT_EQ(KeepPartitions(*db_, now_).value_or(-1), 1) << "the week behind what is written now";
  const int then = written;
  while (written < then + 20) std::this_thread::yield();
  ends = true;
  for (std::thread& writer : writers) writer.join();
  EXPECT_TRUE(IsThere("audit_records_before"));
  EXPECT_EQ(RowsIn("audit_records"), 100 + written);
  EXPECT_EQ(RowsIn("audit_records_before"), 100 + written);
  EXPECT_EQ(FirstBad({note}), 0) << what_;
  AppendAt(TimeIn(2), 3);
  EXPECT_EQ(RowsIn(TableOf(TimeIn(2))), 3);
  EXPECT_EQ(FirstBad({note}), 0) << what_;
  // An event that comes again is known in whichever table it is.
  const v1::Event again = MakeEvent("bob", "again");
  EXPECT_EQ(Append({again}), 1);
  EXPECT_EQ(Append({again}), 0);
}

TEST_P(PartitionsTest, WhoCannotHaveTheTableTriesAgain) {
  MakeOldTable();
  AppendCalls(2);
  const auto other = Open();
  const auto reading = other->Read([&](db::Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(tx.Query("SELECT seq FROM audit_records").status());
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_FALSE(KeepPartitions(*db_, now_).ok());
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
    return absl::OkStatus();
  });
  ASSERT_TRUE(reading.ok()) << reading;
  EXPECT_EQ(KeepPartitions(*db_, now_).value_or(-1), 1);
  EXPECT_TRUE(IsThere("audit_records_before"));
  EXPECT_EQ(FirstBad(), 0) << what_;
}

TEST_P(PartitionsTest, WhatIsOlderThanAllWeeksGoesInRowsAndWhatStaysIsProved) {
  RecordProperty("req", "P3-SOC-4");
  std::vector<std::string> notes;
  for (const int64_t week : {-5, -4, -3}) {
    AppendAt(TimeIn(week), 3);
    notes.push_back(Checkpoint());
  }
  AppendCalls(2);
  notes.push_back(Checkpoint());
  RetainAll(TimeIn(-3) - 1000);
  EXPECT_EQ(RowsIn("audit_records"), 11) << "still on the disk";
  RecordFilter filter;
  EXPECT_EQ(store_.Query(*db_, "t", filter)->size(), 5u) << "and seen by nobody";
  EXPECT_EQ(store_.Read(*db_, "t", 1, 100)->front().seq, 7);
  EXPECT_EQ(FirstBad(notes), 0) << what_;
  const auto removed = DropPartitions(*db_, TimeIn(-3) - 1000, 100);
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_EQ(removed->rows, 6);
  EXPECT_EQ(RowsIn("audit_records"), 5);
  EXPECT_EQ(FirstBad(notes), 0) << what_;
}

TEST_P(PartitionsTest, AWeekThatIsOldIsDropped) {
  RecordProperty("req", "P3-SOC-4");
  const int64_t later = TimeIn(10);
  AppendAt(TimeIn(0), 3);
  AppendAt(TimeIn(1), 3);
  AppendAt(TimeIn(1), 2, "other");
  const std::string note = Checkpoint();
  ASSERT_TRUE(store_.MakeCheckpoint(*db_, "other", key_).ok());
  ASSERT_TRUE(KeepPartitions(*db_, later).ok());
  AppendAt(later, 2);
  RetainAll(TimeIn(2));
  // The other tenant's log still has records of the second week.
  auto removed = DropPartitions(*db_, TimeIn(2), 100);
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_EQ(removed->tables, 1);
  EXPECT_EQ(removed->rows, 3) << "of the tenant who keeps nothing of that week";
  EXPECT_FALSE(IsThere(TableOf(TimeIn(0))));
  EXPECT_EQ(RowsIn(TableOf(TimeIn(1))), 2);
  RetainAll(TimeIn(2), "other");
  removed = DropPartitions(*db_, TimeIn(2), 100);
  EXPECT_EQ(removed->tables, 1);
  EXPECT_FALSE(IsThere(TableOf(TimeIn(1))));
  EXPECT_TRUE(IsThere(TableOf(TimeIn(2)))) << "not old yet";
  EXPECT_EQ(FirstBad({note}), 0) << what_;
  EXPECT_EQ(records_, 2);
}

TEST_P(PartitionsTest, AHoldKeepsItsWeek) {
  RecordProperty("req", "P3-SOC-4");
  AppendAt(TimeIn(0), 3);
  const std::string note = Checkpoint();
  HoldRow hold;
  hold.id = "h";
  hold.subject = *store_.Pseudonym(*db_, "t", "bob");
  ASSERT_TRUE(store_.PutHold(*db_, "t", hold).ok());
  RetainAll(TimeIn(5));
  auto removed = DropPartitions(*db_, TimeIn(5), 100);
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_EQ(removed->rows, 0);
  EXPECT_EQ(RowsIn(TableOf(TimeIn(0))), 3);
  EXPECT_EQ(FirstBad({note}), 0) << what_;
  ASSERT_TRUE(store_.DeleteHold(*db_, "t", "h").ok());
  RetainAll(TimeIn(5));
  removed = DropPartitions(*db_, TimeIn(5), 100);
  EXPECT_FALSE(IsThere(TableOf(TimeIn(0))));
  EXPECT_EQ(FirstBad({note}), 0) << what_;
}

TEST_P(PartitionsTest, AnEventThatComesLateIsKept) {
  RecordProperty("req", "M-FR-007.5");
  AppendAt(TimeIn(0), 2);
  const std::string note = Checkpoint();
  ASSERT_TRUE(KeepPartitions(*db_, TimeIn(10)).ok());
  RetainAll(TimeIn(5));
  // A spool that waited for weeks: before the table is dropped, and after.
  AppendAt(TimeIn(0) + 100, 1);
  auto removed = DropPartitions(*db_, TimeIn(5), 100);
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_TRUE(IsThere(TableOf(TimeIn(0))));
  EXPECT_EQ(RowsIn(TableOf(TimeIn(0))), 1);
  EXPECT_FALSE(IsThere(TableOf(TimeIn(1))));
  AppendAt(TimeIn(1), 1);
  EXPECT_EQ(RowsIn("audit_records_rest"), 1);
  EXPECT_EQ(FirstBad({note}), 0) << what_;
  EXPECT_EQ(records_, 2);
}

TEST_P(PartitionsTest, AClockThatIsYearsAheadLosesNothing) {
  AppendAt(TimeIn(500), 2);
  EXPECT_EQ(RowsIn("audit_records_rest"), 2);
  EXPECT_EQ(KeepPartitions(*db_, TimeIn(500)).value_or(-1), 3);
  EXPECT_EQ(RowsIn("audit_records_rest"), 0);
  EXPECT_EQ(RowsIn(TableOf(TimeIn(500))), 2) << "moved to where they belong";
  EXPECT_EQ(FirstBad(), 0) << what_;
}

}  // namespace
}  // namespace metamcp::audit
