#include "cli/command.h"

#include <cstdlib>

#include "cli/command_fixture.h"
#include "cli/commands.h"
#include "cli/words.h"

namespace metamcp::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class TreeTest : public CommandTest {
 protected:
  CommandInfo Describe() {
    CommandContext ctx;
    CommandTree tree(ctx);
    AddCommands(tree);
    return tree.Describe();
  }
  void Walk(const CommandInfo& command, const std::function<void(const CommandInfo&)>& visit) {
    visit(command);
    for (const CommandInfo& sub : command.subs) Walk(sub, visit);
  }
};

TEST_F(TreeTest, EveryCommandHasHelpWithAnExample) {
  RecordProperty("req", "M-FR-008.2 W-5.5.4 M-UJ-A1.c3");
  int commands = 0;
  Walk(Describe(), [&](const CommandInfo& command) {
    std::vector<std::string> args = command.path;
    args.push_back("--help");
    EXPECT_EQ(Run(args), kExitDone) << err_;
    EXPECT_THAT(out_, HasSubstr("Examples:"));
    EXPECT_THAT(out_, HasSubstr("meta-mcp"));
    EXPECT_THAT(err_, IsEmpty());
    EXPECT_FALSE(command.summary.empty());
    EXPECT_TRUE(command.runs || !command.subs.empty() || command.path.empty());
    for (const OptionInfo& option : command.options) {
      EXPECT_FALSE(option.text.empty()) << command.summary;
    }
    ++commands;
  });
  EXPECT_GT(commands, 40);
}

TEST_F(TreeTest, HasTheCommandsOfTheContract) {
  RecordProperty("req", "M-FR-008 M-FR-008.3 M-FR-008.5");
  std::set<std::string> found;
  Walk(Describe(), [&](const CommandInfo& command) {
    std::string path;
    for (const std::string& word : command.path) path += (path.empty() ? "" : " ") + word;
    found.insert(path);
  });
  for (const char* wanted :
       {"stdio",           "init",           "connect",        "config validate",
        "config show",     "config migrate", "config import",  "config schema",
        "server list",     "server add",     "server remove",  "server enable",
        "server disable",  "server restart", "server status",  "server logs",
        "server login",    "tool list",      "tool search",    "tool show",
        "tool call",       "tool why",       "resource list",  "resource read",
        "prompt list",     "prompt get",     "virtual list",   "virtual show",
        "virtual add",     "virtual remove", "virtual enable", "virtual disable",
        "virtual connect", "session list",   "session revoke", "doctor",
        "shell",           "completion",     "version"}) {
    EXPECT_EQ(found.count(wanted), 1u) << wanted;
  }
}

