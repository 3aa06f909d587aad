#include "common/config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/config/fields.h"

namespace metamcp::config {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kContract = R"({
  "version": 1,
  "gateway": { "listen": "127.0.0.1:8931" },
  "mcpServers": {
    "git":  { "command": "uvx", "args": ["mcp-server-git==2026.8.1"], "env": { "TOKEN": "${GIT_TOKEN}" }, "priority": 10 },
    "docs": { "type": "http", "url": "https://docs.example.com/mcp", "headers": { "Authorization": "Bearer ${DOCS_TOKEN}" }, "era": "auto" }
  },
  "virtualServers": {
    "plain":   { "servers": ["git"], "prefix": "none" },
    "readers": { "servers": ["*"], "tools": { "include": ["*"], "annotations": { "readOnlyHint": true } } }
  }
})";

LoadOptions WithEnv(Environment env) {
  LoadOptions options;
  options.env = std::move(env);
  return options;
}

std::string Errors(std::string_view text, const LoadOptions& options = {}) {
  return FormatErrors(CheckConfig(text, "c.json", options).errors);
}

LoadResult Good(std::string_view text, const LoadOptions& options = {}) {
  CheckResult check = CheckConfig(text, "c.json", options);
  EXPECT_THAT(FormatErrors(check.errors), IsEmpty());
  return std::move(check.loaded);
}

TEST(LoadTest, ReadsTheContract) {
  RecordProperty("req", "M-AC-5.6.1 M-AC-5.6.0");
  const LoadResult r = Good(kContract, WithEnv({{"GIT_TOKEN", "t"}, {"DOCS_TOKEN", "d"}}));
  ASSERT_EQ(r.config.mcp_servers.size(), 2u);
  const ServerConfig& git = r.config.mcp_servers.at("git");
  EXPECT_EQ(git.type, "stdio");
  EXPECT_EQ(git.display_name, "git");
  EXPECT_EQ(git.env.at("TOKEN"), "${GIT_TOKEN}") << "expanded by the connector, not here";
  EXPECT_EQ(git.priority, 10);
  EXPECT_EQ(r.config.mcp_servers.at("docs").headers.at("Authorization"), "Bearer ${DOCS_TOKEN}");
  EXPECT_EQ(r.config.virtual_servers.at("plain").prefix, "none");
  EXPECT_EQ(r.config.virtual_servers.at("readers").tools.annotations, "{\"readOnlyHint\":true}");
  EXPECT_EQ(r.places.at("mcpServers.git"), Position(5, 5));
  EXPECT_THAT(r.notes, IsEmpty());
}

TEST(LoadTest, AMissingServerVariableIsANoteUnlessRequired) {
  RecordProperty("req", "M-FR-003.4");
  const LoadResult r = Good(kContract, WithEnv({{"GIT_TOKEN", "t"}}));
  ASSERT_EQ(r.notes.size(), 1u);
  EXPECT_EQ(FormatProblem(r.notes[0]),
            "c.json:6:100: mcpServers.docs: the variable DOCS_TOKEN is not set; this server stays "
            "unconnected until it is");
  LoadOptions options = WithEnv({{"GIT_TOKEN", "t"}});
  options.require_server_variables = true;
  EXPECT_THAT(Errors(kContract, options), HasSubstr("c.json:6:100: mcpServers.docs: the variable"));
}

TEST(LoadTest, ExpandsOutsideServersAndNamesWhatIsMissing) {
  RecordProperty("req", "M-FR-003.4");
  constexpr std::string_view kText =
      "{\"gateway\": {\"listen\": \"${HOST:-127.0.0.1}:${PORT}\", \"pageSize\": \"${PAGE}\"},\n"
      "\"auth\": {\"anonymousLoopback\": \"${ANON}\", \"keys\": [{\"name\": \"ci\", \"key\": "
      "\"${KEY}\"}]}}";
  const LoadResult r =
      Good(kText,
           WithEnv({{"PORT", "0"}, {"PAGE", "7"}, {"ANON", "false"}, {"KEY", "0123456789abcdef"}}));
  EXPECT_EQ(r.config.gateway.listen, "127.0.0.1:0");
  EXPECT_EQ(r.config.gateway.page_size, 7);
  EXPECT_FALSE(r.config.auth.anonymous_loopback);
  EXPECT_EQ(r.config.auth.keys.at(0).key, "0123456789abcdef");
  EXPECT_THAT(
      Errors(kText, WithEnv({{"PORT", "1"}, {"PAGE", "x"}, {"ANON", "1"}})),
      testing::AllOf(HasSubstr("c.json:1:66: found \"x\", expected a whole number from 1 to "
                               "100000 for gateway.pageSize"),
                     HasSubstr("c.json:2:73: the variable KEY is not set; set it, or give a "
                               "default: ${NAME:-value}")));
}

