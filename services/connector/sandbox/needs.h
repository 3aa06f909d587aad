#pragma once

#include <string>
#include <vector>

namespace metamcp::connector::sandbox {

// What a command needs to be seen in a root that has only the system's folders.
struct Needs {
  std::vector<std::string> read;  // paths, each with its place unchanged
};

// Looks at the program `file` (absolute), where its symbolic links lead, its interpreter, and the
// script that `args` name: the tree of a program in .../bin, node_modules or a package, never a
// home folder or one above it; then the single file. `path` is the PATH of the server. Blocks on
// the file system, briefly.
Needs FindNeeds(const std::string& file, const std::vector<std::string>& args,
                const std::string& cwd, const std::string& path);

// Whether `path` is in the folders that every sandbox shows.
bool IsSystemPath(const std::string& path);

}  // namespace metamcp::connector::sandbox
