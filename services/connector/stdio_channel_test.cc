#include "services/connector/stdio_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "common/base/error.h"
#include "services/connector/test_util.h"

namespace metamcp::connector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Recorder : public ChannelHandler {
 public:
  void OnMessage(std::string_view json, uint64_t) override { messages.emplace_back(json); }
  bool Expects(uint64_t) const override { return false; }
  void OnRequestFailed(uint64_t, absl::Status) override {}
  void OnClosed(absl::Status why) override {
    ++closes;
    closed = std::move(why);
  }
  std::vector<std::string> messages;
  absl::Status closed;
  int closes = 0;
};

class StdioChannelTest : public ::testing::Test {
 protected:
  ~StdioChannelTest() override {
    if (channel_ != nullptr) AwaitVoid(io_, channel_->Close());
    EXPECT_TRUE(Await(io_, tasks_.Join(std::chrono::seconds(10))));
    EXPECT_EQ(budget_.running(), 0);
  }
  void Start(const std::string& script, StdioLimits limits = StdioLimits()) {
    SpawnOptions options;
    options.command = "/bin/sh";
    options.args = {"-c", script};
    auto child = ChildProcess::Spawn(io_.get_executor(), options, budget_);
    ASSERT_TRUE(child.ok()) << child.status();
    channel_ = std::make_shared<StdioChannel>(std::move(*child), tasks_, log_, limits);
    channel_->Start(recorder_ptr_);
  }
  bool Until(const std::function<bool()>& condition) { return RunUntilTrue(io_, condition); }

  boost::asio::io_context io_{1};
  TaskGroup tasks_{io_.get_executor()};
  ProcessBudget budget_{10};
  std::shared_ptr<LogRing> log_ = std::make_shared<LogRing>();
  std::shared_ptr<Recorder> recorder_ptr_ = std::make_shared<Recorder>();
  Recorder& recorder_ = *recorder_ptr_;
  std::shared_ptr<StdioChannel> channel_;
};

TEST_F(StdioChannelTest, FramesLinesBothWays) {
  RecordProperty("req", "M02-TR-2.1 M02-TR-2.2");
  Start("cat");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(channel_->Send(Outgoing("{\"n\":" + std::to_string(i) + "}")).ok());
  }
  ASSERT_TRUE(Until([&] { return recorder_.messages.size() == 3; }));
  EXPECT_THAT(recorder_.messages, ElementsAre("{\"n\":0}", "{\"n\":1}", "{\"n\":2}"));
}

TEST_F(StdioChannelTest, LargeMessagesCrossWholeInBothDirections) {
  Start("cat");
  const std::string big(5 << 20, 'b');
  EXPECT_TRUE(channel_->Send(Outgoing(big)).ok());
  EXPECT_TRUE(channel_->Send(Outgoing("x")).ok());
  ASSERT_TRUE(Until([&] { return recorder_.messages.size() == 2; }));
  EXPECT_TRUE(recorder_.messages[0] == big);
  EXPECT_EQ(recorder_.messages[1], "x");
}

TEST_F(StdioChannelTest, BlankLinesAndCarriageReturnsAreTolerated) {
  Start("printf 'a\\r\\n\\n\\nb\\n'; cat");
  ASSERT_TRUE(Until([&] { return recorder_.messages.size() == 2; }));
  EXPECT_THAT(recorder_.messages, ElementsAre("a", "b"));
}

TEST_F(StdioChannelTest, AnEndlessLineEndsTheChild) {
  RecordProperty("req", "M02-TR-2.3");
  StdioLimits limits;
  limits.line_bytes_max = 100000;
  limits.stop_grace = std::chrono::milliseconds(20);
  Start("echo ok; while true; do printf xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done",
        limits);
  ASSERT_TRUE(Until([&] { return recorder_.closes == 1; }));
  EXPECT_EQ(GetErrorInfo(recorder_.closed)->reason, "UPSTREAM_PROTOCOL");
  EXPECT_THAT(recorder_.messages, ElementsAre("ok"));
}

TEST_F(StdioChannelTest, LineLimitIsExact) {
  StdioLimits limits;
  limits.line_bytes_max = 1000;
  Start("cat", limits);
  EXPECT_TRUE(channel_->Send(Outgoing(std::string(1000, 'a'))).ok());
  ASSERT_TRUE(Until([&] { return recorder_.messages.size() == 1; }));
  EXPECT_TRUE(channel_->Send(Outgoing(std::string(1001, 'a'))).ok());
  ASSERT_TRUE(Until([&] { return recorder_.closes == 1; }));
  EXPECT_EQ(GetErrorInfo(recorder_.closed)->reason, "UPSTREAM_PROTOCOL");
}

TEST_F(StdioChannelTest, ADeafChildFillsABoundedQueue) {
  RecordProperty("req", "M02-TR-2.3 M02-RISK-4");
  StdioLimits limits;
  limits.queue_bytes_max = 1 << 20;
  Start("exec sleep 100", limits);
  absl::Status status;
  int sent = 0;
  while (status.ok() && sent < 1000) {
    status = channel_->Send(Outgoing(std::string(100000, 'q')));
    ++sent;
  }
  EXPECT_LT(sent, 20);
  EXPECT_EQ(GetErrorInfo(status)->reason, "QUEUE_FULL");
}

TEST_F(StdioChannelTest, TheLastWordsOfADyingChildArrive) {
  Start("echo last; echo why >&2; exit 4");
  ASSERT_TRUE(Until([&] { return recorder_.closes == 1; }));
  EXPECT_THAT(recorder_.messages, ElementsAre("last"));
  EXPECT_THAT(std::string(recorder_.closed.message()), HasSubstr("exited with code 4"));
  ASSERT_TRUE(Until([&] { return log_->Newest(10).size() == 2; }));
}

TEST_F(StdioChannelTest, StderrIsKeptLineByLineAndBounded) {
  RecordProperty("req", "M02-TR-2.3");
  Start(
      "i=0; while [ $i -lt 1200 ]; do echo line$i >&2; i=$((i+1)); done;"
      "head -c 20000 /dev/zero | tr '\\0' z >&2; printf '\\n\\033[31mred\\n' >&2; exec cat");
  ASSERT_TRUE(Until([&] {
    const auto newest = log_->Newest(1);
    return !newest.empty() && newest[0].text == "?[31mred";
  }));
  const auto lines = log_->Newest(5000);
  EXPECT_EQ(lines.size(), 1000u);
  EXPECT_EQ(lines[lines.size() - 2].text.size(), LogRing::kLineBytesMax);
}

TEST_F(StdioChannelTest, ManyCyclesLeaveNeitherProcessNorDescriptor) {
  RecordProperty("req", "M-RISK-1 M-RISK-1.m M02-RISK-1");
  size_t before = 0;
  for (int i = 0; i < 200; ++i) {
    Start("cat");
    EXPECT_TRUE(channel_->Send(Outgoing("x")).ok());
    AwaitVoid(io_, channel_->Close());
    channel_.reset();
    ASSERT_TRUE(Await(io_, tasks_.Join(std::chrono::seconds(10))));
    if (i == 0) before = OpenDescriptors();
  }
  EXPECT_EQ(recorder_.closes, 200);
  EXPECT_EQ(OpenDescriptors(), before);
}

}  // namespace
}  // namespace metamcp::connector
