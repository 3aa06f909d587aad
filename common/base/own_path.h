#pragma once

#include <string>
#include <string_view>

namespace metamcp {

// The path of another program of ours, installed beside this one. Where the loader of the release's
// own C library runs this program, that is the other's launcher.
std::string ProgramBeside(std::string_view name);

// The path of a file that is installed beside this program's binary.
std::string FileBeside(std::string_view name);

}  // namespace metamcp
