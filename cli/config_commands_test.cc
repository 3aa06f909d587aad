#include <sys/stat.h>

#include "cli/command_fixture.h"

namespace metamcp::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ConfigCommandTest : public CommandTest {
 protected:
  ConfigCommandTest() { rest_.reachable = false; }
  // A program that answers the conversation of `connect` with two tools.
  void UseFakeProgram() {
    program_ = Path("fake-meta-mcp");
    Write(program_,
          "#!/bin/sh\nread a; read b; read c\n"
          "echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}'\n"
          "echo '{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tools\":[{},{}]}}'\n");
    ::chmod(program_.c_str(), 0755);
  }
};

TEST_F(ConfigCommandTest, NamesThePlaceOfASlipAndItsMend) {
  RecordProperty("req", "M-AC-5.6.2 M-NFR-005.3");
  Write(ConfigFile(), "{\n  \"mcpServers\": {\n    \"git\": { \"comand\": \"uvx\" }\n  }\n}\n");
  EXPECT_EQ(Run({"config", "validate"}), kExitUsage);
  EXPECT_THAT(err_, AllOf(HasSubstr("config.json:3:"), HasSubstr("command")));
  Write(ConfigFile(), "{ \"mcpServers\": {");
  EXPECT_EQ(Run({"config", "validate"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("config.json:1:"));
  EXPECT_EQ(Run({"config", "show"}), kExitUsage);
  EXPECT_EQ(Run({"config", "validate", Path("none.json")}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("meta-mcp init"));
}

TEST_F(ConfigCommandTest, FailsOnAMissingVariable) {
  Write(ConfigFile(), R"({"mcpServers":{"a":{"command":"x","env":{"T":"${NOT_THERE}"}}}})");
  EXPECT_EQ(Run({"config", "validate"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("NOT_THERE"));
  env_["NOT_THERE"] = "now it is";
  EXPECT_EQ(Run({"config", "validate"}), kExitDone) << err_;
  EXPECT_THAT(out_, HasSubstr("1 servers"));
  EXPECT_EQ(Run({"config", "validate", "--output", "json"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("\"valid\": true"));
}

TEST_F(ConfigCommandTest, ShowsValuesWithTheirOriginAndNoSecrets) {
  Write(
      ConfigFile(),
      R"({"gateway":{"pageSize":77},"auth":{"keys":[{"name":"k","key":"s3cr3t-s3cr3t-s3cr3t"}]}})");
  env_["META_MCP_GATEWAY_LISTEN"] = "127.0.0.1:9999";
  ASSERT_EQ(Run({"config", "show"}), kExitDone) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("77"), Not(HasSubstr("s3cr3t"))));
  ASSERT_EQ(Run({"config", "show", "--origin", "--plain"}), kExitDone);
  EXPECT_THAT(out_, AllOf(HasSubstr("VALUE: 77\nFROM: file"),
                          HasSubstr("VALUE: 127.0.0.1:9999\nFROM: environment")));
}

TEST_F(ConfigCommandTest, EditsServersInTheFile) {
  RecordProperty("req", "M-FR-008.3");
  ASSERT_EQ(Run({"server", "add", "git", "--env", "A=b c", "--tag", "dev", "--", "uvx",
                 "git-server", "--repository", "/x"}),
            kExitDone)
      << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("Added server git."), HasSubstr("next start")));
  const std::string text = Read(ConfigFile());
  EXPECT_THAT(text, AllOf(HasSubstr("\"--repository\""), HasSubstr("\"A\": \"b c\"")));
  EXPECT_EQ(Run({"server", "add", "Git", "--", "x"}), kExitFailed);
  ASSERT_EQ(Run({"server", "add", "docs", "--url", "https://docs.test/mcp", "-H",
                 "Authorization: Bearer ${T}"}),
            kExitDone)
      << err_;
  EXPECT_THAT(Read(ConfigFile()), HasSubstr("\"Bearer ${T}\""));
  ASSERT_EQ(Run({"server", "disable", "git"}), kExitDone) << err_;
  EXPECT_THAT(Read(ConfigFile()), HasSubstr("\"disabled\": true"));
  ASSERT_EQ(Run({"server", "enable", "git"}), kExitDone);
  EXPECT_THAT(Read(ConfigFile()), Not(HasSubstr("\"disabled\": true")));
  ASSERT_EQ(Run({"server", "remove", "git"}), kExitDone);
  EXPECT_THAT(Read(ConfigFile()), Not(HasSubstr("git-server")));
  EXPECT_EQ(Run({"server", "remove", "doc"}), kExitFailed);
  EXPECT_THAT(err_, HasSubstr("docs"));
}

TEST_F(ConfigCommandTest, EditsVirtualServersInTheFile) {
  RecordProperty("req", "P1-Virt-1 P1-Virt-2");
  ASSERT_EQ(Run({"virtual", "add", "readers", "--server", "git", "--read-only", "--resource",
                 "docs://*", "--rename", "git.git_log=history"}),
            kExitDone)
      << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("next start"), HasSubstr("/servers/readers/mcp")));
  EXPECT_THAT(Read(ConfigFile()),
              AllOf(HasSubstr("\"virtualServers\""), HasSubstr("\"readOnlyHint\": true"),
                    HasSubstr("docs://*"), HasSubstr("\"history\"")));
  EXPECT_EQ(Run({"config", "validate"}), kExitDone) << err_;
  EXPECT_EQ(Run({"virtual", "add", "readers"}), kExitFailed);
  EXPECT_THAT(err_, HasSubstr("already"));
  ASSERT_EQ(Run({"virtual", "disable", "readers"}), kExitDone) << err_;
  EXPECT_THAT(Read(ConfigFile()), HasSubstr("\"disabled\": true"));
  ASSERT_EQ(Run({"virtual", "enable", "readers"}), kExitDone) << err_;
  EXPECT_THAT(Read(ConfigFile()), Not(HasSubstr("\"disabled\": true")));
  ASSERT_EQ(Run({"virtual", "remove", "readers"}), kExitDone) << err_;
  EXPECT_THAT(Read(ConfigFile()), Not(HasSubstr("readers")));
  EXPECT_EQ(Run({"virtual", "remove", "readers"}), kExitFailed);
  EXPECT_FALSE(std::filesystem::exists(ConfigFile() + ".lock")) << "nothing is left beside it";
}

TEST_F(ConfigCommandTest, RefusesAServerThatMakesNoSense) {
  EXPECT_EQ(Run({"server", "add", "x"}), kExitUsage);
  EXPECT_EQ(Run({"server", "add", "x", "--url", "http://h", "--", "y"}), kExitUsage);
  EXPECT_EQ(Run({"server", "add", "x", "--type", "http", "--", "y"}), kExitUsage);
  EXPECT_EQ(Run({"server", "add", "x", "--env", "secret", "--", "y"}), kExitUsage);
  EXPECT_THAT(err_, Not(HasSubstr("secret")));
  EXPECT_EQ(Run({"server", "add", "x", "--url", "not a url"}), kExitUsage);
  EXPECT_NE(::access(ConfigFile().c_str(), F_OK), 0);
}

TEST_F(ConfigCommandTest, AddsToAGatewayElsewhereThroughItsApi) {
  rest_.reachable = true;
  rest_.When("POST /api/v1/servers", "{}");
  ASSERT_EQ(Run({"--url", "https://gw.test", "server", "add", "My Git", "--", "uvx", "g"}),
            kExitDone)
      << err_;
  EXPECT_EQ(rest_.Last().body,
            R"({"meta":{"name":"my-git","displayName":"My Git"},"spec":{"type":"stdio",)"
            R"("command":"uvx","args":["g"],"era":"auto"},"enabled":true})");
}

TEST_F(ConfigCommandTest, ImportsOtherClientsFiles) {
  Write(Path("mcp.json"),
        R"({"servers":{"a":{"type":"stdio","command":"x"},"b":{"url":"https://h/mcp"}}})");
  ASSERT_EQ(Run({"config", "import", Path("mcp.json"), "--dry-run"}), kExitDone) << err_;
  EXPECT_THAT(out_, HasSubstr("would be added"));
  EXPECT_NE(::access(ConfigFile().c_str(), F_OK), 0);
  ASSERT_EQ(Run({"config", "import", Path("mcp.json")}), kExitDone) << err_;
  EXPECT_THAT(Read(ConfigFile()), AllOf(HasSubstr("\"a\""), HasSubstr("https://h/mcp")));
  ASSERT_EQ(Run({"config", "import", Path("mcp.json")}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("there already"));
  EXPECT_EQ(Run({"config", "import", Path("none")}), kExitFailed);
}

TEST_F(ConfigCommandTest, MigratesAnOldFile) {
  Write(ConfigFile(), R"({"mcp_servers":[{"name":"a","command":"x"}]})");
  ASSERT_EQ(Run({"config", "migrate"}), kExitDone) << err_;
  EXPECT_THAT(out_, HasSubstr("the old file is"));
  ASSERT_EQ(Run({"config", "migrate"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("is current"));
}

TEST_F(ConfigCommandTest, PrintsTheSchema) {
  ASSERT_EQ(Run({"config", "schema"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("\"$schema\""));
}

TEST_F(ConfigCommandTest, InitWritesWhatWasChosen) {
  RecordProperty("req", "M-FR-008.1");
  ASSERT_EQ(Run({"init"}), kExitDone) << err_;
  EXPECT_EQ(Run({"config", "validate"}), kExitDone) << err_;
  EXPECT_EQ(Run({"init"}), kExitFailed);
  EXPECT_THAT(err_, HasSubstr("exists already"));
  std::filesystem::remove(ConfigFile());
  ASSERT_EQ(Run({"init"}, StrCat("quickstart\n", home_, "\n"), true), kExitDone) << err_;
  EXPECT_THAT(err_, HasSubstr("What to begin with?"));
  EXPECT_THAT(Read(ConfigFile()), AllOf(HasSubstr("server-everything@"), HasSubstr(home_)));
  std::filesystem::remove(ConfigFile());
  EXPECT_EQ(Run({"init", "--template", "quickstart", "--folder", Path("none")}), kExitUsage);
  EXPECT_NE(::access(ConfigFile().c_str(), F_OK), 0);
  Write(Path(".cursor/mcp.json"), R"({"mcpServers":{"fromcursor":{"command":"x"}}})");
  ASSERT_EQ(Run({"init", "--template", "import"}), kExitDone) << err_;
  EXPECT_THAT(Read(ConfigFile()), HasSubstr("fromcursor"));
}

TEST_F(ConfigCommandTest, ConnectsAClientAndTriesIt) {
  UseFakeProgram();
  const std::string file = Path(".cursor/mcp.json");
  Write(file, "{\n  // mine\n  \"mcpServers\": { \"x\": { \"command\": \"y\" } }\n}\n");
  ASSERT_EQ(Run({"connect", "cursor", "--virtual", "readers"}), kExitDone) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("2 tools"), HasSubstr(".bak-")));
  EXPECT_THAT(Read(file), AllOf(HasSubstr("// mine"), HasSubstr(program_), HasSubstr("readers")));
  ASSERT_EQ(Run({"connect", "cursor", "--remove"}), kExitDone);
  EXPECT_THAT(Read(file), AllOf(HasSubstr("// mine"), Not(HasSubstr(program_))));
  EXPECT_EQ(Run({"connect", "emacs"}), kExitUsage);
}

TEST_F(ConfigCommandTest, SaysThatANewEntryDoesNotWork) {
  program_ = "/bin/false";
  EXPECT_EQ(Run({"connect", "vscode"}), kExitFailed);
  EXPECT_THAT(err_, HasSubstr("does not work yet"));
  EXPECT_EQ(Run({"connect", "vscode", "--no-verify"}), kExitDone);
}

TEST_F(ConfigCommandTest, ConnectsOverHttpWithoutTheKeyInTheFile) {
  rest_.reachable = true;
  rest_.When("POST /mcp", R"({"jsonrpc":"2.0","id":2,"result":{"tools":[{}]}})");
  ASSERT_EQ(Run({"connect", "vscode", "--url", "https://gw.test", "--token", "t0k3n"}), kExitDone)
      << err_;
  EXPECT_THAT(out_, HasSubstr("1 tools"));
  const std::string text = Read(Path(".config/Code/User/mcp.json"));
  EXPECT_THAT(text, AllOf(HasSubstr("https://gw.test/mcp"), HasSubstr("${env:META_MCP_TOKEN}"),
                          Not(HasSubstr("t0k3n"))));
}

TEST_F(ConfigCommandTest, DoctorFindsWhatIsWrong) {
  RecordProperty("req", "M-FR-008.5 W-4.2.1 W-7.1.5");
  Write(ConfigFile(), R"({"mcpServers":{
      "gone":{"command":"no-such-program-here"},
      "there":{"command":"sh"},
      "nowhere":{"url":"http://127.0.0.1:1/mcp"},
      "unnamed":{"url":"http://no-such-host.invalid/mcp","allowPlainHttp":true},
      "unset":{"command":"sh","env":{"T":"${NOT_THERE}"}},
      "off":{"command":"x","disabled":true}}})");
  ::chmod(Path(".meta-mcp").c_str(), 0700);
  Write(Path(".meta-mcp/keys.json"), "{}");
  ::chmod(Path(".meta-mcp/keys.json").c_str(), 0644);
  Write(Path(".meta-mcp/storage.db"), std::string(8192, 'x'));
  EXPECT_EQ(Run({"doctor"}), kExitFailed);
  EXPECT_THAT(out_, AllOf(HasSubstr("others may read"), HasSubstr("chmod 600"),
                          HasSubstr("no-such-program-here"), HasSubstr("playbooks/spawn.md"),
                          HasSubstr("playbooks/tcp.md"), HasSubstr("playbooks/dns.md"),
                          HasSubstr("NOT_THERE"), HasSubstr("playbooks/not-running.md"),
                          HasSubstr("playbooks/database.md"), HasSubstr("skipped  enabled")));
  EXPECT_THAT(out_, HasSubstr("6 checks failed"));
  // Mended, all but one: --again looks at what failed only.
  ::chmod(Path(".meta-mcp/keys.json").c_str(), 0600);
  std::filesystem::remove(Path(".meta-mcp/keys.json"));
  std::filesystem::remove(Path(".meta-mcp/storage.db"));
  EXPECT_EQ(Run({"doctor", "--again"}), kExitFailed);
  EXPECT_THAT(out_, AllOf(HasSubstr("server gone"), Not(HasSubstr("server there"))));
  EXPECT_EQ(Run({"doctor", "there"}), kExitDone);
  EXPECT_EQ(Run({"doctor", "ther"}), kExitFailed);
  EXPECT_THAT(err_, HasSubstr("Did you mean \"there\"?"));
}

TEST_F(ConfigCommandTest, DoctorRemembersWhatItDidNotLookAt) {
  Write(ConfigFile(), R"({"mcpServers":{"gone":{"command":"no-such-program-here"},
                                         "there":{"command":"sh"}}})");
  ::chmod(Path(".meta-mcp").c_str(), 0700);
  EXPECT_EQ(Run({"doctor"}), kExitFailed);
  EXPECT_EQ(Run({"doctor", "there"}), kExitDone);
  EXPECT_EQ(Run({"doctor", "--again"}), kExitFailed) << out_;
  EXPECT_THAT(out_, HasSubstr("no-such-program-here"));
}

TEST_F(ConfigCommandTest, DoctorStartsAGatewayToLookThroughIt) {
  RecordProperty("req", "W-4.2.1 W-7.1.5");
  Write(ConfigFile(), R"({"mcpServers":{"git":{"command":"sh"}}})");
  ::chmod(Path(".meta-mcp").c_str(), 0700);
  start_gateway_ = [this](const CommandContext&) {
    rest_.reachable = true;
    return absl::OkStatus();
  };
  rest_.When("GET /api/v1/servers", R"({"upstreams":[{"meta":{"name":"git"},"enabled":true}]})");
  rest_.When(
      "POST /api/v1/servers/git/diagnose",
      R"({"steps":[{"step":"spawn","outcome":"ok"},{"step":"handshake","outcome":"failed"}]})");
  EXPECT_EQ(Run({"doctor"}), kExitFailed);
  EXPECT_THAT(out_, AllOf(HasSubstr("one was started for this look"), HasSubstr("handshake")));
  rest_.reachable = false;
  start_gateway_ = [](const CommandContext&) {
    return Fail("GATEWAY_UNREACHABLE", "its last words");
  };
  EXPECT_EQ(Run({"doctor"}), kExitFailed);
  EXPECT_THAT(out_, AllOf(HasSubstr("its last words"), HasSubstr("nothing was started")));
}

TEST_F(ConfigCommandTest, DoctorNamesThePlaceOfABadConfiguration) {
  Write(ConfigFile(), "{ \"gateway\": 3 }");
  EXPECT_EQ(Run({"doctor", "--output", "json"}), kExitFailed);
  EXPECT_THAT(out_, AllOf(HasSubstr("config.json:1:"), HasSubstr("\"ok\": false")));
}

TEST_F(ConfigCommandTest, DoctorAsksARunningGateway) {
  rest_.reachable = true;
  rest_.When("GET /api/v1/status", "{}");
  rest_.When("GET /api/v1/servers", R"({"upstreams":[{"meta":{"name":"git"},"enabled":true}]})");
  rest_.When("POST /api/v1/servers/git/diagnose",
             R"({"steps":[{"step":"spawn","outcome":"ok"},{"step":"handshake","outcome":"failed",
                "detail":"it said nothing","mend":"see its log","playbook":"handshake.md"},
                {"step":"list","outcome":"skipped"}]})");
  EXPECT_EQ(Run({"doctor", "git"}), kExitFailed);
  EXPECT_THAT(
      out_, AllOf(HasSubstr("failed  handshake: it said nothing"),
                  HasSubstr("what to do: see its log"), HasSubstr("docs/playbooks/handshake.md")));
}

TEST_F(ConfigCommandTest, EveryPlaybookThatIsNamedExists) {
  for (const char* name : {"auth", "call", "config", "database", "dns", "handshake", "list",
                           "not-running", "spawn", "tcp", "tls"}) {
    const std::string text = Read(StrCat("docs/playbooks/", name, ".md"));
    EXPECT_THAT(text, AllOf(HasSubstr("# "), HasSubstr("## What to do"))) << name;
  }
}

}  // namespace
}  // namespace metamcp::cli
