// Limits of requests to models by minute: processes share them through the database.
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "common/db/testing.h"
#include "services/ai/shared_turns.h"
#include "services/catalog/limits/quota_service.h"
#include "services/catalog/limits/quota_store.h"

namespace metamcp::testing {
namespace {

namespace asio = boost::asio;

// A catalog that does not answer.
class Silent final : public catalog::v1::QuotaService {
 public:
  Awaitable<absl::StatusOr<catalog::v1::ExchangeLimitsResponse>> ExchangeLimits(
      const CallContext&, catalog::v1::ExchangeLimitsRequest) override {
    co_return absl::UnavailableError("away");
  }
  Awaitable<absl::StatusOr<catalog::v1::ListQuotasResponse>> ListQuotas(
      const CallContext&, catalog::v1::ListQuotasRequest) override {
    co_return absl::UnavailableError("away");
  }
};

class AiLimitsTest : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || db_ == nullptr) return;
    ASSERT_TRUE(catalog::QuotaStore::MigrateBlocking(*db_).ok());
  }
  // How many of `asked` are let through, of all processes in turn.
  int Passed(const std::vector<ai::Turns*>& processes, int asked, const std::string& key,
             int64_t per_minute) {
    int passed = 0;
    asio::io_context io;
    const auto work = [&]() -> Awaitable<void> {
      for (int i = 0; i < asked; ++i) {
        const CallContext ctx;
        auto taking =
            processes[static_cast<size_t>(i) % processes.size()]->Take(ctx, key, per_minute);
        const bool taken = co_await std::move(taking);
        passed += taken ? 1 : 0;
      }
    };
    asio::co_spawn(io, work(), asio::detached);
    io.run();
    return passed;
  }
};

TEST_P(AiLimitsTest, ProcessesShareTheMinuteOfAPrincipal) {
  RecordProperty("req", "M-FR-005.5");
  db::DbExecutor executor(*db_);
  int64_t now_us = 1'000'000'000'000;
  catalog::QuotaService catalog(executor, [&now_us] { return now_us; });
  ai::SharedTurns one(catalog, "one"), two(catalog, "two"), three(catalog, "three");
  const std::vector<ai::Turns*> all = {&one, &two, &three};
  EXPECT_EQ(Passed(all, 30, "ann", 10), 10);
  EXPECT_EQ(Passed(all, 30, "bob", 10), 10);
  EXPECT_EQ(Passed(all, 5, "ann", 0), 5) << "0 is no limit";
  // One more after every tenth of a minute.
  now_us += 12'000'000;
  EXPECT_EQ(Passed(all, 30, "ann", 10), 2);
  now_us += 60'000'000;
  EXPECT_EQ(Passed(all, 30, "ann", 10), 10);
  // Another limit begins anew.
  EXPECT_EQ(Passed(all, 30, "ann", 3), 3);
}

TEST_P(AiLimitsTest, WithoutACatalogEachCountsForItself) {
  Silent silent;
  ai::SharedTurns one(silent, "one"), two(silent, "two");
  EXPECT_EQ(Passed({&one, &two}, 40, "ann", 10), 20);
}

INSTANTIATE_TEST_SUITE_P(Backends, AiLimitsTest, db::AllBackends(), db::BackendName);

}  // namespace
}  // namespace metamcp::testing
