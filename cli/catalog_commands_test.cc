#include "cli/command_fixture.h"
#include "cli/endpoint.h"

namespace metamcp::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using CatalogCommandTest = CommandTest;

constexpr char kServers[] = R"({"upstreams":[
  {"meta":{"id":"1","name":"git"},"spec":{"type":"stdio","command":"uvx","args":["mcp-server-git"]},
   "enabled":true,"status":{"state":"ready","tools":12,"resources":1,"templates":2,"prompts":0}},
  {"meta":{"id":"2","name":"docs"},"spec":{"type":"http","url":"https://docs.test/mcp"},
   "enabled":false,"status":{"state":"stopped"}}],"nextPageToken":""})";

TEST_F(CatalogCommandTest, ListsServersAsTableTextAndJson) {
  RecordProperty("req", "M-FR-008.6 M-UJ-A2.s4 M-UJ-A2.c3");
  rest_.When("GET /api/v1/servers", kServers);
  ASSERT_EQ(Run({"server", "list"}), kExitDone) << err_;
  EXPECT_EQ(out_,
            "NAME  TYPE   STATE     TOOLS  RESOURCES  PROMPTS  TARGET\n"
            "git   stdio  ready     12     3          0        uvx mcp-server-git\n"
            "docs  http   disabled  0      0          0        https://docs.test/mcp\n");
  ASSERT_EQ(Run({"server", "list", "--plain"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("NAME: git\nTYPE: stdio\nSTATE: ready\n"));
  ASSERT_EQ(Run({"-o", "json", "server", "list"}), kExitDone);
  EXPECT_THAT(out_, AllOf(HasSubstr("\"upstreams\": ["), HasSubstr("\"state\": \"ready\"")));
  EXPECT_THAT(rest_.asked.back().target.unix_socket, HasSubstr("/.meta-mcp/serve.sock"));
}

TEST_F(CatalogCommandTest, FollowsEveryPage) {
  rest_.When("GET /api/v1/items", R"({"items":[{"name":"a"}],"nextPageToken":"2"})");
  // A gateway that hands out the same token for ever must not hold us for ever.
  ASSERT_EQ(Run({"tool", "list"}), kExitDone);
  EXPECT_GT(rest_.asked.size(), 100u);
}

TEST_F(CatalogCommandTest, ShowsOneServerWithItsConnection) {
  rest_.When("GET /api/v1/servers/git", R"({"upstream":{"meta":{"id":"1","name":"git"},
      "spec":{"type":"stdio","command":"uvx"},"enabled":true,"status":{"state":"open",
      "detail":"it ended; see its log","serverInfo":{"name":"g","version":"2"}}}})");
  rest_.When("GET /api/v1/connections",
             R"({"connections":[{"upstreamId":"1","calls":"5","failures":2,"breaker":"open"}]})");
  ASSERT_EQ(Run({"server", "status", "git"}), kExitDone) << err_;
  EXPECT_THAT(
      out_, AllOf(HasSubstr("it ended; see its log"), HasSubstr("5, failed 2"), HasSubstr("g 2")));
}

TEST_F(CatalogCommandTest, PrintsLogs) {
  rest_.When("GET /api/v1/servers/git/logs",
             R"({"lines":[{"timeUs":1000000,"source":"stderr","text":"hi\u001b[2J"},
                          {"timeUs":2000000,"source":"gateway","text":"restarted"}]})");
  ASSERT_EQ(Run({"server", "logs", "git", "-n", "5"}), kExitDone);
  EXPECT_EQ(out_, "1970-01-01 00:00:01 hi^[[2J\n1970-01-01 00:00:02 gateway: restarted\n");
  EXPECT_THAT(rest_.Last().path, HasSubstr("limit=5"));
}

