#include "cli/command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>

#include "common/base/names.h"
#include "common/base/strings.h"

namespace metamcp::cli {
namespace {

CLI::Option* Described(CLI::Option* option, const std::string& type) {
  return option->type_name(type);
}

}  // namespace

CommandContext& Command::context() { return tree_->context(); }

Command Command::Sub(const std::string& name, const std::string& summary) {
  CLI::App* sub = app_->add_subcommand(name, summary);
  sub->fallthrough();
  // One command a line: a later word that is a command's name too is an argument.
  sub->require_subcommand(0, 1);
  tree_->extras_[sub];
  return Command(tree_, sub);
}

Command& Command::Example(const std::string& line) {
  tree_->extras_[app_].examples.push_back(line);
  tree_->SetFooter(app_);
  return *this;
}

Command& Command::More(const std::string& text) {
  tree_->extras_[app_].more = text;
  tree_->SetFooter(app_);
  return *this;
}

Command& Command::Argument(const std::string& name, std::string* into, const std::string& text) {
  Described(app_->add_option(name, *into, text), "")->required();
  return *this;
}

Command& Command::OptionalArgument(const std::string& name, std::string* into,
                                   const std::string& text) {
  Described(app_->add_option(name, *into, text), "");
  return *this;
}

Command& Command::Option(const std::string& names, std::string* into, const std::string& text,
                         const std::string& type) {
  Described(app_->add_option(names, *into, text), type);
  return *this;
}

Command& Command::List(const std::string& names, std::vector<std::string>* into,
                       const std::string& text, const std::string& type) {
  // One value each time, so that an argument behind it is not swallowed.
  Described(app_->add_option(names, *into, text), type)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  return *this;
}

Command& Command::Choice(const std::string& names, std::string* into,
                         const std::vector<std::string>& choices, const std::string& text) {
  CLI::Option* option = app_->add_option(names, *into, text);
  option->check(CLI::IsMember(choices));
  tree_->extras_[app_].choices[option->get_name()] = choices;
  return *this;
}

Command& Command::ChoiceArgument(const std::string& name, std::string* into,
                                 const std::vector<std::string>& choices, const std::string& text) {
  CLI::Option* option = app_->add_option(name, *into, text);
  option->check(CLI::IsMember(choices))->required();
  tree_->extras_[app_].choices[option->get_name()] = choices;
  return *this;
}

Command& Command::Integer(const std::string& names, int64_t* into, int64_t min, int64_t max,
                          const std::string& text, const std::string& type) {
  Described(app_->add_option(names, *into, text), type)->check(CLI::Range(min, max));
  return *this;
}

Command& Command::Flag(const std::string& names, bool* into, const std::string& text) {
  app_->add_flag(names, *into, text);
  return *this;
}

Command& Command::Trailing(std::vector<std::string>* into) {
  tree_->extras_[app_].trailing = into;
  return *this;
}

Command& Command::Run(std::function<absl::Status()> run) {
  tree_->extras_[app_].run = std::move(run);
  return *this;
}

CommandTree::CommandTree(CommandContext& context)
    : context_(context),
      root_(std::make_unique<CLI::App>("One endpoint in front of every MCP server.", "meta-mcp")) {
  extras_[root_.get()];
  root_->get_formatter()->column_width(34);
}
CommandTree::~CommandTree() = default;

Command CommandTree::root() { return Command(this, root_.get()); }

void CommandTree::SetFooter(CLI::App* app) {
  const Extra& extra = extras_[app];
  std::string footer;
  if (!extra.more.empty()) footer += extra.more + "\n";
  if (!extra.examples.empty()) {
    if (!footer.empty()) footer += "\n";
    footer += "Examples:\n";
    for (const std::string& line : extra.examples) footer += StrCat("  ", line, "\n");
  }
  app->footer(footer);
}

CLI::App* CommandTree::Selected() const {
  CLI::App* app = root_.get();
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return app;
}

std::string CommandTree::Suggestion(const std::vector<std::string>& args) const {
  const CLI::App* app = Selected();
  std::vector<std::string> names;
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(sub->get_name());
  }
  std::vector<std::string> options;
  for (const CLI::App* a = app; a != nullptr; a = a->get_parent()) {
    for (const CLI::Option* option : a->get_options()) {
      for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
    }
  }
  for (const std::string& word : args) {
    const bool is_option = word.size() > 2 && word.substr(0, 2) == "--";
    const std::string bare = word.substr(0, word.find('='));
    const std::vector<std::string>& known = is_option ? options : names;
    if (std::find(known.begin(), known.end(), bare) != known.end()) continue;
    const std::string near = Nearest(bare, known);
    if (!near.empty()) return StrCat("Did you mean '", near, "'? ");
  }
  return "";
}