struct Bad {
  std::string_view text;
  std::string_view errors;
};

TEST(LoadTest, SaysWhereWhatAndHowToMend) {
  RecordProperty("req", "M-FR-003.3,M-AC-5.6.2");
  const Bad kBad[] = {
      {"[]", "c.json:1:1: found an array, expected an object; write { ... }"},
      {"{\"mcpServer\": {}}",
       "c.json:1:2: found the unknown key \"mcpServer\"; did you mean "
       "\"mcpServers\"?"},
      {"{\"gateway\": {\"lissten\": \"x\"}}",
       "c.json:1:14: found the unknown key \"lissten\" in gateway; did you mean \"listen\"?"},
      {"{\"gateway\": {\"listen\": 8931}}",
       "c.json:1:24: found 8931 for gateway.listen, expected host:port, such as "
       "\"127.0.0.1:8931\""},
      {"{\"gateway\": {\"listen\": \"8931\"}}",
       "c.json:1:24: found \"8931\" for gateway.listen, expected host:port, such as "
       "\"127.0.0.1:8931\""},
      {"{\"gateway\": []}",
       "c.json:1:13: found an array for gateway, expected an object; write { "
       "... }"},
      {"{\"gateway\": {\"pageSize\": \"10\"}}",
       "c.json:1:26: found a string for gateway.pageSize, expected a whole number from 1 to "
       "100000; remove the double quotes"},
      {"{\"gateway\": {\"pageSize\": 1.5}}",
       "c.json:1:26: found 1.5 for gateway.pageSize, expected a whole number from 1 to 100000"},
      {"{\"gateway\": {\"pageSize\": 100001}}",
       "c.json:1:26: found 100001 for gateway.pageSize, expected a whole number from 1 to 100000"},
      {"{\"gateway\": {\"drainMs\": null}}",
       "c.json:1:25: found null for gateway.drainMs, expected a whole number from 0 to 3600000 "
       "(ms); remove the key for the default"},
      {"{\"gateway\": {\"nameSeparator\": \"::\"}}",
       "c.json:1:31: found \"::\" for gateway.nameSeparator, expected 1 to 4 characters of A-Z, "
       "a-z, 0-9, _ and -; write \"__\""},
      {"{\"telemetry\": {\"logLevel\": \"inof\"}}",
       "c.json:1:28: found \"inof\" for telemetry.logLevel, expected one of debug, info, warning, "
       "error; did you mean \"info\"?"},
      {"{\"gateway.listen\": \"x\"}",
       "c.json:1:2: found the unknown key \"gateway.listen\"; see docs/configuration.md for the "
       "known keys, or remove it"},
      {"{\"version\": 2}",
       "c.json:1:13: found version 2, expected 1; update meta-mcp, which is "
       "older than this file"},
      {"{\"database\": {\"url\": \"mysql://u:secret@h/d\"}}",
       "c.json:1:22: found another kind of URL for database.url, expected postgresql://... or "
       "sqlite:PATH; remove it for storage.db in the data directory"},
      {"{\"connector\": {\"backoff\": {\"minMs\": 50000}}}",
       "c.json:1:27: found connector.backoff.minMs 50000 above maxMs 30000; lower minMs or raise "
       "maxMs"},
      {"{\"mcpServers\": []}",
       "c.json:1:16: found an array for mcpServers, expected an object; "
       "write \"mcpServers\": { \"name\": { ... } }"},
      {"{\"mcpServers\": {\"a\": {}}}",
       "c.json:1:17: found no command and no url in mcpServers.a; add \"command\": \"...\" or "
       "\"url\": \"https://...\""},
      {"{\"mcpServers\": {\"a\": {\"type\": \"http\"}}}",
       "c.json:1:17: found no url in mcpServers.a; add \"url\": \"https://...\""},
      {"{\"mcpServers\": {\"a\": {\"type\": \"stdio\"}}}",
       "c.json:1:17: found no command in mcpServers.a; add \"command\": \"...\" or \"url\": "
       "\"https://...\""},
      {"{\"mcpServers\": {\"a\": {\"type\": \"http\", \"command\": \"x\"}}}",
       "c.json:1:31: found type http with a command in mcpServers.a; write \"type\": \"stdio\""},
      {"{\"mcpServers\": {\"a\": {\"command\": \"x\", \"url\": \"https://h\"}}}",
       "c.json:1:17: found both command and url in mcpServers.a, expected one of them; split it "
       "into two servers"},
      {"{\"mcpServers\": {\"a\": {\"comand\": \"x\"}}}",
       "c.json:1:23: found the unknown key \"comand\" in mcpServers.a; did you mean \"command\"?"},
      {"{\"mcpServers\": {\"a\": {\"command\": \"x\", \"args\": \"-y\"}}}",
       "c.json:1:47: found a string for mcpServers.a.args, expected an array of strings; put it in "
       "brackets: [\"...\"]"},
      {"{\"mcpServers\": {\"a\": {\"url\": \"ftp://h\"}}}",
       "c.json:1:30: found \"ftp://h\" for mcpServers.a.url, expected a URL that begins with "
       "http:// or https://"},
      {"{\"mcpServers\": {\"a\": {\"url\": \"https://h\", \"headers\": {\"A B\": \"x\"}}}}",
       "c.json:1:54: found the name \"A B\" in mcpServers.a.headers, expected an HTTP header's "
       "name; remove the colon and spaces"},
      {"{\"mcpServers\": {\"a\": {\"url\": \"https://h\", \"tls\": {\"min\": \"1.0\"}}}}",
       "c.json:1:58: found \"1.0\" for mcpServers.a.tls.min, expected one of 1.2, 1.3; did you "
       "mean \"1.2\"?"},
      {"{\"mcpServers\": {\"My App\": {\"command\": \"x\"},\n\"my-app\": {\"command\": \"y\"}}}",
       "c.json:2:1: found \"my-app\", whose short name \"my-app\" is that of \"My App\" on line 1; "
       "rename one of them"},
      {"{\"mcpServers\": {\"docs\": {\"command\": \"x\"}, \"b\": {\"command\": \"y\", "
       "\"fallbacks\": [\"dosc\"]}}}",
       "c.json:1:79: found \"dosc\" in mcpServers.b.fallbacks, expected the name of another "
       "server; did you mean \"docs\"?"},
      {"{\"mcpServers\": {\"a\": {\"url\": \"https://x\", \"sandbox\": \"strict\"}}}",
       "c.json:1:54: found mcpServers.a.sandbox for a server on another machine; remove it; only "
       "programs that are started here have one"},
      {"{\"servers\": {}, \"mcpServers\": {}}",
       "c.json:1:17: found both mcpServers and servers, expected one of them; move all servers "
       "into mcpServers"},
      {"{\"virtualServers\": {\"My VS\": {}}}",
       "c.json:1:21: found the name \"My VS\" in virtualServers, expected lower case letters, "
       "digits and '-'; write \"my-vs\""},
      {"{\"virtualServers\": {\"v\": {\"tools\": {\"inclde\": []}}}}",
       "c.json:1:37: found the unknown key \"inclde\" in virtualServers.v.tools; did you mean "
       "\"include\"?"},
      {"{\"virtualServers\": {\"v\": {\"overrides\": {\"echo\": {}}}}}",
       "c.json:1:41: found the item \"echo\" in virtualServers.v.overrides, expected "
       "\"server.item\"; put the server's name and a dot before it"},
      {"{\"auth\": {\"keys\": [{\"name\": \"a\", \"key\": \"short\"}]}}",
       "c.json:1:41: found a key of 5 characters in auth.keys[0], expected at least 16; make one "
       "with 'openssl rand -hex 32'"},
      {"{\"auth\": {\"keys\": [{\"name\": \"a\", \"key\": \"0123456789abcdef\", \"tenant\": "
       "\"red\"}]}}",
       "c.json:1:71: found the tenant \"red\" in auth.keys[0], expected \"default\": this version "
       "serves one tenant; remove it"},
      {"{\"auth\": {\"keys\": [{\"name\": \"a\", \"key\": \"0123456789abcdef\", \"roles\": "
       "[\"amdin\"]}]}}",
       "c.json:1:71: found the role \"amdin\" in auth.keys[0], expected viewer, developer, "
       "auditor, "
       "operator or admin; did you mean \"admin\"?"},
      {"{\"mcpServers\": {\"a\": {\"command\": \"x\", \"concurrency\": 10001}}}",
       "c.json:1:54: found 10001 for mcpServers.a.concurrency, expected a whole number from 0 to "
       "10000"},
      {"{\"mcpServers\": {\"a\": {\"command\": \"x\", \"tags\": [\"\"]}}}",
       "c.json:1:48: found an empty text in mcpServers.a.tags; remove it"},
      {"{\"mcpServers\": {\"a\": {\"command\": \"x\", \"toolTimeoutsMs\": {\"t\": 86400001}}}}",
       "c.json:1:57: found an object for mcpServers.a.toolTimeoutsMs, expected an object of whole "
       "numbers from 0 to 86400000"},
      {"{\"virtualServers\": {\"v\": {\"prefix\": \"a b\"}}}",
       "c.json:1:37: found \"a b\" for virtualServers.v.prefix, expected slug, none, or text of "
       "A-Z, "
       "a-z, 0-9, _ and -; remove the other characters"},
      {"{\"virtualServers\": {\"v\": {\"servers\": [\"*****************\"]}}}",
       "c.json:1:39: found more than 16 stars in virtualServers.v.servers; write fewer stars"},
      {"{\"auth\": {\"key\": []}}",
       "c.json:1:11: found the unknown key \"key\" in auth; did you mean \"keys\"?"},
      {"{\"limits\": {\"serversMax\": 1}, \"mcpServers\": {\"a\": {\"command\": \"x\"}, \"b\": "
       "{\"command\": \"x\"}}}",
       "c.json:1:45: found 2 servers, expected at most 1; raise limits.serversMax"},
  };
  for (const Bad& bad : kBad) EXPECT_EQ(Errors(bad.text), bad.errors) << bad.text;
}