TEST_F(CatalogCommandTest, LogsInAndOut) {
  RecordProperty("req", "M02-US-002.3");
  rest_.When("GET /api/v1/connections", R"({"connections":[{"name":"docs","loginUs":"5"}]})");
  rest_.When("POST /api/v1/servers/docs/login", R"({"url":"http://127.0.0.1:1/oauth/login?t=x"})");
  ASSERT_EQ(Run({"server", "login", "docs", "--no-browser", "--wait", "0"}), kExitDone) << err_;
  EXPECT_THAT(out_, HasSubstr("http://127.0.0.1:1/oauth/login?t=x"));
  // Nobody logs in: the login that was there before does not count.
  EXPECT_EQ(Run({"server", "login", "docs", "--no-browser", "--wait", "1"}), kExitFailed);
  EXPECT_THAT(err_, HasSubstr("nobody logged in"));
  EXPECT_EQ(Run({"server", "login", "nothing"}), kExitFailed);
  rest_.When("POST /api/v1/servers/docs/logout", "{}");
  EXPECT_EQ(Run({"server", "logout", "docs"}), kExitDone) << err_;
}

TEST_F(CatalogCommandTest, StatusSaysWhetherTheServerAnswersNow) {
  rest_.When("GET /api/v1/servers/git",
             R"({"upstream":{"meta":{"id":"1","name":"git"},"enabled":true,"status":{}}})");
  rest_.When("GET /api/v1/servers/git/probe", R"({"answers":false,"detail":"git needs login"})");
  ASSERT_EQ(Run({"server", "status", "git"}), kExitDone) << err_;
  EXPECT_THAT(out_, HasSubstr("no: git needs login"));
  rest_.When("GET /api/v1/servers/git/probe", R"({"answers":true,"ms":12.5})");
  ASSERT_EQ(Run({"server", "status", "git"}), kExitDone) << err_;
  EXPECT_THAT(out_, HasSubstr("yes, in 12 ms"));
}

TEST_F(CatalogCommandTest, CallsATool) {
  RecordProperty("req", "M-FR-008");
  rest_.When("POST /api/v1/call",
             R"({"result":{"content":[{"type":"text","text":"hello\nworld"},
                {"type":"image","mimeType":"image/png","data":"AAAA"}]},"isError":false})");
  ASSERT_EQ(Run({"tool", "call", "git.echo", R"({"a":1})", "--virtual", "v", "--timeout", "500"}),
            kExitDone)
      << err_;
  EXPECT_EQ(out_, "hello\nworld\n[image image/png, 3 bytes; --output json shows it]\n");
  EXPECT_EQ(rest_.Last().body, R"({"method":"tools/call","target":"git.echo","arguments":{"a":1},)"
                               R"("virtualServer":"v","timeoutMs":500})");
  ASSERT_EQ(Run({"tool", "call", "git.echo", "--output", "json"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("\"content\": ["));
}

TEST_F(CatalogCommandTest, TakesArgumentsFromFileAndInput) {
  rest_.When("POST /api/v1/call", R"({"result":{"content":[]}})");
  Write(Path("a.json"), " {\"from\": \"file\"}\n");
  ASSERT_EQ(Run({"tool", "call", "x", StrCat("@", Path("a.json"))}), kExitDone);
  EXPECT_THAT(rest_.Last().body, HasSubstr(R"("arguments":{"from": "file"})"));
  ASSERT_EQ(Run({"tool", "call", "x", "-"}, R"({"from":"stdin"})"), kExitDone);
  EXPECT_THAT(rest_.Last().body, HasSubstr(R"({"from":"stdin"})"));
  EXPECT_EQ(Run({"tool", "call", "x", "@/nowhere"}), kExitUsage);
  EXPECT_EQ(Run({"tool", "call", "x", "[1]"}), kExitUsage);
  EXPECT_EQ(Run({"tool", "call", "x", "{"}), kExitUsage);
}

TEST_F(CatalogCommandTest, ExitsWithOneWhenTheToolSaysItFailed) {
  rest_.When(
      "POST /api/v1/call",
      R"({"result":{"content":[{"type":"text","text":"no"}],"isError":true},"isError":true})");
  EXPECT_EQ(Run({"tool", "call", "x"}), kExitFailed);
  EXPECT_EQ(out_, "no\n");
  EXPECT_THAT(err_, HasSubstr("says that it failed"));
}

TEST_F(CatalogCommandTest, SearchesAndExplains) {
  RecordProperty("req", "M-USM-D1");
  rest_.When("GET /api/v1/items:search",
             R"({"items":[{"name":"git__log","upstream":"git","description":"Shows the log"}]})");
  ASSERT_EQ(Run({"tool", "search", "show & tell", "--annotation", "!destructiveHint"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("git__log"));
  EXPECT_THAT(rest_.Last().path, AllOf(HasSubstr("query=show%20%26%20tell"), HasSubstr("kind=tool"),
                                       HasSubstr("annotations=%21destructiveHint")));
  rest_.When("GET /api/v1/items:why",
             R"({"items":[{"qualifiedName":"git.push","hiddenReason":"filtered",
                "hiddenDetail":"readers takes read-only tools"}]})");
  ASSERT_EQ(Run({"tool", "why", "git.push", "--virtual", "readers"}), kExitDone);
  EXPECT_EQ(out_, "git.push is not exposed: filtered: readers takes read-only tools\n");
}

