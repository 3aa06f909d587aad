// One suite over every back-end; METAMCP_TEST_POSTGRES_URL names the PostgreSQL.
#include "services/catalog/limits/quota_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/db/testing.h"

namespace metamcp::catalog {
namespace {

constexpr int64_t kNow = 1'800'000'000'000'000;
constexpr int64_t kSecondNs = 1'000'000'000;

class QuotaStoreTest : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || db_ == nullptr) return;
    ASSERT_TRUE(QuotaStore::MigrateBlocking(*db_).ok());
  }
  v1::ExchangeLimitsResponse Exchange(const v1::ExchangeLimitsRequest& request, int64_t now_us) {
    auto response = QuotaStore(*db_).Exchange(request, now_us);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? *std::move(response) : v1::ExchangeLimitsResponse();
  }
  v1::RateGrant Rate(int64_t charge, int64_t back, int64_t want, int64_t now_us) {
    v1::ExchangeLimitsRequest request;
    request.set_gateway("g");
    auto& lease = *request.add_rates();
    lease.set_key("k");
    lease.set_interval_ns(kSecondNs);
    lease.set_burst(10);
    lease.set_charge(charge);
    lease.set_give_back(back);
    lease.set_want(want);
    return Exchange(request, now_us).rates(0);
  }
  v1::QuotaGrant Quota(int64_t day, int64_t charge, int64_t back, int64_t want) {
    v1::ExchangeLimitsRequest request;
    request.set_gateway("g");
    auto& lease = *request.add_quotas();
    lease.set_key("k");
    lease.set_day(day);
    lease.set_quota(100);
    lease.set_charge(charge);
    lease.set_give_back(back);
    lease.set_want(want);
    return Exchange(request, kNow).quotas(0);
  }
  int64_t Slots(const std::string& gateway, int64_t running, int64_t want, int64_t now_us,
                bool leaving = false) {
    v1::ExchangeLimitsRequest request;
    request.set_gateway(gateway);
    request.set_leaving(leaving);
    auto& lease = *request.add_slots();
    lease.set_key("k");
    lease.set_limit(10);
    lease.set_running(running);
    lease.set_want(want);
    return Exchange(request, now_us).slots(0).slots();
  }
};

TEST_P(QuotaStoreTest, GrantsWhatTheBucketHoldsAndNoMore) {
  EXPECT_EQ(Rate(0, 0, 7, kNow).granted(), 7);
  const v1::RateGrant rest = Rate(0, 0, 7, kNow);
  EXPECT_EQ(rest.granted(), 3);
  EXPECT_EQ(rest.left(), 0);
  EXPECT_EQ(rest.wait_ns(), kSecondNs);
  EXPECT_EQ(Rate(0, 0, 7, kNow + 2'000'000).granted(), 2);
  // It never holds more than the burst.
  EXPECT_EQ(Rate(0, 0, 70, kNow + 900'000'000).granted(), 10);
}

TEST_P(QuotaStoreTest, TakesBackAndChargesWhatWasSpentOnCredit) {
  EXPECT_EQ(Rate(0, 0, 10, kNow).granted(), 10);
  EXPECT_EQ(Rate(0, 4, 2, kNow).granted(), 2);
  EXPECT_EQ(Rate(5, 0, 10, kNow).left(), -3);
  EXPECT_EQ(Rate(0, 0, 10, kNow + 3'000'000).granted(), 0);
  EXPECT_EQ(Rate(0, 0, 10, kNow + 4'000'000).granted(), 1);
}

TEST_P(QuotaStoreTest, QuotasAreOfTheirDayAndAreListed) {
  EXPECT_EQ(Quota(20'833, 30, 0, 50).left(), 20);
  EXPECT_EQ(Quota(20'833, 0, 10, 50).granted(), 30);
  EXPECT_EQ(Quota(20'833, 0, 0, 50).granted(), 0);
  EXPECT_EQ(Quota(20'834, 0, 0, 50).granted(), 50);
  const auto listed = QuotaStore(*db_).List(20'833, "", 10);
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->quotas_size(), 1);
  EXPECT_EQ(listed->quotas(0).used(), 100);
  EXPECT_EQ(listed->next_page_token(), "");
  EXPECT_EQ(QuotaStore(*db_).List(20'833, "", 1)->next_page_token(), "k");
  EXPECT_EQ(QuotaStore(*db_).List(20'833, "k", 1)->quotas_size(), 0);
}

TEST_P(QuotaStoreTest, SlotsAreSharedAndThoseOfTheGoneAreFree) {
  EXPECT_EQ(Slots("a", 0, 8, kNow), 8);
  EXPECT_EQ(Slots("b", 0, 8, kNow), 2);
  // What runs on credit keeps running.
  EXPECT_EQ(Slots("b", 5, 5, kNow), 5);
  EXPECT_EQ(Slots("a", 0, 8, kNow), 5);
  EXPECT_EQ(Slots("c", 0, 8, kNow + QuotaStore::kSlotsUs + 1), 8);
  EXPECT_EQ(Slots("c", 0, 0, kNow + QuotaStore::kSlotsUs + 1, true), 0);
  EXPECT_EQ(Slots("d", 0, 10, kNow + QuotaStore::kSlotsUs + 1), 10);
}

TEST_P(QuotaStoreTest, ForgetsWhatSaysNothingAnyMore) {
  Rate(0, 0, 5, kNow);
  Quota(20'000, 1, 0, 0);
  Slots("a", 1, 1, kNow);
  ASSERT_TRUE(QuotaStore(*db_).Prune(kNow + 3'600'000'000).ok());
  EXPECT_EQ(QuotaStore(*db_).List(20'000, "", 10)->quotas_size(), 0);
  EXPECT_EQ(Slots("b", 0, 10, kNow), 10);
}

INSTANTIATE_TEST_SUITE_P(Backends, QuotaStoreTest, db::AllBackends(), db::BackendName);

}  // namespace
}  // namespace metamcp::catalog