TEST_F(TreeTest, DocumentationIsCurrent) {
  const std::string text = GenerateCliDocs(Describe());
  const std::string path = "docs/cli.md";
  if (std::getenv("METAMCP_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  EXPECT_EQ(Read(path), text) << "run the test with METAMCP_UPDATE_GOLDEN=1";
}

TEST_F(TreeTest, UsageErrorsExitWithTwoAndSayWhatToDo) {
  RecordProperty("req", "M-NFR-005.3");
  EXPECT_EQ(Run({"toool", "list"}), kExitUsage);
  EXPECT_THAT(err_, AllOf(HasSubstr("toool"), HasSubstr("Did you mean 'tool'?")));
  EXPECT_EQ(Run({"server", "lst"}), kExitUsage);
  EXPECT_THAT(err_, AllOf(HasSubstr("'list'"), HasSubstr("'meta-mcp server --help'")));
  EXPECT_EQ(Run({"server"}), kExitUsage);
  EXPECT_EQ(Run({"server", "status", "--nmae", "x"}), kExitUsage);
  EXPECT_EQ(Run({"server", "logs"}), kExitUsage);
  EXPECT_EQ(Run({"server", "logs", "git", "--lines", "0"}), kExitUsage);
  EXPECT_EQ(Run({"server", "list", "--output", "xml"}), kExitUsage);
  EXPECT_EQ(Run({"server", "list", "--", "x"}), kExitUsage);
  EXPECT_EQ(Run({}), kExitUsage);
  EXPECT_THAT(out_, IsEmpty());
}

TEST_F(TreeTest, ErrorsAreJsonWhereJsonWasAsked) {
  RecordProperty("req", "M-FR-008.6");
  rest_.reachable = false;
  EXPECT_EQ(RunRemote({"server", "list", "--output", "json"}), kExitUnreachable);
  EXPECT_THAT(out_, IsEmpty());
  EXPECT_THAT(err_, StartsWith(R"({"error":{"reason":"GATEWAY_UNREACHABLE")"));
}

TEST_F(TreeTest, ExitCodesTellKindsOfFailureApart) {
  rest_.reachable = false;
  EXPECT_EQ(Run({"tool", "list"}), kExitUnreachable);
  EXPECT_THAT(err_, AllOf(HasSubstr("serve.sock"), HasSubstr("meta-mcp serve")));
  rest_.reachable = true;
  EXPECT_EQ(RunRemote({"server", "status", "nope"}), kExitFailed);
  EXPECT_THAT(err_, AllOf(HasSubstr("nothing is there"), HasSubstr("Check the name.")));
  const std::string denied =
      R"({"error":{"reason":"PERMISSION_DENIED","message":"not for you","hint":"Ask.","source":"policy"}})";
  rest_.When("GET /api/v1/servers", denied, 403);
  EXPECT_EQ(RunRemote({"server", "list"}), kExitDenied);
  rest_.When("GET /api/v1/servers", "", 401);
  EXPECT_EQ(RunRemote({"server", "list"}), kExitDenied);
  rest_.When("GET /api/v1/servers", "<html>", 502);
  EXPECT_EQ(RunRemote({"server", "list"}), kExitFailed);
  rest_.When("GET /api/v1/servers", "<html>");
  EXPECT_NE(RunRemote({"server", "list"}), kExitDone);
}

TEST_F(TreeTest, CompletionScriptsAreValidShell) {
  RecordProperty("req", "M-FR-008.2");
  ASSERT_EQ(Run({"completion", "bash"}), kExitDone);
  const std::string bash = Path("completion.bash");
  Write(bash, out_);
  EXPECT_EQ(std::system(StrCat("bash -n ", bash).c_str()), 0);
  const auto complete = [&](const std::string& words, int count) {
    const std::string script =
        StrCat("source ", bash, "; COMP_WORDS=(", words, "); COMP_CWORD=", count,
               "; _meta_mcp; echo \"${COMPREPLY[*]}\" > ", Path("reply"));
    EXPECT_EQ(std::system(StrCat("bash -c '", script, "'").c_str()), 0);
    return Read(Path("reply"));
  };
  EXPECT_THAT(complete("meta-mcp ser", 1), HasSubstr("server"));
  EXPECT_THAT(complete("meta-mcp server re", 2), AllOf(HasSubstr("remove"), HasSubstr("restart")));
  EXPECT_THAT(complete("meta-mcp --plain server dis", 3), HasSubstr("disable"));
  EXPECT_THAT(complete("meta-mcp tool list --hid", 3), HasSubstr("--hidden"));
  EXPECT_THAT(complete("meta-mcp --output j", 2), HasSubstr("json"));
  EXPECT_THAT(complete("meta-mcp connect vs", 2), HasSubstr("vscode"));

  ASSERT_EQ(Run({"completion", "zsh"}), kExitDone);
  EXPECT_THAT(out_, StartsWith("#compdef meta-mcp"));
  Write(Path("completion.zsh"), out_);
  if (std::system("command -v zsh > /dev/null") == 0) {
    EXPECT_EQ(std::system(StrCat("zsh -n ", Path("completion.zsh")).c_str()), 0);
  }
  ASSERT_EQ(Run({"completion", "fish"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("complete -c meta-mcp"));
  Write(Path("completion.fish"), out_);
  if (std::system("command -v fish > /dev/null") == 0) {
    EXPECT_EQ(std::system(StrCat("fish -n ", Path("completion.fish")).c_str()), 0);
  }
  EXPECT_EQ(Run({"completion", "tcsh"}), kExitUsage);
}

TEST_F(TreeTest, ShellRunsLinesUntilItsEnd) {
  RecordProperty("req", "M-FR-008.1");
  const int code = Run({"shell"},
                       "version\n\nversion --output json\nversion\nserver lst\nhistory\n!1\n"
                       "tool call 'open\nshell\nexit\nversion\n");
  EXPECT_EQ(code, kExitUsage);
  EXPECT_THAT(out_, HasSubstr("\"version\""));
  // The first, the third and the repeated line: an option of one line does not hold for the next.
  size_t plain = 0;
  for (size_t at = 0; (at = out_.find("meta-mcp 0", at)) != std::string::npos; ++at) ++plain;
  EXPECT_EQ(plain, 3u);
  EXPECT_THAT(err_, AllOf(HasSubstr("'list'"), HasSubstr("quote"), HasSubstr("inside the shell")));
}

TEST_F(TreeTest, ShellCompletesToolNames) {
  rest_.When("GET /api/v1/items",
             R"({"items":[{"name":"git__status"},{"name":"git__log"},{"name":"x"}]})");
  EXPECT_EQ(Run({"shell"}, "tool call git?\n"), kExitDone);
  EXPECT_EQ(out_, "git__status\ngit__log\n");
}

TEST(SplitWordsTest, KeepsQuotedWordsTogether) {
  EXPECT_THAT(*SplitWords(R"(tool call x '{"a": "b c"}' "q\"r" d\ e '')"),
              ElementsAre("tool", "call", "x", R"({"a": "b c"})", "q\"r", "d e", ""));
  EXPECT_FALSE(SplitWords("a 'b").ok());
}

TEST(TableTest, ShowsHostileTextHarmlessly) {
  RecordProperty("req", "M-NFR-005.5");
  Table table({"NAME", "TEXT"});
  table.Row({"a\x1b[31mred", "two\nlines"});
  table.Row({"ü", "\xE2\x80\xAEreversed \xff"});
  EXPECT_EQ(table.Aligned(false),
            "NAME        TEXT\n"
            "a^[[31mred  two lines\n"
            "ü           \xEF\xBF\xBDreversed \xEF\xBF\xBD\n");
  EXPECT_EQ(table.Linear(),
            "NAME: a^[[31mred\nTEXT: two lines\n\n"
            "NAME: ü\nTEXT: \xEF\xBF\xBDreversed \xEF\xBF\xBD\n");
}

TEST(TableTest, ColoursOnlyOnATerminalThatWantsThem) {
  CommandContext ctx;
  EXPECT_FALSE(ctx.color());
  ctx.out_is_terminal = true;
  EXPECT_TRUE(ctx.color());
  ctx.global.plain = true;
  EXPECT_FALSE(ctx.color());
  ctx.global.plain = false;
  ctx.env["NO_COLOR"] = "1";
  EXPECT_FALSE(ctx.color());
}

TEST(TextTest, ShortensByCharacters) {
  EXPECT_EQ(Shorten("abcdef", 4), "abc…");
  EXPECT_EQ(Shorten("äöüß", 4), "äöüß");
  EXPECT_EQ(DisplayWidth("äö"), 2u);
}

}  // namespace
}  // namespace metamcp::cli
