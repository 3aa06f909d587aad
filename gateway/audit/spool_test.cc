#include "gateway/audit/spool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <set>

#include "common/async/run.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "gateway/audit/spool_files.h"

namespace metamcp::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SpoolTest : public testing::Test {
 protected:
  SpoolTest() {
    options_.folder = std::filesystem::temp_directory_path() / StrCat("spool-", NewUuidV7());
  }
  ~SpoolTest() override { std::filesystem::remove_all(options_.folder); }

  SpoolFiles Open() {
    auto files = SpoolFiles::Open(options_);
    EXPECT_TRUE(files.ok()) << files.status();
    return *std::move(files);
  }
  std::string SegmentPath(int index) const {
    return StrCat(options_.folder, "/0/", std::string(11, '0'), index, ".events");
  }

  SpoolOptions options_;
};

TEST_F(SpoolTest, KeepsOrderAndGivesAgainWhatWasNotConfirmed) {
  RecordProperty("req", "M-FR-007.5");
  {
    SpoolFiles files = Open();
    ASSERT_TRUE(files.Write({"one", "two"}).ok());
    ASSERT_TRUE(files.Write({"three"}).ok());
    auto first = files.Read(2);
    ASSERT_TRUE(first.ok());
    EXPECT_THAT(first->events, ElementsAre("one", "two"));
    ASSERT_TRUE(files.Confirm(first->end).ok());
    EXPECT_THAT(files.Read(9)->events, ElementsAre("three"));
    EXPECT_THAT(files.Read(9)->events, IsEmpty());
  }
  SpoolFiles files = Open();
  EXPECT_THAT(files.Read(9)->events, ElementsAre("three"));
  ASSERT_TRUE(files.Write({"four"}).ok());
  EXPECT_THAT(files.Read(9)->events, ElementsAre("four"));
}

TEST_F(SpoolTest, ATornEventAtTheEndIsCutOff) {
  RecordProperty("req", "M-FR-007.5");
  {
    SpoolFiles files = Open();
    ASSERT_TRUE(files.Write({"whole", "torn"}).ok());
  }
  std::filesystem::resize_file(SegmentPath(1), std::filesystem::file_size(SegmentPath(1)) - 2);
  SpoolFiles files = Open();
  ASSERT_TRUE(files.Write({"next"}).ok());
  EXPECT_THAT(files.Read(9)->events, ElementsAre("whole", "next"));
}

