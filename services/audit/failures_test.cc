#include "services/audit/failures.h"

#include <gmock/gmock.h>

#include "services/audit/testing.h"

namespace metamcp::audit {
namespace {

class FailuresTest : public StoreFixture {
 protected:
  v1::Event Failed(const std::string& subject, const std::string& outcome,
                   const std::string& reason, const std::string& client = "cursor") {
    v1::Event event = MakeEvent(subject, "git__push");
    event.mutable_principal()->set_client(client);
    event.set_outcome(outcome);
    event.set_reason(reason);
    return event;
  }
  v1::ListFailuresResponse List(const v1::ListFailuresRequest& request) {
    RecordFilter filter;
    filter.failures = true;
    filter.limit = kFailuresMax;
    const auto rows = store_.Query(*db_, "t", filter);
    EXPECT_TRUE(rows.ok()) << rows.status();
    const auto personals = store_.OpenPersonals(*db_, "t", *rows);
    EXPECT_TRUE(personals.ok()) << personals.status();
    return GroupFailures(request, *rows, *personals);
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, FailuresTest, db::AllBackends(), db::BackendName);

TEST_P(FailuresTest, GroupsByWhyWithFirstLastExampleAndHint) {
  RecordProperty("req", "W-4.2.4 P3-Trc-4");
  AppendCalls(3);
  v1::Event first = Failed("bob", "failed", "UPSTREAM_TIMEOUT");
  first.set_trace("11111111111111111111111111111111");
  v1::Event last = Failed("eve", "failed", "UPSTREAM_TIMEOUT", "vscode");
  last.set_time_us(first.time_us() + 5);
  last.set_trace("22222222222222222222222222222222");
  v1::Event other = Failed("eve", "error", "");
  other.set_code(-32602);
  EXPECT_EQ(Append({first, last, other, Failed("eve", "tool_error", "")}), 4);

  const auto all = List({});
  EXPECT_EQ(all.records(), 4);
  EXPECT_FALSE(all.cut());
  ASSERT_EQ(all.failures_size(), 3);
  const v1::Failure& timeout = all.failures(0);
  EXPECT_EQ(timeout.reason(), "UPSTREAM_TIMEOUT");
  EXPECT_EQ(timeout.upstream(), "git");
  EXPECT_EQ(timeout.count(), 2);
  EXPECT_EQ(timeout.subjects(), 2);
  EXPECT_EQ(timeout.first_us(), first.time_us());
  EXPECT_EQ(timeout.last_us(), last.time_us());
  EXPECT_EQ(timeout.trace(), last.trace());
  EXPECT_THAT(timeout.hint(), ::testing::Not(::testing::IsEmpty()));
  EXPECT_EQ(timeout.client(), "");
  std::vector<std::string> reasons;
  for (const v1::Failure& one : all.failures()) reasons.push_back(one.reason());
  EXPECT_THAT(reasons,
              ::testing::UnorderedElementsAre("UPSTREAM_TIMEOUT", "code -32602", "tool_error"));

  v1::ListFailuresRequest request;
  request.set_reason("UPSTREAM_TIMEOUT");
  request.set_by_client(true);
  const auto by_client = List(request);
  ASSERT_EQ(by_client.failures_size(), 2);
  EXPECT_NE(by_client.failures(0).client(), by_client.failures(1).client());
}

TEST_P(FailuresTest, AnErasedPersonsClientIsNotShown) {
  RecordProperty("req", "P3-SOC-4");
  EXPECT_EQ(Append({Failed("bob", "failed", "UPSTREAM_LOST", "bobs-own-client")}), 1);
  ASSERT_TRUE(store_.Erase(*db_, "t", "bob").ok());
  v1::ListFailuresRequest request;
  request.set_by_client(true);
  const auto all = List(request);
  ASSERT_EQ(all.failures_size(), 1);
  EXPECT_EQ(all.failures(0).client(), "");
}

}  // namespace
}  // namespace metamcp::audit
