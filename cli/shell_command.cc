#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "cli/words.h"
#include "common/base/strings.h"

namespace metamcp::cli {
namespace {

constexpr size_t kHistoryMax = 1000;

class Shell {
 public:
  explicit Shell(CommandContext& ctx) : ctx_(ctx) {}

  absl::Status Run() {
    if (ctx_.interactive()) {
      ctx_.Say(
          "Commands as on the command line, without 'meta-mcp'. NAME? completes a tool's name, "
          "'history' and '!N' repeat, 'help' and 'exit'.");
    }
    std::string line;
    while (Prompt(), std::getline(*ctx_.in, line)) {
      if (line.size() > (1 << 20)) {
        ctx_.Note("error: the line is too long");
        last_ = kExitUsage;
        continue;
      }
      if (!Take(line)) break;
    }
    ctx_.exit_code = last_;
    return absl::OkStatus();
  }

 private:
  void Prompt() {
    if (ctx_.interactive()) *ctx_.out << "meta-mcp> " << std::flush;
  }

  // False: leave.
  bool Take(std::string line) {
    if (line.size() > 1 && line[0] == '!') {
      const size_t n = std::strtoul(line.c_str() + 1, nullptr, 10);
      if (n == 0 || n > history_.size()) {
        ctx_.Note("error: there is no such line in the history");
        return true;
      }
      line = history_[n - 1];
      ctx_.Say(line);
    }
    const auto words = SplitWords(line);
    if (!words.ok()) {
      PrintError(ctx_, words.status());
      last_ = kExitUsage;
      return true;
    }
    if (words->empty()) return true;
    if (words->front() == "exit" || words->front() == "quit") return false;
    if (words->front() == "history") {
      for (size_t i = 0; i < history_.size(); ++i)
        *ctx_.out << i + 1 << "  " << history_[i] << "\n";
      return true;
    }
    if (history_.size() < kHistoryMax) history_.push_back(line);
    if (words->back().size() > 1 && words->back().back() == '?') {
      Complete(words->back().substr(0, words->back().size() - 1));
      return true;
    }
    Execute(*words);
    return true;
  }

  void Execute(std::vector<std::string> words) {
    if (words.front() == "meta-mcp") words.erase(words.begin());
    if (words.empty()) return;
    if (words.front() == "help") words = {"--help"};
    if (words.front() == "shell" || words.front() == "stdio" || words.front() == "serve") {
      ctx_.Note(StrCat("error: ", words.front(), " cannot run inside the shell"));
      last_ = kExitUsage;
      return;
    }
    // Options of one line do not hold for the next.
    const GlobalOptions kept = ctx_.global;
    last_ = RunCommandLine(ctx_, std::move(words));
    ctx_.global = kept;
  }

  void Complete(const std::string& begin) {
    const auto reply = ListAll(ctx_, "items", "items", {{"kind", "tool"}});
    if (!reply.ok()) {
      PrintError(ctx_, reply.status());
      last_ = ExitCodeOf(reply.status());
      return;
    }
    for (const nlohmann::json& item : ArrayOf(*reply, "items")) {
      const std::string name = TextOf(item, "name");
      if (name.compare(0, begin.size(), begin) == 0) *ctx_.out << OneLine(name) << "\n";
    }
  }

  CommandContext& ctx_;
  std::vector<std::string> history_;
  int last_ = kExitDone;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> SplitWords(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = '\0';
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != '\0') {
      if (c == quote) {
        quote = '\0';
      } else if (c == '\\' && quote == '"' && i + 1 < line.size() &&
                 (line[i + 1] == '"' || line[i + 1] == '\\')) {
        word += line[++i];
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == '\\' && i + 1 < line.size()) {
      word += line[++i];
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != '\0') return UsageError("a quote is not closed", "Close it, or put \\ before it.");
  if (in_word) words.push_back(std::move(word));
  return words;
}

void AddShellCommand(Command& root) {
  CommandContext& ctx = root.context();
  Command shell = root.Sub("shell", "Takes commands one after the other");
  shell.Example("meta-mcp shell").Example("echo 'tool list' | meta-mcp shell");
  shell.Run([&ctx] { return Shell(ctx).Run(); });
}

}  // namespace metamcp::cli
