#include "common/async/task_group.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <stdexcept>

#include "common/async/run.h"
#include "common/telemetry/log.h"

namespace metamcp {
namespace {

namespace asio = boost::asio;

Awaitable<void> Forever() { co_await Sleep(std::chrono::hours(1)); }
Awaitable<void> Fails() {
  throw std::runtime_error("boom");
  co_return;
}

TEST(TaskGroupTest, CancelAllEndsEveryTaskAndJoinSaysSo) {
  asio::io_context io;
  TaskGroup group(io.get_executor());
  for (int i = 0; i < 10; ++i) group.Spawn("forever", Forever());
  bool joined = false;
  auto drive = [](TaskGroup& g, bool& out) -> Awaitable<void> {
    const bool early = co_await g.Join(std::chrono::milliseconds(2));
    EXPECT_FALSE(early);
    g.CancelAll();
    out = co_await g.Join(std::chrono::seconds(30));
  };
  asio::co_spawn(io, drive(group, joined), asio::detached);
  io.run();
  EXPECT_TRUE(joined);
  EXPECT_EQ(group.running(), 0u);
}

TEST(TaskGroupTest, CancelEndsOneTaskAndNoneThatHasEnded) {
  asio::io_context io;
  TaskGroup group(io.get_executor());
  auto drive = [](TaskGroup& g) -> Awaitable<void> {
    const uint64_t first = g.Spawn("first", Forever());
    const uint64_t second = g.Spawn("second", Forever());
    EXPECT_NE(first, second);
    g.Cancel(first);
    while (g.running() > 1) co_await Sleep(std::chrono::milliseconds(1));
    g.Cancel(first);
    co_await Sleep(std::chrono::milliseconds(1));
    EXPECT_EQ(g.running(), 1u);
    g.Cancel(second);
  };
  asio::co_spawn(io, drive(group), asio::detached);
  io.run();
  EXPECT_EQ(group.running(), 0u);
}

TEST(TaskGroupTest, StartsNothingAfterCancelAll) {
  asio::io_context io;
  TaskGroup group(io.get_executor());
  group.CancelAll();
  EXPECT_EQ(group.Spawn("late", Fails()), 0u);
  io.run();
  EXPECT_EQ(group.running(), 0u);
}

TEST(TaskGroupTest, LogsATaskThatThrew) {
  std::string text;
  SetLogWriter([&text](std::string_view line) { text += line; });
  asio::io_context io;
  TaskGroup group(io.get_executor());
  group.Spawn("bad", Fails());
  io.run();
  SetLogWriter(nullptr);
  EXPECT_NE(text.find("\"task\":\"bad\",\"error\":\"boom\""), std::string::npos) << text;
}

}  // namespace
}  // namespace metamcp