TEST_F(SpoolTest, DamageInTheMiddleLosesOneSegmentOnly) {
  options_.segment_bytes = 16;
  {
    SpoolFiles files = Open();
    ASSERT_TRUE(files.Write({"first event"}).ok());
    ASSERT_TRUE(files.Write({"second event"}).ok());
    ASSERT_TRUE(files.Write({"third event"}).ok());
  }
  {
    std::fstream file(SegmentPath(2), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(10);
    file.put('X');
  }
  SpoolFiles files = Open();
  std::vector<std::string> all;
  for (int i = 0; i < 6; ++i) {
    const auto batch = files.Read(9);
    for (const std::string& event : batch->events) all.push_back(event);
  }
  EXPECT_THAT(all, ElementsAre("first event", "third event"));
}

TEST_F(SpoolTest, ConfirmedSegmentsGo) {
  options_.segment_bytes = 16;
  SpoolFiles files = Open();
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(files.Write({"sixteen bytes it is"}).ok());
  EXPECT_TRUE(std::filesystem::exists(SegmentPath(1)));
  EXPECT_GT(files.bytes(), 0);
  for (auto batch = files.Read(9); !batch->events.empty(); batch = files.Read(9)) {
    ASSERT_TRUE(files.Confirm(batch->end).ok());
  }
  EXPECT_FALSE(std::filesystem::exists(SegmentPath(1)));
  EXPECT_EQ(files.bytes(), 0);
}

TEST_F(SpoolTest, AFullSpoolRefusesAndTakesAgain) {
  RecordProperty("req", "M-FR-007.5");
  options_.bytes_max = 64;
  SpoolFiles files = Open();
  ASSERT_TRUE(files.Write({std::string(40, 'a')}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(files.Write({std::string(40, 'b')})));
  auto batch = files.Read(9);
  ASSERT_TRUE(files.Confirm(batch->end).ok());
  EXPECT_TRUE(files.Write({std::string(40, 'c')}).ok());
  EXPECT_THAT(files.Read(9)->events, ElementsAre(std::string(40, 'c')));
}

// A limit of the process's file size stands for a full disk: the kernel writes a part and refuses
// the rest.
TEST_F(SpoolTest, AFullDiskLeavesWholeEvents) {
  RecordProperty("req", "M-FR-007.5");
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100, 100};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    auto files = SpoolFiles::Open(options_);
    int code = files.ok() ? 0 : 10;
    if (code == 0 && !files->Write({std::string(60, 'a')}).ok()) code = 11;
    if (code == 0 && files->Write({std::string(60, 'b')}).ok()) code = 12;
    if (code == 0 && !files->Write({std::string(10, 'c')}).ok()) code = 13;
    ::_exit(code);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  SpoolFiles files = Open();
  EXPECT_THAT(files.Read(9)->events, ElementsAre(std::string(60, 'a'), std::string(10, 'c')));
}

TEST_F(SpoolTest, TwoProcessesHaveFoldersOfTheirOwn) {
  SpoolFiles one = Open();
  SpoolFiles two = Open();
  ASSERT_TRUE(one.Write({"one"}).ok());
  ASSERT_TRUE(two.Write({"two"}).ok());
  EXPECT_THAT(one.Read(9)->events, ElementsAre("one"));
  EXPECT_THAT(two.Read(9)->events, ElementsAre("two"));
}

Awaitable<void> Writer(Spool* spool, int from, int pipe) {
  for (int i = from;; i += 8) {
    auto appending = spool->Append(StrCat("event ", i));
    const absl::Status written = co_await std::move(appending);
    if (!written.ok()) co_return;
    // Acknowledged: from here on it must never be lost.
    const int32_t number = i;
    if (::write(pipe, &number, sizeof(number)) != sizeof(number)) co_return;
  }
}

TEST_F(SpoolTest, NothingAcknowledgedIsLostOrTwiceAfterKill) {
  RecordProperty("req", "M-FR-007.5");
  for (int round = 0; round < 3; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      boost::asio::io_context io(1);
      options_.sync = std::chrono::milliseconds(round == 0 ? 0 : 20);
      options_.segment_bytes = 4000;
      auto spool = Spool::OpenBlocking(io.get_executor(), options_);
      if (!spool.ok()) ::_exit(1);
      for (int w = 0; w < 8; ++w) {
        boost::asio::co_spawn(io, Writer(spool->get(), round * 1'000'000 + w, ends[1]),
                              [](std::exception_ptr) {});
      }
      io.run();
      ::_exit(0);
    }
    ::close(ends[1]);
    std::vector<int32_t> acknowledged;
    int32_t number = 0;
    while (acknowledged.size() < 300 &&
           ::read(ends[0], &number, sizeof(number)) == sizeof(number)) {
      acknowledged.push_back(number);
    }
    ::kill(child, SIGKILL);
    while (::read(ends[0], &number, sizeof(number)) == sizeof(number)) {
      acknowledged.push_back(number);
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_GE(acknowledged.size(), 300u);

    SpoolFiles files = Open();
    std::multiset<std::string> found;
    int empty = 0;
    while (empty < 2) {
      auto batch = files.Read(100);
      ASSERT_TRUE(batch.ok());
      empty = batch->events.empty() ? empty + 1 : 0;
      found.insert(batch->events.begin(), batch->events.end());
      ASSERT_TRUE(files.Confirm(batch->end).ok());
    }
    for (const int32_t one : acknowledged) {
      ASSERT_EQ(found.count(StrCat("event ", one)), 1u) << one << " of round " << round;
    }
  }
}

}  // namespace
}  // namespace metamcp::gateway
