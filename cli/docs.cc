#include "cli/command.h"
#include "common/base/strings.h"

namespace metamcp::cli {
namespace {

std::string Cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|' || c == '<') out += '\\';
    out += c;
  }
  return out;
}

std::string OptionName(const OptionInfo& option) {
  if (option.names.empty()) return StrCat("`", option.argument, "`");
  std::string out;
  for (const std::string& name : option.names) out += StrCat(out.empty() ? "`" : ", `", name, "`");
  if (option.choices.empty() && !option.type.empty()) {
    out.pop_back();
    out += StrCat(" ", option.type, "`");
  }
  return out;
}

void OptionTable(const CommandInfo& command, std::string* out) {
  std::string rows;
  for (const OptionInfo& option : command.options) {
    if (!option.names.empty() && option.names.back() == "--help") continue;
    std::string text = option.text;
    if (!option.choices.empty()) {
      std::string list;
      for (const std::string& choice : option.choices) {
        list += StrCat(list.empty() ? "" : ", ", choice);
      }
      text += StrCat(" (", list, ")");
    }
    if (option.names.empty() && !option.required) text += " (optional)";
    rows += StrCat("| ", OptionName(option), " | ", Cell(text), " |\n");
  }
  if (!rows.empty()) *out += StrCat("\n| | |\n|---|---|\n", rows);
}

std::string Path(const CommandInfo& command) {
  std::string out = "meta-mcp";
  for (const std::string& word : command.path) out += StrCat(" ", word);
  return out;
}

void Section(const CommandInfo& command, std::string* out) {
  const std::string marks = command.path.size() == 1 ? "##" : "###";
  *out += StrCat("\n", marks, " ", Path(command), "\n\n", command.summary, ".\n");
  if (!command.more.empty()) *out += StrCat("\n", command.more, "\n");
  OptionTable(command, out);
  if (command.trailing) *out += "\nWhat stands behind `--` is taken as it is.\n";
  if (!command.examples.empty()) {
    *out += "\n```sh\n";
    for (const std::string& line : command.examples) *out += line + "\n";
    *out += "```\n";
  }
  for (const CommandInfo& sub : command.subs) Section(sub, out);
}

}  // namespace

std::string GenerateCliDocs(const CommandInfo& root) {
  std::string out =
      "# Command line\n\n"
      "Generated from the command tree; `meta-mcp COMMAND --help` says the same.\n\n"
      "Exit codes: 0 done, 1 failed, 2 usage or configuration error, 3 not reachable, 4 denied.\n"
      "Answers go to stdout, remarks and errors to stderr. `NO_COLOR` is respected.\n\n"
      "Options of every command:\n";
  OptionTable(root, &out);
  for (const CommandInfo& command : root.subs) Section(command, &out);
  return out;
}

}  // namespace metamcp::cli
