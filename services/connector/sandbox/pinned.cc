// Which commands run a package that is looked up when they start.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "services/connector/sandbox/profile.h"

namespace metamcp::connector::sandbox {
namespace {

std::string BaseName(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

enum class Form { kNpm, kPython, kImage };

struct Runner {
  std::string_view command;
  std::string_view sub;  // its first argument, where that makes it a runner
  Form form;
};
constexpr Runner kRunners[] = {{"npx", "", Form::kNpm},         {"bunx", "", Form::kNpm},
                               {"pnpx", "", Form::kNpm},        {"npm", "exec", Form::kNpm},
                               {"npm", "x", Form::kNpm},        {"pnpm", "dlx", Form::kNpm},
                               {"yarn", "dlx", Form::kNpm},     {"bun", "x", Form::kNpm},
                               {"uvx", "", Form::kPython},      {"pipx", "run", Form::kPython},
                               {"docker", "run", Form::kImage}, {"podman", "run", Form::kImage}};

// An exact version begins with a digit and holds no range; a tag such as latest moves.
bool IsExact(std::string_view version) {
  return !version.empty() && absl::ascii_isdigit(version[0]) &&
         std::count(version.begin(), version.end(), '.') >= 1 &&
         version.find_first_of("xX*^~<>| ,") == std::string_view::npos;
}

bool IsLocal(std::string_view package) {
  return package.substr(0, 1) == "/" || package.substr(0, 2) == "./" ||
         package.substr(0, 3) == "../" || package.substr(0, 5) == "file:";
}

bool Exact(Form form, std::string_view package) {
  if (form == Form::kImage) return package.find("@sha256:") != std::string_view::npos;
  if (IsLocal(package)) return true;
  if (form == Form::kPython) {
    const size_t equals = package.find("==");
    if (equals != std::string_view::npos) return IsExact(package.substr(equals + 2));
    const size_t at = package.rfind('@');
    return at != std::string_view::npos && IsExact(package.substr(at + 1));
  }
  const size_t at = package.rfind('@');
  return at != std::string_view::npos && at > 0 && IsExact(package.substr(at + 1));
}

// Options whose value is the package, and those of other values, which are skipped.
constexpr std::string_view kPackageOptions[] = {"--package", "-p", "--from", "--spec"};
constexpr std::string_view kValued[] = {
    "--python", "--with", "--index-url", "--registry", "--cache", "--userconfig",
    "-e",       "--env",  "-v",          "--volume",   "--name",  "--network",
    "--mount",  "-w",     "--workdir",   "-u",         "--user",  "--entrypoint"};

template <typename List>
bool In(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

// The packages that the arguments from `at` on name: those of options, else the first word.
std::vector<std::string> Packages(Form form, const std::vector<std::string>& args, size_t at) {
  std::vector<std::string> out;
  for (; at < args.size(); ++at) {
    const std::string& word = args[at];
    const size_t equals = word.find('=');
    if (form != Form::kImage && word.substr(0, 1) == "-" && equals != std::string::npos &&
        In(kPackageOptions, word.substr(0, equals))) {
      out.push_back(word.substr(equals + 1));
    } else if (form != Form::kImage && In(kPackageOptions, word) && at + 1 < args.size() &&
               !(form == Form::kPython && word == "-p")) {
      out.push_back(args[++at]);
    } else if (In(kValued, word) || (form == Form::kPython && word == "-p")) {
      ++at;
    } else if (word.substr(0, 1) != "-") {
      if (out.empty()) out.push_back(word);
      break;
    }
  }
  return out;
}

}  // namespace

bool IsPinned(const std::string& command, const std::vector<std::string>& args, std::string* mend) {
  const std::string name = BaseName(command);
  std::vector<std::string> words = args;
  const bool tool_run = name == "uv" && words.size() > 1 && words[0] == "tool" && words[1] == "run";
  for (const Runner& runner : kRunners) {
    const bool fits = tool_run
                          ? runner.command == "uvx"
                          : runner.command == name &&
                                (runner.sub.empty() || (!words.empty() && words[0] == runner.sub));
    if (!fits) continue;
    const size_t from = tool_run ? 2 : runner.sub.empty() ? 0 : 1;
    for (const std::string& package : Packages(runner.form, words, from)) {
      if (Exact(runner.form, package)) continue;
      const std::string_view suffix = runner.form == Form::kNpm      ? "@1.2.3"
                                      : runner.form == Form::kPython ? "==1.2.3"
                                                                     : "@sha256:...";
      const std::string bare = runner.form == Form::kNpm &&
                                       package.rfind('@') != std::string::npos &&
                                       package.rfind('@') > 0
                                   ? package.substr(0, package.rfind('@'))
                                   : package;
      *mend = StrCat("name the exact version of '", bare, "', such as ", bare, suffix,
                     ", or install it and name its program");
      return false;
    }
    return true;
  }
  return true;
}

}  // namespace metamcp::connector::sandbox