// What the catalog would refuse is refused here, where the place is known.
TEST(LoadTest, LongTextsAndListsAreNamed) {
  RecordProperty("req", "M-FR-003.3");
  const std::string text(17'000, 'x');
  EXPECT_THAT(Errors(StrCat("{\"virtualServers\": {\"v\": {\"instructions\": \"", text, "\"}}}")),
              HasSubstr("1:43: found 17000 bytes for virtualServers.v.instructions, expected at "
                        "most 16384"));
  EXPECT_THAT(Errors(StrCat("{\"mcpServers\": {\"", text, "\": {\"command\": \"x\"}}}")),
              HasSubstr("found a name of 17000 bytes"));
  std::string many = "\"t\"";
  for (int i = 0; i < 64; ++i) many += ",\"t\"";
  EXPECT_THAT(
      Errors(StrCat("{\"mcpServers\": {\"a\": {\"command\": \"x\", \"tags\": [", many, "]}}}")),
      HasSubstr("found 65 elements for mcpServers.a.tags, expected at most 64"));
}

TEST(LoadTest, SecretsNeverAppearInErrors) {
  EXPECT_EQ(
      Errors("{\"auth\": {\"keys\": [{\"name\": \"a\", \"key\": [\"hunter2hunter2hunter2\"]}]}}")
          .find("hunter2"),
      std::string::npos);
}

TEST(LoadTest, TakesFilesOfOtherClientsAsTheyAre) {
  const LoadResult r = Good(R"({
    "servers": {
      "a": {"type": "streamable-http", "url": "https://h/mcp", "gallery": true},
      "b": {"transport": "streamableHttp", "serverUrl": "https://h/mcp", "autoApprove": ["x"]},
      "c": {"command": "npx", "args": ["-p", 80], "env": {"PORT": 8080}, "alwaysAllow": [],
            "disabledTools": ["rm"], "enabled": false},
      "d": {"url": "wss://h/ws"},
      "e": {"type": "sse", "url": "https://h/sse", "timeout": 60}
    },
    "inputs": [{"id": "token", "type": "promptString"}]
  })");
  EXPECT_EQ(r.config.mcp_servers.at("a").type, "http");
  EXPECT_EQ(r.config.mcp_servers.at("b").type, "http");
  EXPECT_EQ(r.config.mcp_servers.at("b").url, "https://h/mcp");
  EXPECT_EQ(r.config.mcp_servers.at("c").args[1], "80");
  EXPECT_EQ(r.config.mcp_servers.at("c").env.at("PORT"), "8080");
  EXPECT_TRUE(r.config.mcp_servers.at("c").disabled);
  EXPECT_EQ(r.config.mcp_servers.at("d").type, "ws");
  EXPECT_EQ(r.config.mcp_servers.at("e").type, "sse");
  EXPECT_THAT(FormatErrors(r.notes),
              HasSubstr("c.json:6:13: mcpServers.c.disabledTools is ignored: choose tools with "
                        "virtualServers.<name>.tools.exclude"));
  EXPECT_EQ(r.notes.size(), 6u) << FormatErrors(r.notes);
}

