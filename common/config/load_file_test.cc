// Reading the file itself: missing, broken, no file at all, open to others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/config/load.h"

namespace metamcp::config {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TempFile {
 public:
  explicit TempFile(std::string_view text, mode_t mode = 0600) {
    std::string folder = testing::TempDir() + "/load_testXXXXXX";
    folder_ = mkdtemp(folder.data());
    path_ = folder_ + "/config.json";
    std::ofstream(path_) << text;
    chmod(path_.c_str(), mode);
  }
  ~TempFile() { std::filesystem::remove_all(folder_); }
  const std::string& path() const { return path_; }

 private:
  std::string folder_;
  std::string path_;
};

TEST(LoadFileTest, AMissingFileMeansTheDefaults) {
  RecordProperty("req", "M-FR-003.1,M-FR-003.6");
  const std::string path = testing::TempDir() + "/no/such/config.json";
  const auto r = LoadConfigBlocking(path, {});
  ASSERT_TRUE(r.ok()) << r.status();
  EXPECT_FALSE(r->from_file);
  EXPECT_EQ(r->config, Config());
  LoadOptions options;
  options.require_file = true;
  EXPECT_EQ(LoadConfigBlocking(path, options).status().code(), absl::StatusCode::kNotFound);
}

TEST(LoadFileTest, AnInvalidFileFailsWithAllErrors) {
  RecordProperty("req", "M-AC-5.6.2");
  const TempFile file("{\"gateway\": {\"pageSize\": 0},\n \"x\": 1}");
  const auto r = LoadConfigBlocking(file.path(), {});
  ASSERT_EQ(GetErrorInfo(r.status())->reason, "CONFIG_INVALID");
  EXPECT_EQ(
      Sv(r.status().message()),
      StrCat(file.path(),
             ":1:26: found 0 for gateway.pageSize, expected a whole number from 1 to 100000\n",
             file.path(),
             ":2:2: found the unknown key \"x\"; see docs/configuration.md for "
             "the known keys, or remove it"));
}

TEST(LoadFileTest, AFolderIsNoFile) {
  EXPECT_EQ(LoadConfigBlocking(testing::TempDir(), {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(LoadFileTest, WarnsOfCredentialsThatOthersCanRead) {
  constexpr std::string_view kLiteral =
      "{\"mcpServers\": {\"a\": {\"command\": \"x\", \"env\": {\"TOKEN\": \"planted-value\"}}}}";
  constexpr std::string_view kReference =
      "{\"mcpServers\": {\"a\": {\"command\": \"x\", \"env\": {\"TOKEN\": \"${T:-}\"}}}}";
  const TempFile open(kLiteral, 0644), closed(kLiteral, 0600), harmless(kReference, 0644);
  const auto notes = [](const TempFile& file) {
    return FormatErrors(LoadConfigBlocking(file.path(), {})->notes);
  };
  EXPECT_THAT(notes(open),
              HasSubstr("mcpServers.a.env.TOKEN is written out in it; run 'chmod 600"));
  EXPECT_THAT(notes(open), testing::Not(HasSubstr("planted-value")));
  EXPECT_THAT(notes(closed), IsEmpty());
  EXPECT_THAT(notes(harmless), IsEmpty());
}

}  // namespace
}  // namespace metamcp::config
