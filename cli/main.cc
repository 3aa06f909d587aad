#include <unistd.h>

#include <iostream>

#include "cli/command.h"
#include "cli/gateway_starter.h"
#include "cli/serve.h"
#include "cli/translate.h"

namespace {

// The path of this program, for starting it again from anywhere.
std::string OwnPath() {
  char path[4096];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path));
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : "meta-mcp";
}

}  // namespace

int main(int argc, char** argv) {
  metamcp::cli::CommandContext context;
  context.out = &std::cout;
  context.err = &std::cerr;
  context.in = &std::cin;
  context.in_is_terminal = ::isatty(STDIN_FILENO) == 1;
  context.out_is_terminal = ::isatty(STDOUT_FILENO) == 1;
  context.env = metamcp::config::ProcessEnvironment();
  context.program = OwnPath();
  context.run_serve = metamcp::cli::RunServe;
  context.run_translate = metamcp::cli::RunTranslate;
  context.start_gateway = metamcp::cli::StartOnDemandBlocking;
  const int code =
      metamcp::cli::RunCommandLine(context, std::vector<std::string>(argv + 1, argv + argc));
  std::cout.flush();
  return code;
}
