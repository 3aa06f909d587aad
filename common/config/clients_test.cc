#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/strings.h"
#include "common/config/clients.h"
#include "common/config/connect.h"
#include "common/config/import.h"

namespace metamcp::config {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ClientsTest : public testing::Test {
 protected:
  ClientsTest() {
    std::string folder = testing::TempDir() + "/clients_testXXXXXX";
    places_.home = mkdtemp(folder.data());
    places_.system = HostSystem::kLinux;
    options_.url = "http://127.0.0.1:8931/mcp";
  }
  ~ClientsTest() override { fs::remove_all(places_.home); }

  static void Write(const std::string& path, std::string_view text) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << text;
  }
  static std::string Read(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
  std::string File(Client client) const { return ClientFiles(client, places_)[0]; }

  ClientPlaces places_;
  ConnectOptions options_;
};

TEST_F(ClientsTest, KnowsTheFilesOfBothSystems) {
  ClientPlaces places;
  places.home = "/h";
  places.project = "/p";
  places.system = HostSystem::kMacos;
  EXPECT_EQ(ClientFiles(Client::kClaudeDesktop, places)[0],
            "/h/Library/Application Support/Claude/claude_desktop_config.json");
  places.system = HostSystem::kLinux;
  EXPECT_EQ(
      ClientFiles(Client::kVsCode, places),
      (std::vector<std::string>{"/h/.config/Code/User/mcp.json",
                                "/h/.config/Code/User/settings.json", "/p/.vscode/mcp.json"}));
  EXPECT_EQ(ClientFiles(Client::kClaudeCode, places),
            (std::vector<std::string>{"/h/.claude.json", "/p/.mcp.json"}));
  for (const Client client : AllClients()) EXPECT_EQ(ParseClient(ClientName(client)), client);
  EXPECT_EQ(ParseClient("emacs"), std::nullopt);
}

TEST_F(ClientsTest, ImportsClaudeCodeWithItsProjects) {
  Write(File(Client::kClaudeCode), R"({
    "numStartups": 3,
    "mcpServers": {"git": {"type": "stdio", "command": "uvx", "args": ["mcp-server-git"]},
                   "meta-mcp": {"type": "http", "url": "http://127.0.0.1:8931/mcp"}},
    "projects": {"/a": {"mcpServers": {"git": {"command": "uvx", "args": ["mcp-server-git"]}}},
                 "/b": {"mcpServers": {"git": {"command": "other"}}, "history": []}}})");
  const auto r = ImportClientBlocking(Client::kClaudeCode, places_);
  ASSERT_TRUE(r.ok()) << r.status();
  ASSERT_EQ(r->servers.size(), 2u);
  EXPECT_EQ(r->servers[0].name, "git");
  EXPECT_EQ(r->servers[1].name, "git-2");
  EXPECT_EQ(r->servers[1].server.command, "other");
  EXPECT_THAT(FormatErrors(r->notes), HasSubstr("\"meta-mcp\" is this gateway and is left out"));
}

TEST_F(ClientsTest, ImportsVsCodeWithInputsAndSettings) {
  Write(File(Client::kVsCode), R"({
    // mine
    "inputs": [{"id": "gh-token", "type": "promptString"}],
    "servers": {"gh": {"type": "http", "url": "https://h/mcp", "gallery": "x", "brandNew": 1,
                       "headers": {"Authorization": "Bearer ${input:gh-token}"}},
                "home": {"command": "x", "args": ["${userHome}/d", "${workspaceFolder}"]},
                "broken": {"type": "http"}}})");
  Write(ClientFiles(Client::kVsCode, places_)[1],
        R"({"editor.fontSize": 12, "mcp": {"servers": {"old": {"command": "y"}}}})");
  const auto r = ImportClientBlocking(Client::kVsCode, places_);
  ASSERT_TRUE(r.ok()) << r.status();
  ASSERT_EQ(r->servers.size(), 3u) << FormatErrors(r->notes);
  EXPECT_EQ(r->servers[0].server.headers.at("Authorization"), "Bearer ${GH_TOKEN}");
  EXPECT_EQ(r->servers[1].server.args[0], "${HOME}/d");
  EXPECT_EQ(r->servers[2].name, "old");
  const std::string notes = FormatErrors(r->notes);
  EXPECT_THAT(notes, HasSubstr("set GH_TOKEN where meta-mcp starts"));
  EXPECT_THAT(notes, HasSubstr("the key \"brandNew\" is left out"));
  EXPECT_THAT(notes, HasSubstr("\"broken\" is left out: found no url"));
  EXPECT_THAT(notes, HasSubstr("write the folder instead of ${workspaceFolder}"));
}

