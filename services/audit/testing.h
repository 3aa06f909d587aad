#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/audit/export_check.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/db/testing.h"
#include "services/audit/convert.h"
#include "services/audit/log_check.h"
#include "services/audit/sql_store.h"

namespace metamcp::audit {

// A store on each back-end, for the tests of it.
class StoreFixture : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (db_ == nullptr) return;
    const absl::Status migrated = SqlStore::MigrateBlocking(*db_);
    ASSERT_TRUE(migrated.ok()) << migrated;
  }

  static v1::Event MakeEvent(const std::string& subject, const std::string& item) {
    v1::Event event;
    event.set_id(NewUuidV7());
    event.set_time_us(NowMicros());
    event.mutable_principal()->set_subject(subject);
    event.mutable_principal()->set_method("key:" + subject);
    event.set_action("tools/call");
    event.set_item(item);
    event.set_upstream("git");
    event.set_virtual_server("default");
    event.set_provider("connector");
    event.set_outcome("ok");
    event.set_duration_us(1500);
    event.mutable_arguments()->set_shape("{\"path\":\"string\"}");
    event.mutable_arguments()->set_size(42);
    return event;
  }

  int64_t Append(const std::vector<v1::Event>& events, const std::string& tenant = "t") {
    std::vector<const v1::Event*> list;
    for (const v1::Event& event : events) list.push_back(&event);
    const auto stored = store_.Append(*db_, tenant, list);
    EXPECT_TRUE(stored.ok()) << stored.status();
    return stored.value_or(-1);
  }
  void AppendCalls(int count, const std::string& subject = "bob") {
    std::vector<v1::Event> events;
    for (int i = 0; i < count; ++i) events.push_back(MakeEvent(subject, StrCat("git__", i)));
    EXPECT_EQ(Append(events), count);
  }
  // Its note, which an outside sink would have.
  std::string Checkpoint() {
    const auto row = store_.MakeCheckpoint(*db_, "t", key_);
    EXPECT_TRUE(row.ok()) << row.status();
    return row.ok() && *row ? (*row)->note : "";
  }
  std::optional<ChainFault> Verify(const std::vector<std::string>& outside = {}) {
    std::vector<std::pair<std::string, std::string>> notes;
    for (const std::string& note : outside) notes.emplace_back(note, "kept");
    LogCheck check(store_, "t", key_.verify_key(), std::move(notes));
    while (!check.done()) {
      const absl::Status status = check.Step(*db_);
      if (!status.ok()) return ChainFault{-1, std::string(status.message())};
    }
    records_ = check.records();
    return check.fault();
  }
  int64_t FirstBad(const std::vector<std::string>& outside = {}) {
    const auto fault = Verify(outside);
    what_ = fault ? fault->what : "";
    return fault ? fault->seq : 0;
  }
  std::string Export(const std::string& format = "jsonl", bool personal = false, int limit = 3) {
    const auto writer = MakeExportWriter(format);
    std::string out;
    v1::ExportRecordsRequest request;
    request.set_limit(limit);
    request.set_personal(personal);
    do {
      const auto part = ExportPart(store_, *db_, "t", key_.verify_key(), request, **writer);
      EXPECT_TRUE(part.ok()) << part.status();
      if (!part.ok()) return out;
      out += part->lines();
      request.set_from_seq(part->next_seq());
    } while (request.from_seq() > 0);
    return out;
  }
  void Sql(const std::string& sql) {
    const db::TransactOptions options;
    const absl::Status status = db_->Transact(
        options, [&](db::Transaction& tx) -> absl::Status { return tx.Execute(sql).status(); });
    ASSERT_TRUE(status.ok()) << status << " " << sql;
  }

  const KeyRing ring_ = KeyRing::Ephemeral();
  const SigningKey key_ = SigningKey::Generate();
  SqlStore store_{ring_};
  int64_t records_ = 0;
  std::string what_;
};

}  // namespace metamcp::audit