int CommandTree::UsageFailure(const std::string& message) {
  std::string path = "meta-mcp";
  for (const CLI::App* app = root_.get(); !app->get_subcommands().empty();) {
    app = app->get_subcommands().front();
    path += StrCat(" ", app->get_name());
  }
  PrintError(context_, UsageError(message, StrCat(Suggestion(root_->remaining(true)), "'", path,
                                                  " --help' shows how it is used.")));
  return kExitUsage;
}

int CommandTree::Run(std::vector<std::string> args) {
  std::vector<std::string> trailing;
  const auto dashes = std::find(args.begin(), args.end(), "--");
  const bool has_trailing = dashes != args.end();
  if (has_trailing) {
    trailing.assign(dashes + 1, args.end());
    args.erase(dashes, args.end());
  }
  root_->allow_extras(false);
  root_->require_subcommand(0, 1);
  try {
    std::reverse(args.begin(), args.end());
    root_->parse(std::move(args));
  } catch (const CLI::CallForHelp&) {
    *context_.out << root_->help();
    return kExitDone;
  } catch (const CLI::CallForAllHelp&) {
    *context_.out << root_->help("", CLI::AppFormatMode::All);
    return kExitDone;
  } catch (const CLI::ParseError& e) {
    return UsageFailure(e.what());
  }
  const Extra& extra = extras_[Selected()];
  if (!extra.run) {
    if (Selected() != root_.get()) return UsageFailure("a command is missing");
    *context_.err << root_->help();
    return kExitUsage;
  }
  if (has_trailing && extra.trailing == nullptr) {
    return UsageFailure("this command takes nothing behind '--'");
  }
  if (extra.trailing != nullptr) *extra.trailing = std::move(trailing);
  context_.exit_code = kExitDone;
  const absl::Status status = extra.run();
  if (status.ok()) return context_.exit_code;
  PrintError(context_, status);
  return ExitCodeOf(status);
}

CommandInfo CommandTree::DescribeApp(const CLI::App* app, std::vector<std::string> path) const {
  CommandInfo info;
  const Extra& extra = extras_.at(app);
  info.path = path;
  info.summary = app->get_description();
  info.more = extra.more;
  info.examples = extra.examples;
  info.runs = extra.run != nullptr;
  info.trailing = extra.trailing != nullptr;
  for (const CLI::Option* option : app->get_options()) {
    OptionInfo o;
    if (option->get_lnames().empty() && option->get_snames().empty()) {
      o.argument = option->get_name(true);
    }
    for (const std::string& name : option->get_snames()) o.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) o.names.push_back("--" + name);
    const auto choices = extra.choices.find(option->get_name());
    if (choices != extra.choices.end()) o.choices = choices->second;
    if (option->get_expected_max() > 0) {
      o.type = o.choices.empty() ? option->get_type_name() : "CHOICE";
      o.type = o.type.substr(0, o.type.find(':'));
    }
    o.text = option->get_description();
    o.required = option->get_required();
    info.options.push_back(std::move(o));
  }
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) {
    std::vector<std::string> sub_path = path;
    sub_path.push_back(sub->get_name());
    info.subs.push_back(DescribeApp(sub, std::move(sub_path)));
  }
  return info;
}

CommandInfo CommandTree::Describe() const { return DescribeApp(root_.get(), {}); }

int RunCommandLine(CommandContext& context, std::vector<std::string> args) {
  CommandTree tree(context);
  AddCommands(tree);
  return tree.Run(std::move(args));
}

}  // namespace metamcp::cli
