#include "services/connector/child_process.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fstream>

#include "common/base/error.h"
#include "services/connector/test_util.h"

namespace metamcp::connector {
namespace {

using ::testing::HasSubstr;

SpawnOptions Shell(const std::string& script) {
  SpawnOptions options;
  options.command = "/bin/sh";
  options.args = {"-c", script};
  return options;
}

Awaitable<std::string> ReadAll(ChildProcess& child) {
  std::string out;
  std::array<char, 1024> chunk;
  while (true) {
    const auto space = boost::asio::buffer(chunk);
    const auto [error, n] = co_await child.out().async_read_some(
        space, boost::asio::as_tuple(boost::asio::use_awaitable));
    if (error) co_return out;
    out.append(chunk.data(), n);
  }
}

class ChildProcessTest : public ::testing::Test {
 protected:
  std::unique_ptr<ChildProcess> Start(const SpawnOptions& options) {
    auto child = ChildProcess::Spawn(io_.get_executor(), options, budget_);
    EXPECT_TRUE(child.ok()) << child.status();
    return child.ok() ? std::move(*child) : nullptr;
  }
  boost::asio::io_context io_{1};
  ProcessBudget budget_{4};
};

TEST_F(ChildProcessTest, RunsAndReportsTheExitCode) {
  RecordProperty("req", "M-FR-002.1 M02-US-001.2");
  auto child = Start(Shell("printf hello; exit 3"));
  EXPECT_EQ(Await(io_, ReadAll(*child)), "hello");
  EXPECT_TRUE(Await(io_, child->WaitExit()));
  EXPECT_EQ(child->exit_status().ToString(), "exited with code 3");
  EXPECT_EQ(budget_.running(), 0);
}

TEST_F(ChildProcessTest, MissingCommandIsNamed) {
  SpawnOptions options;
  options.command = "no-such-command-here";
  const auto child = ChildProcess::Spawn(io_.get_executor(), options, budget_);
  EXPECT_THAT(std::string(child.status().message()), HasSubstr("no-such-command-here"));
  EXPECT_THAT(std::string(child.status().message()), HasSubstr("install it"));
  options.command = "/no/such/file";
  const auto absolute = ChildProcess::Spawn(io_.get_executor(), options, budget_);
  EXPECT_THAT(std::string(absolute.status().message()), HasSubstr("/no/such/file"));
  EXPECT_EQ(GetErrorInfo(absolute.status())->reason, "UPSTREAM_UNAVAILABLE");
  options.command = "/bin/sh";
  options.cwd = "/no/such/folder";
  const auto folder = ChildProcess::Spawn(io_.get_executor(), options, budget_);
  EXPECT_THAT(std::string(folder.status().message()), HasSubstr("/no/such/folder"));
  EXPECT_EQ(budget_.running(), 0);
}

TEST_F(ChildProcessTest, OnlyTheConfiguredEnvironmentLeaksIn) {
  ::setenv("METAMCP_TEST_SECRET", "leak", 1);
  SpawnOptions options = Shell("echo \"[$METAMCP_TEST_SECRET][$GIVEN]\"");
  options.env["GIVEN"] = "yes";
  auto child = Start(options);
  EXPECT_EQ(Await(io_, ReadAll(*child)), "[][yes]\n");
  ::unsetenv("METAMCP_TEST_SECRET");
}

TEST_F(ChildProcessTest, ConfiguredPathIsSearchedAndDirectoryUsed) {
  const std::string folder = TempDir();
  std::ofstream(folder + "/tool") << "#!/bin/sh\npwd\n";
  ASSERT_EQ(::chmod((folder + "/tool").c_str(), 0755), 0);
  SpawnOptions options;
  options.command = "tool";
  options.env["PATH"] = folder + ":/usr/bin:/bin";
  options.cwd = folder;
  auto child = Start(options);
  EXPECT_THAT(Await(io_, ReadAll(*child)), HasSubstr(folder.substr(folder.rfind('/'))));
}

TEST_F(ChildProcessTest, InheritsNoDescriptorAndDefaultSignals) {
  ::signal(SIGPIPE, SIG_IGN);
  const int extra = ::dup(0);
  auto child = Start(Shell("ls /proc/self/fd | wc -l; grep SigIgn /proc/self/status"));
  const std::string out = Await(io_, ReadAll(*child));
  ::close(extra);
  // 0, 1, 2 and the one that ls opens.
  EXPECT_THAT(out, ::testing::StartsWith("4\n"));
  // The lower 31 signals; the two above belong to the C library.
  EXPECT_THAT(out, ::testing::ContainsRegex("SigIgn:.*[08]0000000\n"));
}

TEST_F(ChildProcessTest, TheCapIsHard) {
  RecordProperty("req", "M02-RISK-4");
  std::vector<std::unique_ptr<ChildProcess>> children;
  for (int i = 0; i < 4; ++i) children.push_back(Start(Shell("sleep 100")));
  const auto fifth = ChildProcess::Spawn(io_.get_executor(), Shell("true"), budget_);
  EXPECT_EQ(GetErrorInfo(fifth.status())->reason, "QUEUE_FULL");
  children.pop_back();
  EXPECT_TRUE(ChildProcess::Spawn(io_.get_executor(), Shell("true"), budget_).ok());
}

TEST_F(ChildProcessTest, StopEscalatesAndTakesTheGroupAlong) {
  RecordProperty("req", "M-RISK-1.m M02-US-001.3");
  auto child = Start(Shell("trap '' TERM; sleep 600 & echo $!; while true; do wait; done"));
  std::array<char, 64> chunk;
  const auto space = boost::asio::buffer(chunk);
  const auto n = Await(io_, child->out().async_read_some(space, boost::asio::use_awaitable));
  const int grandchild = std::atoi(std::string(chunk.data(), n).c_str());
  ASSERT_GT(grandchild, 1);
  AwaitVoid(io_, child->Stop(std::chrono::milliseconds(20)));
  EXPECT_TRUE(child->exited());
  EXPECT_EQ(child->exit_status().signal, SIGKILL);
  EXPECT_TRUE(GoneSoon(grandchild));
}

TEST_F(ChildProcessTest, GrandchildrenOfADeadLeaderAreKilled) {
  RecordProperty("req", "M-RISK-1.m");
  auto child = Start(Shell("sleep 600 >/dev/null 2>&1 & echo $!; exit 0"));
  const int grandchild = std::atoi(Await(io_, ReadAll(*child)).c_str());
  EXPECT_TRUE(Await(io_, child->WaitExit()));
  EXPECT_TRUE(GoneSoon(grandchild));
}

TEST_F(ChildProcessTest, DestructionKills) {
  auto child = Start(Shell("sleep 600"));
  const int pid = child->pid();
  child.reset();
  EXPECT_NE(::kill(pid, 0), 0);
  EXPECT_EQ(budget_.running(), 0);
}

TEST_F(ChildProcessTest, ManyCyclesLeaveNothing) {
  RecordProperty("req", "M-RISK-1 M-RISK-1.m");
  size_t before = 0;
  for (int i = 0; i < 200; ++i) {
    auto child = Start(Shell("cat"));
    AwaitVoid(io_, child->Stop(std::chrono::seconds(30)));
    EXPECT_EQ(child->exit_status().code, 0);
    child.reset();
    if (i == 0) before = OpenDescriptors();
  }
  EXPECT_EQ(OpenDescriptors(), before);
  EXPECT_EQ(budget_.running(), 0);
}

}  // namespace
}  // namespace metamcp::connector