TEST_F(CatalogCommandTest, ReadsResourcesAndPrompts) {
  rest_.When("GET /api/v1/items", R"({"items":[{"name":"a://b","upstream":"git","title":"T"}]})");
  ASSERT_EQ(Run({"resource", "list"}), kExitDone);
  EXPECT_THAT(out_, AllOf(HasSubstr("a://b  resource  git"), HasSubstr("template")));
  rest_.When("POST /api/v1/call", R"({"result":{"contents":[{"uri":"a://b","text":"body"}]}})");
  ASSERT_EQ(Run({"resource", "read", "a://b"}), kExitDone);
  EXPECT_EQ(out_, "body\n");
  EXPECT_THAT(rest_.Last().body, HasSubstr("resources/read"));
  rest_.When("POST /api/v1/call",
             R"({"result":{"messages":[{"role":"user","content":{"type":"text","text":"do"}}]}})");
  ASSERT_EQ(Run({"prompt", "get", "p", R"({"x":"y"})"}), kExitDone);
  EXPECT_EQ(out_, "user: do\n");
}

TEST_F(CatalogCommandTest, ManagesVirtualServers) {
  rest_.When("POST /api/v1/virtual-servers", "{}");
  ASSERT_EQ(RunRemote({"virtual", "add", "readers", "--server", "git", "--read-only", "--exclude",
                       "x*", "--prompt", "p*", "--rename", "git.git_log=history", "--label", "r"}),
            kExitDone)
      << err_;
  EXPECT_EQ(
      rest_.Last().body,
      R"({"meta":{"name":"readers"},"spec":{"servers":["git"],"prefix":"slug","tools":)"
      R"({"exclude":["x*"],"annotations":{"readOnlyHint":true}},"prompts":{"include":["p*"]},)"
      R"("overrides":{"git.git_log":{"name":"history"}},"metricsLabel":"r"},"enabled":true})");
  EXPECT_EQ(RunRemote({"virtual", "add", "Not A Slug"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("not-a-slug"));
  for (const char* bad : {"git.git_log", "git.git_log=", "log=x.y"}) {
    EXPECT_EQ(RunRemote({"virtual", "add", "x", "--rename", bad}), kExitUsage) << bad;
  }
  rest_.When("GET /api/v1/virtual-servers/readers/connect",
             R"({"url":"http://h/mcp","clients":[{"client":"vscode","title":"VS Code",
                "file":".vscode/mcp.json","text":"{}"},{"client":"cursor","title":"Cursor"}]})");
  ASSERT_EQ(Run({"virtual", "connect", "readers", "--client", "vscode"}), kExitDone);
  EXPECT_THAT(out_, AllOf(HasSubstr("VS Code, in .vscode/mcp.json:"), Not(HasSubstr("Cursor"))));
  EXPECT_EQ(Run({"virtual", "connect", "readers", "--client", "vscod"}), kExitUsage);
  rest_.When("POST /api/v1/virtual-servers/readers/enabled", "{}");
  EXPECT_EQ(RunRemote({"virtual", "disable", "readers"}), kExitDone);
  EXPECT_EQ(rest_.Last().body, R"({"enabled":false})");
  rest_.When("DELETE /api/v1/virtual-servers/readers", "{}");
  EXPECT_EQ(Run({"virtual", "remove", "readers"}), kExitDone) << "made by the API: " << err_;
}

TEST_F(CatalogCommandTest, ListsAndRevokesSessions) {
  rest_.When("GET /api/v1/sessions", R"({"sessions":[{"id":"s1","client":"Inspector"}]})");
  ASSERT_EQ(Run({"session", "list"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("Inspector"));
  rest_.When("DELETE /api/v1/sessions/s1", "{}");
  EXPECT_EQ(Run({"session", "revoke", "s1"}), kExitDone);
  EXPECT_EQ(Run({"session", "revoke", "s2"}), kExitFailed);
}

TEST_F(CatalogCommandTest, SpeaksToTheGatewayThatIsNamed) {
  rest_.When("GET /api/v1/sessions", R"({"sessions":[]})");
  ASSERT_EQ(Run({"session", "list", "--url", "https://gw.test/mcp", "--token", "t"}), kExitDone);
  EXPECT_EQ(rest_.asked.back().target.base_url, "https://gw.test");
  EXPECT_EQ(rest_.asked.back().target.token, "t");
  env_["META_MCP_TOKEN"] = "from-env";
  ASSERT_EQ(Run({"session", "list"}), kExitDone);
  EXPECT_EQ(rest_.asked.back().target.token, "from-env");
}

TEST_F(CatalogCommandTest, FindsASocketThatTheConfigurationMoves) {
  rest_.When("GET /api/v1/sessions", R"({"sessions":[]})");
  Write(ConfigFile(), R"({"gateway":{"listenUnix":"/run/elsewhere.sock"}})");
  ASSERT_EQ(Run({"session", "list"}), kExitDone);
  EXPECT_EQ(rest_.asked.back().target.unix_socket, "/run/elsewhere.sock");
}

TEST(EndpointTest, TakesBasesAndEndpoints) {
  EXPECT_EQ(*EndpointUrl("http://h:1", ""), "http://h:1/mcp");
  EXPECT_EQ(*EndpointUrl("http://h:1/", ""), "http://h:1/mcp");
  EXPECT_EQ(*EndpointUrl("http://h/mcp", ""), "http://h/mcp");
  EXPECT_EQ(*EndpointUrl("http://h/servers/x", ""), "http://h/servers/x/mcp");
  EXPECT_EQ(*EndpointUrl("http://h/servers/x/mcp", ""), "http://h/servers/x/mcp");
  EXPECT_EQ(*EndpointUrl("http://h/other/api", ""), "http://h/other/api");
  EXPECT_EQ(*EndpointUrl("http://h/servers/x/mcp", "y"), "http://h/servers/y/mcp");
  EXPECT_EQ(*EndpointUrl("http://h/sub/mcp", "y"), "http://h/sub/servers/y/mcp");
  EXPECT_FALSE(EndpointUrl("h:1", "").ok());
  EXPECT_FALSE(EndpointUrl("ws://h", "").ok());
  EXPECT_FALSE(EndpointUrl("http://h", "../x").ok());
}

TEST_F(CatalogCommandTest, MigrateOpensTheDatabaseThatItIsGiven) {
  ASSERT_EQ(Run({"migrate", "--database-url", "sqlite:/x/y.db"}), kExitDone) << err_;
  ASSERT_EQ(migrated_.size(), 1u);
  EXPECT_EQ(migrated_[0].flags.at("database.url"), "sqlite:/x/y.db");
  EXPECT_THAT(migrated_[0].services,
              ::testing::ElementsAre("ai", "audit", "catalog", "connector", "gateway", "workflow"));
  EXPECT_EQ(RunRemote({"migrate"}), kExitUsage);
  EXPECT_EQ(migrated_.size(), 1u);
}

}  // namespace
}  // namespace metamcp::cli
