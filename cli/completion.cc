#include "cli/command.h"
#include "common/base/strings.h"

// Completion scripts, written from the command tree. Each walks down the words typed so far to a
// state (a command's path) and offers that state's words.
namespace metamcp::cli {
namespace {

std::string Joined(const std::vector<std::string>& words, std::string_view with) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : std::string(with)) + word;
  return out;
}

// In single quotes of any of the shells.
std::string Quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::vector<std::string> Words(const CommandInfo& command, const CommandInfo& root) {
  std::vector<std::string> words;
  for (const CommandInfo& sub : command.subs) words.push_back(sub.path.back());
  for (const OptionInfo& option : command.options) {
    if (option.names.empty()) {
      words.insert(words.end(), option.choices.begin(), option.choices.end());
    }
    words.insert(words.end(), option.names.begin(), option.names.end());
  }
  if (&command != &root) {
    for (const OptionInfo& option : root.options) {
      words.insert(words.end(), option.names.begin(), option.names.end());
    }
  }
  return words;
}

void BashCases(const CommandInfo& command, const CommandInfo& root, std::string* walk,
               std::string* offer) {
  const std::string path = Joined(command.path, " ");
  for (const CommandInfo& sub : command.subs) {
    *walk += StrCat("      ", Quoted(StrCat(path, "|", sub.path.back())),
                    ") path=", Quoted(Joined(sub.path, " ")), " ;;\n");
  }
  *offer +=
      StrCat("    ", Quoted(path), ") words=", Quoted(Joined(Words(command, root), " ")), " ;;\n");
  for (const CommandInfo& sub : command.subs) BashCases(sub, root, walk, offer);
}

std::string Bash(const CommandInfo& root, bool zsh) {
  std::string walk;
  std::string offer;
  BashCases(root, root, &walk, &offer);
  std::string choices;
  for (const OptionInfo& option : root.options) {
    if (option.choices.empty()) continue;
    choices += StrCat("    ", Joined(option.names, "|"),
                      ") words=", Quoted(Joined(option.choices, " ")), " ;;\n");
  }
  return StrCat(
      zsh ? "#compdef meta-mcp\nautoload -U +X bashcompinit && bashcompinit\n"
          : "# bash completion for meta-mcp: source it, or put it into "
            "~/.local/share/bash-completion/completions/meta-mcp\n",
      "_meta_mcp() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev='' path='' words='' word i\n"
      "  (( COMP_CWORD > 0 )) && prev=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  for (( i = 1; i < COMP_CWORD; i++ )); do\n"
      "    word=${COMP_WORDS[i]}\n"
      "    case \"$path|$word\" in\n",
      walk,
      "    esac\n"
      "  done\n"
      "  case \"$path\" in\n",
      offer,
      "  esac\n"
      "  case \"$prev\" in\n",
      choices,
      "    --config|--data-dir|--cwd) COMPREPLY=( $(compgen -f -- \"$cur\") ); return ;;\n"
      "  esac\n"
      "  COMPREPLY=( $(compgen -W \"$words\" -- \"$cur\") )\n"
      "}\n"
      "complete -o default -F _meta_mcp meta-mcp\n");
}

void FishLines(const CommandInfo& command, std::string* out) {
  // True where exactly this command's words were typed.
  const std::string here = command.path.empty()
                               ? "__fish_use_subcommand"
                               : StrCat("__meta_mcp_at ", Joined(command.path, " "));
  const std::string line = StrCat("complete -c meta-mcp -n ", Quoted(here));
  for (const CommandInfo& sub : command.subs) {
    *out += StrCat(line, " -f -a ", Quoted(sub.path.back()), " -d ", Quoted(sub.summary), "\n");
  }
  for (const OptionInfo& option : command.options) {
    // The options of the root hold everywhere.
    std::string text = command.path.empty() ? "complete -c meta-mcp" : line;
    for (const std::string& name : option.names) {
      text += name.substr(0, 2) == "--" ? StrCat(" -l ", name.substr(2))
                                        : StrCat(" -s ", name.substr(1));
    }
    if (option.names.empty() && option.choices.empty()) continue;
    if (!option.type.empty() && !option.names.empty()) text += " -r";
    if (!option.choices.empty()) text += StrCat(" -f -a ", Quoted(Joined(option.choices, " ")));
    *out += StrCat(text, " -d ", Quoted(option.text), "\n");
  }
  for (const CommandInfo& sub : command.subs) FishLines(sub, out);
}

std::string Fish(const CommandInfo& root) {
  std::string out =
      "# fish completion for meta-mcp: put it into ~/.config/fish/completions/meta-mcp.fish\n"
      "function __meta_mcp_at\n"
      "    set -l typed (commandline -opc)\n"
      "    set -l words\n"
      "    for word in $typed[2..-1]\n"
      "        string match -q -- '-*' $word; or set -a words $word\n"
      "    end\n"
      "    set -l count (count $argv)\n"
      "    test (count $words) -ge $count; and test \"$words[1..$count]\" = \"$argv\"\n"
      "end\n";
  FishLines(root, &out);
  return out;
}

}  // namespace

std::string CompletionScript(std::string_view shell, const CommandInfo& root) {
  if (shell == "fish") return Fish(root);
  return Bash(root, shell == "zsh");
}

}  // namespace metamcp::cli
