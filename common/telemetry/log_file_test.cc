#include "common/telemetry/log_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/telemetry/log.h"

namespace metamcp {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kSecond = 1'000'000;

class LogFileTest : public ::testing::Test {
 protected:
  LogFileTest()
      : folder_(fs::temp_directory_path() / ("metamcp-log-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
    options_.path = folder_ / "log";
  }
  ~LogFileTest() override { fs::remove_all(folder_); }
  std::string Read(const std::string& name) const {
    std::ifstream in(folder_ / name);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }
  size_t Files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }
  const fs::path folder_;
  LogFile::Options options_;
};

TEST_F(LogFileTest, ChangesWhenItIsFullAndKeepsSoMany) {
  ::testing::Test::RecordProperty("req", "P1-Obs-1");
  options_.bytes_max = 10;
  options_.files_max = 2;
  LogFile file(options_);
  ASSERT_TRUE(file.Open(nullptr));
  for (const char* line : {"one--\n", "two--\n", "three\n", "four-\n"}) file.Write(line, kSecond);
  EXPECT_EQ(Read("log"), "four-\n");
  EXPECT_EQ(Read("log.1"), "three\n");
  EXPECT_EQ(Read("log.2"), "two--\n");
  EXPECT_EQ(Files(), 3u);
  EXPECT_EQ(fs::status(folder_ / "log").permissions() & fs::perms::mask,
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(LogFileTest, ChangesWhenItIsOldAndGoesOnWhereItWas) {
  options_.age_max_s = 60;
  {
    LogFile file(options_);
    ASSERT_TRUE(file.Open(nullptr));
    file.Write("a\n", 1000 * kSecond);
    file.Write("b\n", 1060 * kSecond);
    EXPECT_EQ(Files(), 1u);
    file.Write("c\n", 1061 * kSecond);
    EXPECT_EQ(Read("log.1"), "a\nb\n");
  }
  LogFile again(options_);
  ASSERT_TRUE(again.Open(nullptr));
  again.Write("d\n", 1062 * kSecond);
  EXPECT_EQ(Read("log"), "c\nd\n");
}

TEST_F(LogFileTest, ALineLongerThanAFileIsWrittenAlone) {
  options_.bytes_max = 4;
  LogFile file(options_);
  ASSERT_TRUE(file.Open(nullptr));
  file.Write("long line\n", kSecond);
  file.Write("b\n", kSecond);
  EXPECT_EQ(Read("log.1"), "long line\n");
  EXPECT_EQ(Read("log"), "b\n");
}

TEST_F(LogFileTest, AFolderThatIsNotThereIsSaid) {
  std::string error;
  EXPECT_FALSE(SetLogFile(folder_ / "none" / "log", 10, 0, 1, &error));
  EXPECT_NE(error.find("none/log: "), std::string::npos);
}

TEST_F(LogFileTest, TheLogGoesThereAsJsonToo) {
  SetLogWriter([](std::string_view) {});
  ASSERT_TRUE(SetLogFile(options_.path, 1000, 0, 1, nullptr));
  SetLogText(true);
  Log(LogLevel::kInfo, "a.b", {{"n", 1}});
  SetLogText(false);
  ASSERT_TRUE(SetLogFile("", 0, 0, 0, nullptr));
  SetLogWriter(nullptr);
  EXPECT_NE(Read("log").find("\"event\":\"a.b\",\"n\":1}\n"), std::string::npos) << Read("log");
}

}  // namespace
}  // namespace metamcp
