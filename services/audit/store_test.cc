#include <thread>

#include "common/base/error.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "services/audit/testing.h"

namespace metamcp::audit {
namespace {

class AuditStoreTest : public StoreFixture {};
INSTANTIATE_TEST_SUITE_P(Backends, AuditStoreTest, db::AllBackends(), db::BackendName);

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::optional<ChainFault> CheckExport(const std::string& text, const VerifyKey& key) {
  ExportCheckOptions options;
  options.key = key;
  ExportChecker check(std::move(options));
  for (const std::string& line : Lines(text)) {
    const absl::Status status = check.Line(line);
    EXPECT_TRUE(status.ok()) << status;
  }
  EXPECT_TRUE(check.Finish().ok());
  EXPECT_TRUE(check.complete() || check.fault());
  return check.fault();
}

TEST_P(AuditStoreTest, RecordsAreCanonicalAndNameNobody) {
  RecordProperty("req", "M-FR-007.5");
  v1::Event event = MakeEvent("bob@example.com", "git__status");
  event.mutable_principal()->set_client("Agent \xF0\x9F\x8E\x89 1.0");
  event.mutable_principal()->add_roles("viewer");
  event.set_target("file:///home/bob/secret\n");
  event.mutable_arguments()->set_payload("{\"q\":\"bob@example.com\"}");
  EXPECT_EQ(Append({event}), 1);
  RecordFilter filter;
  const auto rows = store_.Query(*db_, "t", filter);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 1u);
  const std::string& record = (*rows)[0].record;
  EXPECT_EQ(json::CanonicalJson(record).value_or(""), record);
  EXPECT_EQ(record.find("bob"), std::string::npos) << record;
  EXPECT_EQ(record.find("Agent"), std::string::npos);
  const auto personal = store_.OpenPersonals(*db_, "t", *rows);
  ASSERT_TRUE(personal.ok()) << personal.status();
  const auto view = json::ScanObject((*personal)[0]);
  ASSERT_TRUE(view.ok()) << (*personal)[0];
  EXPECT_EQ(view->String("name"), "bob@example.com");
  EXPECT_EQ(view->String("target"), "file:///home/bob/secret\n");
  EXPECT_EQ(view->String("payload"), "{\"q\":\"bob@example.com\"}");
  EXPECT_EQ(FirstBad(), 0) << what_;
}

TEST_P(AuditStoreTest, AnEventIsStoredOnce) {
  RecordProperty("req", "M-FR-007.5");
  const v1::Event one = MakeEvent("bob", "a");
  const v1::Event two = MakeEvent("bob", "b");
  EXPECT_EQ(Append({one, one}), 1);
  EXPECT_EQ(Append({one, two}), 1);
  EXPECT_EQ(Append({two, one}), 0);
  EXPECT_EQ(FirstBad(), 0) << what_;
  EXPECT_EQ(records_, 2);
}

TEST_P(AuditStoreTest, TenantsHaveLogsOfTheirOwn) {
  AppendCalls(2);
  EXPECT_EQ(Append({MakeEvent("bob", "x")}, "other"), 1);
  const auto mine = store_.GetHead(*db_, "t");
  const auto other = store_.GetHead(*db_, "other");
  ASSERT_TRUE(mine.ok() && other.ok() && *mine && *other);
  EXPECT_EQ((*mine)->seq, 2);
  EXPECT_EQ((*other)->seq, 1);
  EXPECT_NE((*mine)->origin(), (*other)->origin());
  RecordFilter filter;
  EXPECT_EQ(store_.Query(*db_, "other", filter)->size(), 1u);
}

TEST_P(AuditStoreTest, WritersThatRaceMakeOneChain) {
  RecordProperty("req", "M-FR-007.5");
  if (GetParam() == db::TestBackend::kSqliteMemory) GTEST_SKIP() << "has one connection";
  std::vector<v1::Event> shared;
  for (int i = 0; i < 40; ++i) shared.push_back(MakeEvent("bob", "shared"));
  std::vector<std::thread> writers;
  for (int w = 0; w < 2; ++w) {
    writers.emplace_back([this, w, &shared] {
      const auto own = Open();
      SqlStore store(ring_);
      for (int i = 0; i < 20; ++i) {
        // Each event of `shared` is sent by both, as after an answer that was lost.
        std::vector<v1::Event> events = {MakeEvent(StrCat("writer", w), "own"), shared[2 * i],
                                         shared[2 * i + 1]};
        std::vector<const v1::Event*> list;
        for (const v1::Event& event : events) list.push_back(&event);
        EXPECT_TRUE(store.Append(*own, "t", list).ok());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(FirstBad(), 0) << what_;
  EXPECT_EQ(records_, 40 + 40);
}

TEST_P(AuditStoreTest, QueriesFilterAndPage) {
  AppendCalls(5, "bob");
  AppendCalls(3, "eve");
  RecordFilter filter;
  filter.subject = "eve";
  EXPECT_EQ(store_.Query(*db_, "t", filter)->size(), 3u);
  filter.subject = "nobody";
  EXPECT_EQ(store_.Query(*db_, "t", filter)->size(), 0u);
  filter.subject.clear();
  filter.item = "git__1";
  EXPECT_EQ(store_.Query(*db_, "t", filter)->size(), 2u);
  filter.item.clear();
  filter.limit = 3;
  const auto newest = store_.Query(*db_, "t", filter);
  ASSERT_EQ(newest->size(), 3u);
  EXPECT_EQ(newest->front().seq, 8);
  filter.before_seq = newest->back().seq;
  EXPECT_EQ(store_.Query(*db_, "t", filter)->front().seq, 5);
  filter.since_us = NowMicros() + 1'000'000;
  EXPECT_EQ(store_.Query(*db_, "t", filter)->size(), 0u);
}

TEST_P(AuditStoreTest, UsageCountsCalls) {
  RecordProperty("req", "M-P4");
  AppendCalls(4, "bob");
  v1::Event failed = MakeEvent("eve", "git__0");
  failed.set_outcome("error");
  v1::Event admin = MakeEvent("eve", "/api/v1/servers");
  admin.clear_upstream();
  Append({failed, admin});
  UsageQuery query;
  query.by = {"subject"};
  const auto by_subject = store_.Usage(*db_, "t", query);
  ASSERT_TRUE(by_subject.ok()) << by_subject.status();
  ASSERT_EQ(by_subject->size(), 2u);
  EXPECT_EQ((*by_subject)[0].subject, "bob");
  EXPECT_EQ((*by_subject)[0].calls, 4);
  EXPECT_EQ((*by_subject)[0].bytes_in, 4 * 42);
  EXPECT_EQ((*by_subject)[1].failures, 1);
  query.by = {"item", "day"};
  query.item = "git__0";
  const auto by_item = store_.Usage(*db_, "t", query);
  ASSERT_TRUE(by_item.ok()) << by_item.status();
  ASSERT_EQ(by_item->size(), 1u);
  EXPECT_EQ((*by_item)[0].calls, 2);
  EXPECT_GT((*by_item)[0].time_us, 0);
}

TEST_P(AuditStoreTest, AnErasedSubjectCannotBeReadAndTheChainHolds) {
  RecordProperty("req", "P3-SOC-4");
  AppendCalls(3, "bob");
  AppendCalls(2, "eve");
  const std::string note = Checkpoint();
  const auto erased = store_.Erase(*db_, "t", "bob");
  ASSERT_TRUE(erased.ok()) << erased.status();
  EXPECT_TRUE(absl::IsNotFound(store_.Erase(*db_, "t", "bob").status()));
  RecordFilter filter;
  const auto rows = store_.Query(*db_, "t", filter);
  const auto personal = store_.OpenPersonals(*db_, "t", *rows);
  ASSERT_TRUE(personal.ok());
  EXPECT_NE((*personal)[0], "");  // eve's
  EXPECT_EQ((*personal)[4], "");  // bob's
  EXPECT_EQ(FirstBad({note}), 0) << what_;
  EXPECT_FALSE(CheckExport(Export(), key_.verify_key()));
  // The same person later is another one to whoever reads.
  AppendCalls(1, "bob");
  const auto again = store_.Pseudonym(*db_, "t", "bob");
  ASSERT_TRUE(again.ok());
  EXPECT_NE(*again, *erased);
}

TEST_P(AuditStoreTest, AHoldKeepsASubject) {
  RecordProperty("req", "P3-SOC-4");
  AppendCalls(1, "bob");
  HoldRow hold;
  hold.id = "h1";
  hold.subject = *store_.Pseudonym(*db_, "t", "bob");
  ASSERT_TRUE(store_.PutHold(*db_, "t", hold).ok());
  const auto refused = store_.Erase(*db_, "t", "bob");
  EXPECT_EQ(GetErrorInfo(refused.status())->reason, "LEGAL_HOLD");
  ASSERT_TRUE(store_.DeleteHold(*db_, "t", "h1").ok());
  EXPECT_TRUE(absl::IsNotFound(store_.DeleteHold(*db_, "t", "h1")));
  EXPECT_TRUE(store_.Erase(*db_, "t", "bob").ok());
}

TEST_P(AuditStoreTest, RetentionCutsAtACheckpointAndWhatStaysIsProved) {
  RecordProperty("req", "P3-SOC-4");
  std::vector<v1::Event> old;
  for (int i = 0; i < 6; ++i) {
    old.push_back(MakeEvent("bob", "old"));
    old.back().set_time_us(1000 + i);
  }
  Append(old);
  const std::string first = Checkpoint();
  old.clear();
  for (int i = 0; i < 2; ++i) {
    old.push_back(MakeEvent("bob", "old"));
    old.back().set_time_us(2000 + i);
  }
  Append(old);
  AppendCalls(3, "eve");
  const std::string second = Checkpoint();
  HoldRow hold;
  hold.id = "all";
  ASSERT_TRUE(store_.PutHold(*db_, "t", hold).ok());
  EXPECT_EQ(store_.Retain(*db_, "t", 1'000'000, 100).value_or(-1), 0);
  ASSERT_TRUE(store_.DeleteHold(*db_, "t", "all").ok());
  // Up to the checkpoint only, though two records more are old.
  EXPECT_EQ(store_.Retain(*db_, "t", 1'000'000, 100).value_or(-1), 6);
  EXPECT_EQ(store_.Retain(*db_, "t", 1'000'000, 100).value_or(-1), 0);
  EXPECT_EQ(FirstBad({first, second}), 0) << what_;
  EXPECT_EQ(records_, 5);
  EXPECT_FALSE(CheckExport(Export(), key_.verify_key()));
  // What was cut off cannot be moved by hand.
  Sql("DELETE FROM audit_records WHERE seq = 7");
  EXPECT_EQ(FirstBad({first, second}), 7);
}

TEST_P(AuditStoreTest, RetentionGoesToTheNextCheckpointHoweverFarItIs) {
  RecordProperty("req", "P3-SOC-4");
  std::vector<std::string> notes;
  for (const int count : {7, 2}) {
    std::vector<v1::Event> old;
    for (int i = 0; i < count; ++i) {
      old.push_back(MakeEvent("bob", "old"));
      old.back().set_time_us(1000 + i);
    }
    Append(old);
    notes.push_back(Checkpoint());
  }
  AppendCalls(1, "eve");
  EXPECT_EQ(store_.Retain(*db_, "t", 1'000'000, 3).value_or(-1), 7);
  RecordFilter filter;
  EXPECT_EQ(store_.Query(*db_, "t", filter)->size(), 3u);
  EXPECT_EQ(store_.Retain(*db_, "t", 1'000'000, 3).value_or(-1), 9);
  EXPECT_EQ(store_.Retain(*db_, "t", 1'000'000, 3).value_or(-1), 0);
  EXPECT_EQ(store_.Query(*db_, "t", filter)->size(), 1u);
  EXPECT_EQ(store_.Read(*db_, "t", 1, 10)->size(), 1u);
  EXPECT_EQ(FirstBad(notes), 0) << what_;
}

TEST_P(AuditStoreTest, WhatIsRareIsFoundByIndex) {
  RecordProperty("req", "M-NFR-003.4");
  AppendCalls(3);
  v1::Event denied = MakeEvent("bob", "x");
  denied.set_outcome("denied");
  v1::Event read = MakeEvent("bob", "y");
  read.set_action("audit.read");
  Append({denied, read});
  RecordFilter filter;
  filter.outcome = "denied";
  EXPECT_EQ(store_.Query(*db_, "t", filter)->size(), 1u);
  filter.outcome = "ok";
  EXPECT_EQ(store_.Query(*db_, "t", filter)->size(), 4u);
  filter.outcome.clear();
  filter.action = "audit.read";
  EXPECT_EQ(store_.Query(*db_, "t", filter)->size(), 1u);
  if (db_->backend() != db::Backend::kSqlite) return;
  const auto plan = [this](const std::string& where) {
    std::string text;
    const auto rows = db_->Read([&](db::Transaction& tx) {
      return tx.Query(
          StrCat("EXPLAIN QUERY PLAN SELECT * FROM audit_records WHERE tenant = 't' AND ", where,
                 " ORDER BY seq DESC LIMIT 100"));
    });
    EXPECT_TRUE(rows.ok()) << rows.status();
    for (const db::Row& row : *rows) text += *row.Get<std::string>("detail");
    return text;
  };
  EXPECT_NE(plan("outcome = 'denied' AND outcome NOT IN ('ok', 'input_required')")
                .find("audit_records_failed"),
            std::string::npos);
  EXPECT_NE(plan("action = 'x' AND action <> 'tools/call'").find("audit_records_action"),
            std::string::npos);
  EXPECT_NE(plan("upstream = 'x'").find("audit_records_upstream"), std::string::npos);
}

TEST_P(AuditStoreTest, ExportsVerifyOfflineInParts) {
  RecordProperty("req", "M-FR-007.5");
  AppendCalls(4);
  Checkpoint();
  AppendCalls(3);
  for (const int limit : {1, 3, 4, 100}) {
    const std::string text = Export("jsonl", false, limit);
    EXPECT_EQ(Lines(text).size(), 1u + 7 + 1 + 1);
    EXPECT_FALSE(CheckExport(text, key_.verify_key()));
    EXPECT_EQ(text.find("bob"), std::string::npos);
  }
  EXPECT_NE(Export("jsonl", true).find("\"name\":\"bob\""), std::string::npos);
  std::string bad = Export();
  bad.replace(bad.find("git__2"), 6, "git__9");
  const auto fault = CheckExport(bad, key_.verify_key());
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->seq, 3);
}

TEST_P(AuditStoreTest, OtherFormatsAreEscaped) {
  RecordProperty("req", "P3-SOC-6");
  v1::Event event = MakeEvent("bob", "git__0");
  event.set_item("=cmd|'/c calc'!A0");
  event.set_reason("a=b");
  event.set_target("say \"hi\", now");
  Append({event});
  const auto csv = Lines(Export("csv", true));
  ASSERT_EQ(csv.size(), 2u);
  EXPECT_NE(csv[1].find(",'=cmd|"), std::string::npos) << csv[1];
  EXPECT_NE(csv[1].find("\"say \"\"hi\"\", now\""), std::string::npos) << csv[1];
  const auto cef = Lines(Export("cef", true));
  ASSERT_EQ(cef.size(), 1u);
  EXPECT_EQ(cef[0].rfind("CEF:0|Meta-MCP|meta-mcp|1|tools/call|=cmd\\|'/c calc'!A0|3|", 0), 0u)
      << cef[0];
  EXPECT_NE(cef[0].find(" reason=a\\=b"), std::string::npos) << cef[0];
  EXPECT_FALSE(MakeExportWriter("xml").ok());
}

TEST_P(AuditStoreTest, KeysAreSealedAgainAfterARotation) {
  const std::string first(32, '1');
  const std::string second(32, '2');
  KeyRing ring = *KeyRing::Create({{"a", first}});
  SqlStore store(ring);
  const v1::Event event = MakeEvent("bob", "a");
  ASSERT_TRUE(store.Append(*db_, "t", {&event}).ok());
  ring.Replace(*KeyRing::Create({{"b", second}, {"a", first}}));
  EXPECT_EQ(store.Reseal(*db_).value_or(-1), 1);
  EXPECT_EQ(store.Reseal(*db_).value_or(-1), 0);
  ring.Replace(*KeyRing::Create({{"b", second}}));
  RecordFilter filter;
  filter.subject = "bob";
  const auto rows = store.Query(*db_, "t", filter);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 1u);
  const auto personal = store.OpenPersonals(*db_, "t", *rows);
  ASSERT_TRUE(personal.ok()) << personal.status();
  EXPECT_NE((*personal)[0].find("bob"), std::string::npos);
}

}  // namespace
}  // namespace metamcp::audit
