#include "gateway/protocol/event_log.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace metamcp::gateway {
namespace {

class EventLogTest : public ::testing::Test {
 protected:
  boost::asio::io_context io_;
  EventLogs logs_;
};

TEST_F(EventLogTest, GivesWhatFollowsAPlace) {
  auto log = logs_.Open(io_.get_executor(), false);
  for (const char* text : {"a", "b", "c"}) log->Append(text);
  const auto place = logs_.Find(log->Id(1));
  ASSERT_TRUE(place);
  EXPECT_EQ(place->log, log);
  EXPECT_TRUE(place->request);
  const uint64_t reader = log->Attach(place->seq);
  ASSERT_NE(log->Next(), nullptr);
  EXPECT_EQ(log->Next()->message, "b");
  log->Advance();
  EXPECT_EQ(log->Next()->message, "c");
  log->Advance();
  EXPECT_EQ(log->Next(), nullptr);
  EXPECT_TRUE(log->Reads(reader));
}

TEST_F(EventLogTest, ALaterReaderTakesOver) {
  auto log = logs_.Open(io_.get_executor(), false);
  const uint64_t first = log->Attach(0);
  const uint64_t second = log->Attach(0);
  EXPECT_FALSE(log->Reads(first));
  log->Detach(first);  // too late to matter
  EXPECT_TRUE(log->Reads(second));
}

TEST_F(EventLogTest, ForgetsTheOldestButNeverTheNewest) {
  auto log = logs_.Open(io_.get_executor(), false);
  for (size_t i = 0; i < EventLog::kEventsMax + 10; ++i) log->Append(std::to_string(i));
  log->Attach(0);
  EXPECT_EQ(log->Next()->message, "10");
  log->Append(std::string(EventLog::kBytesMax * 2, 'x'));
  EXPECT_EQ(log->Next()->message.size(), EventLog::kBytesMax * 2);
  log->Append("y");
  EXPECT_EQ(log->bytes(), 1u);
  log->End();
  log->Append("after the end");
  EXPECT_EQ(log->bytes(), 1u);
}

TEST_F(EventLogTest, APauseReachesTheFirstReaderAndNotTheOneThatCameBack) {
  auto log = logs_.Open(io_.get_executor(), false);
  log->Pause(std::chrono::milliseconds(5));
  log->Attach(0);
  EXPECT_EQ(log->TakePause(), std::chrono::milliseconds(5));
  EXPECT_EQ(log->TakePause(), std::nullopt);
  log->Pause(std::chrono::milliseconds(5));
  log->Attach(0);
  EXPECT_EQ(log->TakePause(), std::nullopt);
}

TEST_F(EventLogTest, HostileIdsAreNoPlaces) {
  auto log = logs_.Open(io_.get_executor(), true);
  for (const std::string id : {"", ".", "..", "1", "a.b", "a.p1.", "a.p1.x", "a.p1.-1", "a.p1. 1",
                               "a.x1.1", "a.p1.99999999999999999999999", "a..1"}) {
    const auto place = logs_.Find(id);
    EXPECT_FALSE(place.has_value() && place->log != nullptr) << id;
  }
  const auto beyond = logs_.Find(log->Id(1000));
  ASSERT_TRUE(beyond && beyond->log == log);
  log->Attach(beyond->seq);
  EXPECT_EQ(log->Next(), nullptr);
  log->Append("new");
  ASSERT_NE(log->Next(), nullptr);
}

TEST_F(EventLogTest, StreamsOutOfUseAreForgotten) {
  for (size_t i = 0; i < EventLogs::kIdleMax * 3; ++i) logs_.Open(io_.get_executor(), false)->End();
  auto running = logs_.Open(io_.get_executor(), false);
  EXPECT_LE(logs_.size(), EventLogs::kIdleMax + 2);
  logs_.Prune(std::chrono::steady_clock::now() + EventLogs::kKeep + std::chrono::seconds(1));
  EXPECT_EQ(logs_.size(), 1u);
  EXPECT_TRUE(logs_.Find(running->Id(0))->log != nullptr);
}

}  // namespace
}  // namespace metamcp::gateway
