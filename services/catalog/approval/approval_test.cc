// One suite over every back-end; METAMCP_TEST_POSTGRES_URL names the PostgreSQL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/db/testing.h"
#include "services/catalog/approval/approval_store.h"

namespace metamcp::catalog {
namespace {

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kStart = int64_t{1'700'000'000} * kSecond;

std::string ReasonOf(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return status.ok() ? "OK" : info ? info->reason : std::string(status.message());
}

class ApprovalTest : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || db_ == nullptr) return;
    ASSERT_TRUE(ApprovalStore::MigrateBlocking(*db_).ok());
    ada_.subject = "ada";
    ada_.roles = {"developer"};
    eve_.subject = "eve";
    eve_.roles = {"developer"};
    boss_.subject = "boss";
    boss_.roles = {"operator"};
  }
  ApprovalStore Store() { return ApprovalStore(*db_, "default"); }
  static apb::AskApprovalRequest Request(const std::string& digest) {
    apb::AskApprovalRequest request;
    apb::Approval& asked = *request.mutable_approval();
    asked.set_subject("ada");
    asked.set_client("cursor");
    asked.set_virtual_server("default");
    asked.set_item("git.push");
    asked.set_fingerprint("f1");
    asked.set_digest(digest);
    asked.set_shown("{}");
    asked.set_rule("ask");
    request.set_lifetime_ms(600'000);
    return request;
  }
  // "outcome id".
  std::string Ask(const apb::AskApprovalRequest& request, int64_t now = kStart) {
    const auto asked = Store().Ask(request, StrCat("id", ++ids_), now);
    EXPECT_TRUE(asked.ok()) << asked.status();
    if (!asked.ok()) return std::string(asked.status().message());
    last_ = asked->approval().id();
    return asked->outcome();
  }
  std::string Decide(const std::string& id, bool approve, const Principal& who,
                     apb::ApprovalScope scope = apb::APPROVAL_SCOPE_UNSPECIFIED,
                     int64_t now = kStart, bool self = true) {
    apb::DecideApprovalRequest request;
    request.set_id(id);
    request.set_approve(approve);
    request.set_scope(scope);
    return ReasonOf(Store().Decide(request, who, self, now).status());
  }

  Principal ada_, eve_, boss_;
  int ids_ = 0;
  std::string last_;
};

TEST_P(ApprovalTest, OneApprovalLetsOneCallPass) {
  RecordProperty("req", "M-FR-007.2");
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  const std::string id = last_;
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  EXPECT_EQ(last_, id);  // not a second one for the same call
  EXPECT_EQ(Decide(id, true, ada_), "OK");
  EXPECT_EQ(Ask(Request("d2")), "waiting");  // other arguments
  EXPECT_NE(last_, id);
  EXPECT_EQ(Ask(Request("d1")), "granted");
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  EXPECT_EQ(Decide(id, true, ada_), "APPROVAL_CLOSED");
}

TEST_P(ApprovalTest, ADenialIsToldOnce) {
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  const std::string id = last_;
  EXPECT_EQ(Decide(id, false, boss_), "OK");
  EXPECT_EQ(Decide(id, false, boss_), "OK");
  EXPECT_EQ(Decide(id, true, boss_), "APPROVAL_CLOSED");
  EXPECT_EQ(Ask(Request("d1")), "denied");
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  EXPECT_NE(last_, id);
}

TEST_P(ApprovalTest, NothingHoldsLongerThanItMay) {
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  const std::string id = last_;
  EXPECT_EQ(Decide(id, true, ada_, apb::APPROVAL_SCOPE_ONCE, kStart + 600 * kSecond),
            "APPROVAL_CLOSED");
  EXPECT_EQ(Ask(Request("d1"), kStart + 601 * kSecond), "waiting");
  EXPECT_EQ(Decide(last_, true, ada_, apb::APPROVAL_SCOPE_ONCE, kStart + 602 * kSecond), "OK");
  EXPECT_EQ(Ask(Request("d1"), kStart + 1203 * kSecond), "waiting");
}

TEST_P(ApprovalTest, AScopeCoversTheToolForThatClientFor15Minutes) {
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  EXPECT_EQ(Decide(last_, true, ada_, apb::APPROVAL_SCOPE_SESSION), "OK");
  EXPECT_EQ(Ask(Request("d2")), "granted");
  EXPECT_EQ(Ask(Request("d3")), "granted");
  auto other = Request("d4");
  other.mutable_approval()->set_client("claude");
  EXPECT_EQ(Ask(other), "waiting");
  other = Request("d5");
  other.mutable_approval()->set_virtual_server("ops");
  EXPECT_EQ(Ask(other), "waiting");
  other = Request("d6");
  other.mutable_approval()->set_item("git.reset");
  EXPECT_EQ(Ask(other), "waiting");
  other = Request("d7");
  other.mutable_approval()->set_fingerprint("f2");
  EXPECT_EQ(Ask(other), "waiting");
  EXPECT_EQ(Ask(Request("d8"), kStart + 901 * kSecond), "waiting");
}

TEST_P(ApprovalTest, AlwaysIsForThatDefinitionOnlyAndCanBeTakenBack) {
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  const std::string id = last_;
  EXPECT_EQ(Decide(id, true, ada_, apb::APPROVAL_SCOPE_ALWAYS), "OK");
  EXPECT_EQ(Ask(Request("d2"), kStart + 365 * 86'400 * kSecond), "granted");
  auto changed = Request("d3");
  changed.mutable_approval()->set_fingerprint("f2");
  EXPECT_EQ(Ask(changed), "waiting");
  auto eves = Request("d4");
  eves.mutable_approval()->set_subject("eve");
  EXPECT_EQ(Ask(eves), "waiting");
  EXPECT_EQ(ReasonOf(Store().Revoke(id, eve_, kStart)), "NOT_FOUND");
  EXPECT_EQ(ReasonOf(Store().Revoke(id, ada_, kStart)), "OK");
  EXPECT_EQ(Ask(Request("d5")), "waiting");
}

TEST_P(ApprovalTest, OnlyWhoAskedAndOperatorsDecide) {
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  EXPECT_EQ(Decide(last_, true, eve_), "NOT_FOUND");
  Principal nobody;
  EXPECT_EQ(Decide(last_, true, nobody), "NOT_FOUND");
  EXPECT_EQ(Decide(last_, true, ada_, apb::APPROVAL_SCOPE_ONCE, kStart, false),
            "PERMISSION_DENIED");
  EXPECT_EQ(Decide(last_, true, boss_, apb::APPROVAL_SCOPE_ONCE, kStart, false), "OK");
  EXPECT_EQ(ReasonOf(ApprovalStore(*db_, "other").Get(last_, kStart).status()), "NOT_FOUND");
}

TEST_P(ApprovalTest, AnAnswerToAQuestionUsesThatApprovalOnly) {
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  auto named = Request("d1");
  named.set_id(last_);
  EXPECT_EQ(Decide(last_, true, ada_), "OK");
  auto wrong = Request("d9");
  wrong.set_id(last_);
  EXPECT_EQ(Ask(wrong), "gone");
  auto missing = Request("d1");
  missing.set_id("none");
  EXPECT_EQ(Ask(missing), "gone");
  EXPECT_EQ(Ask(named), "granted");
  EXPECT_EQ(Ask(named), "gone");
}

TEST_P(ApprovalTest, OfTwoCallsAtOnceOneRuns) {
  EXPECT_EQ(Ask(Request("d1")), "waiting");
  ASSERT_EQ(Decide(last_, true, ada_), "OK");
  std::atomic<int> granted = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i, &granted] {
      const auto asked = Store().Ask(Request("d1"), StrCat("t", i), kStart);
      if (asked.ok() && asked->outcome() == "granted") ++granted;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(granted, 1);
}

TEST_P(ApprovalTest, ListsWhatWaitsAndWhatWasGranted) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Ask(Request(StrCat("d", i)), kStart + i), "waiting");
  EXPECT_EQ(Decide(last_, true, ada_, apb::APPROVAL_SCOPE_ALWAYS), "OK");
  EXPECT_EQ(Store().List("waiting", "", kStart)->size(), 2u);
  EXPECT_EQ(Store().List("granted", "ada", kStart)->size(), 1u);
  EXPECT_EQ(Store().List("all", "ada", kStart)->size(), 3u);
  EXPECT_EQ(Store().List("all", "eve", kStart)->size(), 0u);
  EXPECT_EQ(Store().List("waiting", "", kStart + 3600 * kSecond)->size(), 0u);
  EXPECT_EQ(Store().Get("id1", kStart + 3600 * kSecond)->state(), "expired");
}

TEST_P(ApprovalTest, APrincipalCannotFillTheStore) {
  for (int i = 0; i < ApprovalStore::kWaitingMax; ++i) {
    ASSERT_EQ(Ask(Request(StrCat("d", i))), "waiting");
  }
  const auto more = Store().Ask(Request("more"), "more", kStart);
  EXPECT_EQ(ReasonOf(more.status()), "QUEUE_FULL");
}

INSTANTIATE_TEST_SUITE_P(Backends, ApprovalTest, db::AllBackends(), db::BackendName);

}  // namespace
}  // namespace metamcp::catalog
