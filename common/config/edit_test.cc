#include "common/config/edit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/config/load.h"

namespace metamcp::config {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class EditTest : public testing::Test {
 protected:
  EditTest() {
    std::string folder = testing::TempDir() + "/edit_testXXXXXX";
    folder_ = mkdtemp(folder.data());
    path_ = folder_ + "/config.json";
  }
  ~EditTest() override { fs::remove_all(folder_); }

  void Write(std::string_view text) { std::ofstream(path_) << text; }
  std::string Read() const {
    std::ostringstream out;
    out << std::ifstream(path_).rdbuf();
    return out.str();
  }
  mode_t Mode() const {
    struct stat info {};
    stat(path_.c_str(), &info);
    return info.st_mode & 07777;
  }
  int Files() const { return static_cast<int>(std::distance(fs::directory_iterator(folder_), {})); }
  static ServerConfig Command(std::string command) {
    ServerConfig server;
    server.type = "stdio";
    server.command = std::move(command);
    return server;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(EditTest, AddsToAFileThatIsNotThereYet) {
  RecordProperty("req", "M-FR-003.1");
  path_ = folder_ + "/new/config.json";
  ServerConfig server = Command("uvx");
  server.args = {"mcp-server-git"};
  ASSERT_TRUE(AddServerBlocking(path_, "git", server).ok());
  EXPECT_EQ(Read(),
            "{\n  \"mcpServers\": {\n    \"git\": {\n      \"command\": \"uvx\",\n      \"args\": "
            "[\"mcp-server-git\"]\n    }\n  }\n}\n");
  EXPECT_EQ(Mode(), 0600u);
}

TEST_F(EditTest, KeepsCommentsOrderAndMode) {
  Write(
      "// mine\n{\n  \"mcpServers\": {\n    // the first\n    \"b\": { \"command\": \"x\" }\n  },\n"
      "  \"gateway\": { /* ! */ \"pageSize\": 7 },\n}\n");
  chmod(path_.c_str(), 0640);
  ASSERT_TRUE(AddServerBlocking(path_, "a", Command("y")).ok());
  ASSERT_TRUE(SetServerDisabledBlocking(path_, "b", true).ok());
  EXPECT_EQ(Read(),
            "// mine\n{\n  \"mcpServers\": {\n    // the first\n    \"b\": { \"command\": \"x\", "
            "\"disabled\": true },\n    \"a\": { \"command\": \"y\" }\n  },\n"
            "  \"gateway\": { /* ! */ \"pageSize\": 7 },\n}\n");
  ASSERT_TRUE(RemoveServerBlocking(path_, "a").ok());
  ASSERT_TRUE(SetServerDisabledBlocking(path_, "b", false).ok());
  EXPECT_THAT(Read(), HasSubstr("\"b\": { \"command\": \"x\", \"disabled\": false }\n  },"));
  EXPECT_EQ(Mode(), 0640u);
  EXPECT_EQ(Files(), 1) << "no lock and no temporary left";
}

TEST_F(EditTest, SwitchesTheKeyThatTheFileUses) {
  Write("{\"servers\": {\"a\": {\"command\": \"x\", \"enabled\": false}}}");
  ASSERT_TRUE(SetServerDisabledBlocking(path_, "a", false).ok());
  EXPECT_EQ(Read(), "{\"servers\": {\"a\": {\"command\": \"x\", \"enabled\": true}}}");
  ASSERT_TRUE(AddServerBlocking(path_, "b", Command("y")).ok());
  EXPECT_THAT(Read(), HasSubstr("\"enabled\": true}, \"b\": { \"command\": \"y\" }}}"));
}

TEST_F(EditTest, RefusesWhatWouldNotLoad) {
  Write("{\"mcpServers\": {\"My App\": {\"command\": \"x\"}}}");
  const std::string before = Read();
  EXPECT_EQ(AddServerBlocking(path_, "my-app", Command("y")).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(AddServerBlocking(path_, "b", ServerConfig()).code(),
            absl::StatusCode::kInvalidArgument);
  const absl::Status missing = RemoveServerBlocking(path_, "My Ap");
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("did you mean \"My App\"?"));
  EXPECT_EQ(Read(), before);
  Write("{\"mcpServers\": {\"a\": }}");
  EXPECT_THAT(std::string(AddServerBlocking(path_, "b", Command("y")).message()),
              HasSubstr("config.json:1:22: found '}', expected a value"));
}

TEST_F(EditTest, AVariableMissingInThisShellIsNoFault) {
  Write("{\"auth\": {\"keys\": [{\"name\": \"ci\", \"key\": \"${SURELY_NOT_SET}\"}]}}");
  EXPECT_TRUE(AddServerBlocking(path_, "a", Command("x")).ok());
  EXPECT_THAT(Read(), HasSubstr("${SURELY_NOT_SET}"));
}

TEST_F(EditTest, LeavesAReadOnlyFileAlone) {
  Write("{}");
  chmod(path_.c_str(), 0444);
  const absl::Status status = AddServerBlocking(path_, "a", Command("x"));
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is read-only"));
  EXPECT_EQ(Read(), "{}");
}

TEST_F(EditTest, EditsBehindASymbolicLink) {
  Write("{}");
  const std::string link = folder_ + "/link.json";
  fs::create_symlink("config.json", link);
  ASSERT_TRUE(AddServerBlocking(link, "a", Command("x")).ok());
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_THAT(Read(), HasSubstr("\"a\""));
}

TEST_F(EditTest, TwoEditorsLoseNothing) {
  constexpr int kEach = 20;
  const auto add = [this](const std::string& prefix) {
    for (int i = 0; i < kEach; ++i) {
      EXPECT_TRUE(AddServerBlocking(path_, StrCat(prefix, i), Command("x")).ok());
    }
  };
  std::thread other(add, "a");
  add("b");
  other.join();
  const auto loaded = LoadConfigBlocking(path_, {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.mcp_servers.size(), 2u * kEach);
}

TEST_F(EditTest, CreatesTheDefaultFileOnce) {
  RecordProperty("req", "M-FR-003.6");
  ASSERT_TRUE(CreateConfigBlocking(path_).ok());
  EXPECT_EQ(LoadConfigBlocking(path_, {})->config, Config());
  EXPECT_EQ(CreateConfigBlocking(path_).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(AddServerBlocking(path_, "git", Command("uvx")).ok());
  EXPECT_THAT(Read(), HasSubstr("// \"git\":")) << "the comments stay";
}

TEST_F(EditTest, MigratesVersion0WithABackup) {
  RecordProperty("req", "M-FR-003.5");
  constexpr std::string_view kOld =
      "{\"mcp_servers\": [{\"name\": \"fs\", \"type\": \"stdio\", \"command\": \"npx\"}], "
      "\"ai_api\": {}, \"storage_path\": \"~/s.db\"}";
  Write(kOld);
  EXPECT_THAT(std::string(AddServerBlocking(path_, "a", Command("x")).message()),
              HasSubstr("config migrate"));
  const auto result = MigrateConfigBlocking(path_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->changed);
  EXPECT_THAT(result->notes, HasSubstr("ai_api is dropped"));
  EXPECT_THAT(result->backup, testing::StartsWith(path_ + ".bak-"));
  LoadOptions options;
  options.env = {{"HOME", "/h"}};
  const auto loaded = LoadConfigBlocking(path_, options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.mcp_servers.at("fs").command, "npx");
  EXPECT_EQ(loaded->config.database.url, "sqlite:/h/s.db");
  EXPECT_TRUE(loaded->notes.empty());
  path_ = result->backup;
  EXPECT_EQ(Read(), kOld);
}

TEST_F(EditTest, LeavesACurrentFileAlone) {
  RecordProperty("req", "M-FR-003.5");
  Write("{\"version\": 1} // x");
  EXPECT_FALSE(MigrateConfigBlocking(path_)->changed);
  EXPECT_EQ(Read(), "{\"version\": 1} // x");
  EXPECT_EQ(MigrateConfigBlocking(folder_ + "/none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace metamcp::config