TEST(LoadTest, ReadsLimitRules) {
  RecordProperty("req", "P1-Rate-1");
  const LoadResult r = Good(R"({"limits":{"callsMax":5,"rules":[
      {"name":"users","scope":"principal","rate":"100/minute","burst":20,"dailyQuota":1000},
      {"scope":"tool","match":"git.*","per":"principal","concurrency":3},
      {"scope":"global","surface":"admin","rate":"5/second"}]}})");
  ASSERT_EQ(r.config.limits.rules.size(), 3u);
  EXPECT_EQ(r.config.limits.calls_max, 5);
  EXPECT_EQ(r.config.limits.rules[0].daily_quota, 1000);
  EXPECT_EQ(r.config.limits.rules[1].name, "tool+principal:git.*");
  EXPECT_EQ(r.config.limits.rules[2].name, "admin:global");
}

TEST(LoadTest, LimitRulesThatMakeNoSenseAreNamed) {
  const auto rule = [](std::string_view text) {
    return Errors(StrCat(R"({"limits":{"rules":[)", text, "]}}"));
  };
  EXPECT_THAT(rule(R"({"rate":"1/second"})"), HasSubstr("no scope in limits.rules[0]"));
  EXPECT_THAT(rule(R"({"scope":"users","rate":"1/second"})"), HasSubstr("principal"));
  EXPECT_THAT(rule(R"({"scope":"tool"})"), HasSubstr("nothing that limits.rules[0] limits"));
  for (const char* rate : {"1", "0/second", "1/day", "x/hour", "1.5/second", "-1/hour", "1 /hour",
                           "1000000001/second", "/second"}) {
    EXPECT_THAT(rule(StrCat(R"({"scope":"tool","rate":")", rate, "\"}")),
                HasSubstr("expected as \"100/minute\""))
        << rate;
  }
  EXPECT_THAT(rule(R"({"scope":"tool","burst":2,"concurrency":1})"),
              HasSubstr("burst without rate"));
  EXPECT_THAT(rule(R"({"scope":"tool","surface":"admin","concurrency":1})"),
              HasSubstr("REST API do not have"));
  EXPECT_THAT(rule(R"({"scope":"tool","per":"tool","concurrency":1})"), HasSubstr("the same"));
  EXPECT_THAT(rule(R"({"scope":"tool","concurrency":1},{"scope":"tool","concurrency":2})"),
              HasSubstr("twice"));
  EXPECT_THAT(rule(R"({"scope":"tool","concurency":1})"), HasSubstr("concurrency"));
  EXPECT_THAT(Errors(R"({"limits":{"rules":{}}})"), HasSubstr("expected an array"));
  std::string many;
  for (int i = 0; i < 65; ++i) {
    many += StrCat(i > 0 ? "," : "", R"({"name":"r)", i, R"(","scope":"tool","concurrency":1})");
  }
  EXPECT_THAT(rule(many), HasSubstr("65 elements"));
}

