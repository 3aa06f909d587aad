#include "common/base/own_path.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/strings.h"

namespace metamcp {
namespace {

std::string Folder(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

std::string Executable() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path));
  return std::string(path, n > 0 ? static_cast<size_t>(n) : 0);
}

// The launcher in bin, if a loader runs this program (packaging/launcher); else empty.
std::string Launcher(const std::string& executable) {
  const std::string_view name = std::string_view(executable).substr(Folder(executable).size());
  if (name.substr(0, 3) != "ld-") return {};
  char path[PATH_MAX];
  return ::realpath(program_invocation_name, path) == nullptr ? std::string() : std::string(path);
}

}  // namespace

std::string ProgramBeside(std::string_view name) {
  const std::string executable = Executable();
  const std::string launcher = Launcher(executable);
  return StrCat(Folder(launcher.empty() ? executable : launcher), name);
}

std::string FileBeside(std::string_view name) {
  const std::string executable = Executable();
  const std::string launcher = Launcher(executable);
  if (launcher.empty()) return StrCat(Folder(executable), name);
  return StrCat(Folder(launcher), "../libexec/", name);
}

}  // namespace metamcp
