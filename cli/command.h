#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cli/context.h"

namespace CLI {
class App;
}

namespace metamcp::cli {

class CommandTree;

// One command (or group of commands) while the tree is built. What `into` points at must live as
// long as the tree; commands keep it in a shared struct that their Run captures.
class Command {
 public:
  Command(CommandTree* tree, CLI::App* app) : tree_(tree), app_(app) {}

  CommandContext& context();
  Command Sub(const std::string& name, const std::string& summary);
  // A whole command line, shown under "Examples" of --help.
  Command& Example(const std::string& line);
  // One more paragraph of --help.
  Command& More(const std::string& text);
  Command& Argument(const std::string& name, std::string* into, const std::string& text);
  Command& OptionalArgument(const std::string& name, std::string* into, const std::string& text);
  Command& Option(const std::string& names, std::string* into, const std::string& text,
                  const std::string& type = "TEXT");
  // May be given several times.
  Command& List(const std::string& names, std::vector<std::string>* into, const std::string& text,
                const std::string& type = "TEXT");
  Command& Choice(const std::string& names, std::string* into,
                  const std::vector<std::string>& choices, const std::string& text);
  Command& ChoiceArgument(const std::string& name, std::string* into,
                          const std::vector<std::string>& choices, const std::string& text);
  Command& Integer(const std::string& names, int64_t* into, int64_t min, int64_t max,
                   const std::string& text, const std::string& type = "N");
  Command& Flag(const std::string& names, bool* into, const std::string& text);
  // Takes what stands behind "--".
  Command& Trailing(std::vector<std::string>* into);
  Command& Run(std::function<absl::Status()> run);

 private:
  CommandTree* tree_;
  CLI::App* app_;
};

// What a command looks like, for completion, documentation and tests.
struct OptionInfo {
  std::vector<std::string> names;  // "-o", "--output"; empty for an argument
  std::string argument;            // name of an argument
  std::string type;                // empty for a flag
  std::string text;
  std::vector<std::string> choices;
  bool required = false;
};
struct CommandInfo {
  std::vector<std::string> path;  // without the program's name
  std::string summary;
  std::string more;
  std::vector<std::string> examples;
  std::vector<OptionInfo> options;  // its own; the root's hold for all
  std::vector<CommandInfo> subs;
  bool runs = false;  // does something by itself
  bool trailing = false;
};

// The commands of the program. Built once for each command line that is run.
class CommandTree {
 public:
  explicit CommandTree(CommandContext& context);
  ~CommandTree();

  CommandContext& context() { return context_; }
  Command root();

  // Reads `args` (without the program's name), runs what they say and returns the exit code.
  int Run(std::vector<std::string> args);
  CommandInfo Describe() const;

 private:
  friend class Command;
  struct Extra {
    std::function<absl::Status()> run;
    std::vector<std::string>* trailing = nullptr;
    std::vector<std::string> examples;
    std::string more;
    std::map<std::string, std::vector<std::string>> choices;  // by option name
  };
  CLI::App* Selected() const;
  int UsageFailure(const std::string& message);
  CommandInfo DescribeApp(const CLI::App* app, std::vector<std::string> path) const;
  void SetFooter(CLI::App* app);
  std::string Suggestion(const std::vector<std::string>& args) const;

  CommandContext& context_;
  std::unique_ptr<CLI::App> root_;
  std::map<const CLI::App*, Extra> extras_;
};

// Adds every command.
void AddCommands(CommandTree& tree);

// Runs one command line in `context`.
int RunCommandLine(CommandContext& context, std::vector<std::string> args);

// Text of docs/cli.md.
std::string GenerateCliDocs(const CommandInfo& root);

// Script for bash, zsh or fish.
std::string CompletionScript(std::string_view shell, const CommandInfo& root);

}  // namespace metamcp::cli