TEST(LoadTest, ReadsOverrides) {
  const LoadResult r = Good(R"({"virtualServers": {"v": {"overrides": {"git.log": {
    "name": "history", "annotations": {"readOnlyHint": true},
    "arguments": {"repo": {"value": "/srv"}, "n": {"rename": "count", "default": 10,
                  "coerce": "integer"}, "raw": {"hidden": true}}}}}}})");
  const OverrideConfig& o = r.config.virtual_servers.at("v").overrides.at("git.log");
  EXPECT_EQ(o.name, "history");
  EXPECT_EQ(o.annotations, "{\"readOnlyHint\":true}");
  EXPECT_EQ(o.arguments.at("repo").value, "\"/srv\"");
  EXPECT_EQ(o.arguments.at("n").default_value, "10");
  EXPECT_EQ(o.arguments.at("n").coerce, "integer");
  EXPECT_TRUE(o.arguments.at("raw").hidden);
}

TEST(LoadTest, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  RecordProperty("req", "M-FR-003.3");
  LoadOptions options = WithEnv({{"META_MCP_GATEWAY_PAGE_SIZE", "20"},
                                 {"META_MCP_GATEWAY_DRAIN_MS", "20"},
                                 {"META_MCP_GATEWAY_ALLOWED_HOSTS", "a.example, b.example"}});
  options.flags = {{"gateway.pageSize", "30"}};
  const LoadResult r =
      Good("{\"gateway\": {\"pageSize\": 10, \"drainMs\": 10, \"sessionIdleMs\": 10000}}", options);
  EXPECT_EQ(r.config.gateway.page_size, 30);
  EXPECT_EQ(r.config.gateway.drain_ms, 20);
  EXPECT_EQ(r.config.gateway.session_idle_ms, 10'000);
  EXPECT_EQ(r.config.gateway.allowed_hosts, (std::vector<std::string>{"a.example", "b.example"}));
  const auto origin = [&r](const char* path) {
    const ConfigOrigin& o = r.origins.at(path);
    return StrCat(OriginName(o.source), " ", o.detail);
  };
  EXPECT_EQ(origin("gateway.pageSize"), "flag --set gateway.pageSize");
  EXPECT_EQ(origin("gateway.drainMs"), "environment META_MCP_GATEWAY_DRAIN_MS");
  EXPECT_EQ(origin("gateway.sessionIdleMs"), "file c.json:1:62");
  EXPECT_EQ(origin("gateway.listen"), "default ");
  EXPECT_EQ(r.origins.size(), Settings().size());
}

TEST(LoadTest, BadEnvironmentAndFlagsAreNamed) {
  LoadOptions options =
      WithEnv({{"META_MCP_GATEWAY_PAGE_SIZE", "many"}, {"META_MCP_GATEWAY_LISTN", "x"}});
  options.flags = {{"gateway.listen", "nowhere"}, {"gatway.listen", "x"}};
  const CheckResult check = CheckConfig("{}", "c.json", options);
  EXPECT_EQ(FormatErrors(check.errors),
            "environment variable META_MCP_GATEWAY_PAGE_SIZE: found \"many\", expected a whole "
            "number from 1 to 100000 for gateway.pageSize\n"
            "flag --listen: found \"nowhere\", expected host:port, such as \"127.0.0.1:8931\" for "
            "gateway.listen\n"
            "found the unknown setting \"gatway.listen\" on the command line; did you mean "
            "\"gateway.listen\"?");
  ASSERT_EQ(check.loaded.notes.size(), 1u);
  EXPECT_THAT(FormatProblem(check.loaded.notes[0]),
              HasSubstr("did you mean META_MCP_GATEWAY_LISTEN?"));
}

TEST(LoadTest, EverySettingTakesItsDefaultFromText) {
  RecordProperty("req", "P1-Cache-4");
  for (const Field& field : Settings()) {
    if (field.secret) continue;
    LoadOptions options = WithEnv({{EnvironmentName(field.path), DefaultText(field)}});
    EXPECT_EQ(Good("{}", options).config, Config()) << field.path;
  }
}

TEST(LoadTest, ReadsSchemaVersion0) {
  RecordProperty("req", "M-FR-003.5");
  const LoadResult r = Good(R"({"mcp_servers": [
      {"name": "fs", "type": "stdio", "command": "npx", "args": ["x"]},
      {"name": "web", "type": "url", "url": "https://h/sse", "headers": {"A": "b"}}],
    "ai_api": {"provider": "openai", "endpoint": "e"}, "storage_path": "/var/storage.db"})");
  EXPECT_EQ(r.config.mcp_servers.at("fs").type, "stdio");
  EXPECT_EQ(r.config.mcp_servers.at("web").type, "sse");
  EXPECT_EQ(r.config.database.url, "sqlite:/var/storage.db");
  EXPECT_EQ(r.config.version, 1);
  EXPECT_THAT(FormatErrors(r.notes), HasSubstr("run 'meta-mcp config migrate'"));
  EXPECT_THAT(FormatErrors(r.notes), HasSubstr("ai_api is dropped"));
}

TEST(LoadTest, EveryPrefixAndEveryChangedByteGivesAnAnswer) {
  RecordProperty("req", "M-FR-003.3");
  for (size_t i = 0; i < kContract.size(); ++i) {
    EXPECT_FALSE(CheckConfig(kContract.substr(0, i), "c", {}).errors.empty()) << i;
  }
  for (size_t i = 0; i < kContract.size(); ++i) {
    std::string changed(kContract);
    changed[i] = '"';
    CheckConfig(changed, "c", {});
    changed[i] = '[';
    CheckConfig(changed, "c", {});
  }
}

}  // namespace
}  // namespace metamcp::config
