#include "common/config/watch.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <fstream>

namespace metamcp::config {
namespace {

namespace fs = std::filesystem;

class WatchTest : public testing::Test {
 protected:
  WatchTest() {
    std::string folder = testing::TempDir() + "/watch_testXXXXXX";
    folder_ = mkdtemp(folder.data());
    path_ = folder_ + "/config.json";
  }
  ~WatchTest() override { fs::remove_all(folder_); }

  void Write(const std::string& name, std::string_view text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  void Watch() {
    FileWatcher::Options options;
    options.debounce = std::chrono::milliseconds(1);
    options.poll = std::chrono::milliseconds(5);
    auto watcher = FileWatcher::Create(io_.get_executor(), path_, options, [this] { ++calls_; });
    ASSERT_TRUE(watcher.ok()) << watcher.status();
    watcher_ = *std::move(watcher);
  }
  // Runs until one more callback came; a watcher that misses it hits the test's time limit.
  void AwaitCall() {
    const int before = calls_;
    while (calls_ == before) io_.run_one();
  }

  boost::asio::io_context io_;
  std::string folder_;
  std::string path_;
  std::unique_ptr<FileWatcher> watcher_;
  int calls_ = 0;
};

TEST_F(WatchTest, SeesTheSameWithoutInotify) {
  RecordProperty("req", "M-FR-003.2");
  Write("config.json", "{}");
  const boost::asio::steady_timer reactor(io_);  // its descriptors are there before
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Watch();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_NE(watcher_, nullptr);
  Write("config.json", "{ }");
  AwaitCall();
  Write("new", "{  }");
  fs::rename(folder_ + "/new", path_);
  AwaitCall();
  fs::remove(path_);
  AwaitCall();
  watcher_.reset();
  io_.restart();
  io_.poll();  // what was cancelled
  io_.restart();
  EXPECT_EQ(io_.run(), 0u) << "nothing is left";
}

TEST_F(WatchTest, SeesWritingRenamingRemovalAndReturn) {
  RecordProperty("req", "M-FR-003.2");
  Write("config.json", "{}");
  Watch();
  Write("config.json", "{ }");
  AwaitCall();
  Write("new", "{  }");
  fs::rename(folder_ + "/new", path_);
  AwaitCall();
  fs::remove(path_);
  AwaitCall();
  Write("config.json", "{   }");
  AwaitCall();
}

TEST_F(WatchTest, SeesAFileThatWasMissing) {
  Watch();
  Write("config.json", "{}");
  AwaitCall();
}

TEST_F(WatchTest, SeesTheLinkSwapOfAMountedConfigMap) {
  RecordProperty("req", "M-FR-003.2");
  for (const std::string version : {"..v1", "..v2", "..v3"}) {
    fs::create_directory(folder_ + "/" + version);
    Write(version + "/config.json", version);
  }
  fs::create_symlink("..v1", folder_ + "/..data");
  fs::create_symlink("..data/config.json", path_);
  Watch();
  for (const std::string version : {"..v2", "..v3"}) {
    fs::create_symlink(version, folder_ + "/..next");
    fs::rename(folder_ + "/..next", folder_ + "/..data");
    AwaitCall();
  }
  // The folder that the links lead to now is watched as well.
  Write("..v3/config.json", "longer than before");
  AwaitCall();
}

TEST_F(WatchTest, OtherFilesAndDestructionGiveNoCall) {
  Write("config.json", "{}");
  Watch();
  Write("other", "x");
  Write("config.json", "{ }");
  AwaitCall();
  Write("config.json", "{  }");
  watcher_.reset();
  io_.run();
  EXPECT_EQ(calls_, 1);
}

TEST_F(WatchTest, NeedsTheFolder) {
  const auto watcher =
      FileWatcher::Create(io_.get_executor(), folder_ + "/none/config.json", {}, [] {});
  EXPECT_EQ(watcher.status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace metamcp::config
