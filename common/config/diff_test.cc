#include "common/config/diff.h"

#include <gtest/gtest.h>

namespace metamcp::config {
namespace {

Config Base() {
  Config c;
  c.mcp_servers["git"].command = "uvx";
  c.mcp_servers["docs"].url = "https://h";
  c.virtual_servers["plain"].prefix = "none";
  return c;
}

TEST(DiffTest, EqualConfigsHaveNoDifference) {
  EXPECT_TRUE(Diff(Base(), Base()).empty());
  EXPECT_EQ(DiffText(Diff(Base(), Base())), "no change");
}

TEST(DiffTest, NamesOnlyWhatChanged) {
  RecordProperty("req", "M-AC-5.6.3,M-FR-003.2");
  Config after = Base();
  after.mcp_servers.erase("docs");
  after.mcp_servers["fs"].command = "npx";
  after.virtual_servers["plain"].tools.include = {"*"};
  after.gateway.page_size = 5;
  after.gateway.listen = "127.0.0.1:0";
  const ConfigDiff diff = Diff(Base(), after);
  EXPECT_EQ(diff.servers.added, std::vector<std::string>{"fs"});
  EXPECT_EQ(diff.servers.removed, std::vector<std::string>{"docs"});
  EXPECT_TRUE(diff.servers.changed.empty()) << "git is untouched";
  EXPECT_TRUE(diff.needs_restart());
  EXPECT_EQ(
      DiffText(diff),
      "servers +fs -docs; virtual servers ~plain; gateway.listen \"127.0.0.1:8931\" -> "
      "\"127.0.0.1:0\" (after a restart); gateway.pageSize \"1000\" -> \"5\" (after a restart)");
}

TEST(DiffTest, SeesEveryFieldOfAServer) {
  Config after = Base();
  after.mcp_servers["git"].tls.min = "1.2";
  EXPECT_EQ(DiffText(Diff(Base(), after)), "servers ~git");
  EXPECT_FALSE(Diff(Base(), after).needs_restart());
  after.telemetry.log_level = "debug";
  EXPECT_EQ(DiffText(Diff(Base(), after)),
            "servers ~git; telemetry.logLevel \"info\" -> \"debug\"");
  EXPECT_FALSE(Diff(Base(), after).needs_restart());
  after.auth.keys.push_back(KeyConfig{"ci", "0123456789abcdef", "default", {}});
  EXPECT_FALSE(Diff(Base(), after).needs_restart());
}

TEST(DiffTest, NeverShowsSecrets) {
  Config before = Base(), after = Base();
  before.database.url = "postgresql://u:old@h/d";
  after.database.url = "postgresql://u:new@h/d";
  after.auth.keys.push_back(KeyConfig{"ci", "0123456789abcdef", "default", {}});
  EXPECT_EQ(DiffText(Diff(before, after)),
            "keys +ci; database.url \"***\" -> \"***\" (after a restart)");
}

}  // namespace
}  // namespace metamcp::config