TEST_F(ClientsTest, ImportSaysWhatIsWrong) {
  EXPECT_EQ(ImportClientBlocking(Client::kCursor, places_).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ImportText("{\"mcpServers\": {", "f").status().message()),
              HasSubstr("f:1:17: found the end of the file"));
  EXPECT_TRUE(ImportText("{\"mcpServers\": [], \"projects\": 1}", "f")->servers.empty());
  Write(File(Client::kCursor), "{");
  const auto r = ImportClientBlocking(Client::kCursor, places_);
  ASSERT_TRUE(r.ok());
  EXPECT_THAT(FormatErrors(r->notes), HasSubstr("mcp.json:1:2: found the end of the file"));
}

TEST_F(ClientsTest, ConnectsEachClientInItsWords) {
  const std::pair<Client, std::string_view> kEntries[] = {
      {Client::kClaudeDesktop,
       "{\n  \"mcpServers\": {\n    \"meta-mcp\": {\n      \"command\": \"meta-mcp\",\n      "
       "\"args\": [\"stdio\"]\n    }\n  }\n}\n"},
      {Client::kClaudeCode,
       "{\n  \"mcpServers\": {\n    \"meta-mcp\": {\n      \"type\": \"http\",\n      \"url\": "
       "\"http://127.0.0.1:8931/mcp\"\n    }\n  }\n}\n"},
      {Client::kVsCode,
       "{\n  \"servers\": {\n    \"meta-mcp\": {\n      \"type\": \"http\",\n      \"url\": "
       "\"http://127.0.0.1:8931/mcp\"\n    }\n  }\n}\n"},
      {Client::kCursor,
       "{\n  \"mcpServers\": {\n    \"meta-mcp\": { \"url\": \"http://127.0.0.1:8931/mcp\" }\n  "
       "}\n}\n"},
  };
  for (const auto& [client, text] : kEntries) {
    const auto r = ConnectClientBlocking(client, places_, options_);
    ASSERT_TRUE(r.ok()) << r.status();
    EXPECT_TRUE(r->changed);
    EXPECT_EQ(r->backup, "");
    EXPECT_EQ(Read(r->file), text);
    EXPECT_FALSE(ConnectClientBlocking(client, places_, options_)->changed) << "the second time";
  }
}

TEST_F(ClientsTest, KeepsTheRestAndABackup) {
  constexpr std::string_view kBefore =
      "{\n  \"numStartups\": 3,\n  \"mcpServers\": {\n    \"git\": { \"command\": \"uvx\" }\n  },\n"
      "  \"projects\": { \"/a\": { \"history\": [1, 2] } }\n}\n";
  Write(File(Client::kClaudeCode), kBefore);
  options_.headers = {{"Authorization", "Bearer ${TOKEN}"}};
  const auto r = ConnectClientBlocking(Client::kClaudeCode, places_, options_);
  ASSERT_TRUE(r.ok()) << r.status();
  EXPECT_EQ(Read(r->backup), kBefore);
  EXPECT_THAT(Read(r->file), HasSubstr("\"headers\": { \"Authorization\": \"Bearer ${TOKEN}\" }"));
  options_.url = "http://127.0.0.1:1/mcp";
  EXPECT_TRUE(ConnectClientBlocking(Client::kClaudeCode, places_, options_)->changed);
  EXPECT_THAT(Read(r->file), testing::Not(HasSubstr("8931")));
  EXPECT_TRUE(DisconnectClientBlocking(Client::kClaudeCode, places_, options_)->changed);
  EXPECT_EQ(Read(r->file), kBefore);
  EXPECT_FALSE(DisconnectClientBlocking(Client::kClaudeCode, places_, options_)->changed);
}

TEST_F(ClientsTest, LeavesABrokenFileAlone) {
  Write(File(Client::kCursor), "{ \"mcpServers\": ");
  const auto r = ConnectClientBlocking(Client::kCursor, places_, options_);
  EXPECT_EQ(r.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Read(File(Client::kCursor)), "{ \"mcpServers\": ");
}

}  // namespace
}  // namespace metamcp::config
