#include "services/connector/sandbox/needs.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/strings.h"

namespace metamcp::connector::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr int kLinksMax = 16;
constexpr int kInterpretersMax = 4;
constexpr int kPackageDepth = 6;

bool Below(const std::string& path, std::string_view folder) {
  return path.size() > folder.size() && path.compare(0, folder.size(), folder) == 0 &&
         path[folder.size()] == '/';
}

bool IsFile(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// A folder that holds more than one program: everybody's, a home, or what a home keeps hidden.
bool TooWide(const fs::path& folder) {
  const std::string text = folder.string();
  for (const std::string_view wide :
       {"/", "/home", "/root", "/opt", "/srv", "/tmp", "/var", "/var/lib", "/var/tmp", "/etc",
        "/run", "/mnt", "/media", "/usr", "/proc", "/sys", "/dev", "/boot"}) {
    if (text == wide) return true;
  }
  std::vector<std::string> homes = {"/root"};
  if (const char* home = ::getenv("HOME"); home != nullptr && *home == '/') homes.push_back(home);
  for (const std::string& home : homes) {
    if (text == home || Below(home, text)) return true;
    if (folder.parent_path() == home && folder.filename().string().substr(0, 1) == ".") return true;
  }
  return folder.parent_path() == "/home";
}

class Finder {
 public:
  explicit Finder(std::string path) : path_(std::move(path)) {}

  void AddProgram(const std::string& file, int depth) {
    std::string at = file;
    for (int link = 0; link < kLinksMax; ++link) {
      AddTree(at);
      std::error_code error;
      const fs::path target = fs::read_symlink(at, error);
      if (error) break;
      at = (target.is_absolute() ? target : fs::path(at).parent_path() / target)
               .lexically_normal()
               .string();
    }
    std::error_code error;
    const fs::path real = fs::canonical(file, error);
    if (error) return;
    AddTree(real.string());
    if (depth < kInterpretersMax) AddInterpreter(real.string(), depth);
  }

  // The first argument that is a file here is what an interpreter runs.
  void AddScript(const std::vector<std::string>& args, const std::string& cwd) {
    for (const std::string& word : args) {
      if (word.empty() || word[0] == '-') continue;
      std::string file = word;
      if (file[0] != '/') {
        if (cwd.empty()) continue;
        file = (fs::path(cwd) / word).lexically_normal().string();
      }
      if (!IsFile(file)) continue;
      AddPackage(file);
      std::error_code error;
      const fs::path real = fs::canonical(file, error);
      if (!error) AddPackage(real.string());
      return;
    }
  }

  void Add(const std::string& path) {
    if (IsSystemPath(path)) return;
    for (const std::string& have : found_) {
      if (have == path || Below(path, have)) return;
    }
    found_.push_back(path);
  }

  std::vector<std::string> Take() {
    std::sort(found_.begin(), found_.end());
    return std::move(found_);
  }

 private:
  static std::string Modules(const std::string& file) {
    constexpr std::string_view kModules = "/node_modules/";
    const size_t at = file.find(kModules);
    return at == std::string::npos ? "" : file.substr(0, at + kModules.size() - 1);
  }

  void AddTree(const std::string& file) {
    if (IsSystemPath(file)) return;
    if (const std::string modules = Modules(file); !modules.empty()) return Add(modules);
    const fs::path folder = fs::path(file).parent_path();
    if (folder.filename() != "bin" || TooWide(folder.parent_path())) {
      Add(file);
      // uvx is nothing without uv beside it.
      const std::string uv = (folder / "uv").string();
      if (fs::path(file).filename() == "uvx" && IsFile(uv)) Add(uv);
      return;
    }
    Add(folder.parent_path().string());
  }

  void AddPackage(const std::string& file) {
    if (IsSystemPath(file)) return;
    if (const std::string modules = Modules(file); !modules.empty()) return Add(modules);
    fs::path folder = fs::path(file).parent_path();
    for (int up = 0; up < kPackageDepth && !TooWide(folder); ++up) {
      if (IsFile((folder / "package.json").string()) ||
          IsFile((folder / "pyproject.toml").string())) {
        return Add(folder.string());
      }
      folder = folder.parent_path();
    }
    folder = fs::path(file).parent_path();
    Add(TooWide(folder) ? file : folder.string());
  }

  void AddInterpreter(const std::string& file, int depth) {
    std::ifstream in(file, std::ios::binary);
    std::string line(256, '\0');
    in.read(line.data(), static_cast<std::streamsize>(line.size()));
    line.resize(static_cast<size_t>(in.gcount()));
    if (line.substr(0, 2) != "#!") return;
    std::istringstream words(line.substr(2, line.find('\n') - 2));
    std::string program, argument;
    words >> program;
    if (fs::path(program).filename() == "env") {
      while (words >> argument && argument[0] == '-') {
      }
      program = OnPath(argument);
    }
    if (!program.empty() && program[0] == '/') AddProgram(program, depth + 1);
  }

  std::string OnPath(const std::string& name) const {
    std::istringstream folders(path_);
    for (std::string folder; std::getline(folders, folder, ':');) {
      std::string candidate = StrCat(folder, "/", name);
      if (folder.substr(0, 1) == "/" && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    return "";
  }

  const std::string path_;
  std::vector<std::string> found_;
};

}  // namespace

bool IsSystemPath(const std::string& path) {
  for (const std::string_view folder : {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"}) {
    if (path == folder || Below(path, folder)) return true;
  }
  return false;
}

Needs FindNeeds(const std::string& file, const std::vector<std::string>& args,
                const std::string& cwd, const std::string& path) {
  Finder finder(path);
  finder.AddProgram(file, 0);
  finder.AddScript(args, cwd);
  if (!cwd.empty() && !TooWide(fs::path(cwd).lexically_normal())) {
    finder.Add(fs::path(cwd).lexically_normal().string());
  }
  Needs out;
  out.read = finder.Take();
  return out;
}

}  // namespace metamcp::connector::sandbox
