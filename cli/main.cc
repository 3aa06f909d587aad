#include <unistd.h>

#include <iostream>

#include "cli/ai_eval.h"
#include "cli/command.h"
#include "cli/gateway_starter.h"
#include "cli/serve.h"
#include "cli/translate.h"

namespace {

// The path of this program, for starting it again from anywhere. A release brings the loader of its
// own C library, which is then what runs; its launcher gives the path of itself as argv[0].
std::string OwnPath(const char* argv0) {
  char path[4096];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path));
  const std::string_view exe(path, n > 0 ? static_cast<size_t>(n) : 0);
  const std::string_view name = exe.substr(exe.rfind('/') + 1);
  if (name.starts_with("ld-linux") && argv0 != nullptr && argv0[0] == '/') return argv0;
  return exe.empty() ? "meta-mcp" : std::string(exe);
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
  context.program = OwnPath(argc > 0 ? argv[0] : nullptr);
  context.run_serve = metamcp::cli::RunServe;
  context.run_migrate = metamcp::cli::RunMigrate;
  context.run_translate = metamcp::cli::RunTranslate;
  context.describe_sandbox = metamcp::cli::DescribeSandbox;
  context.run_ai_eval = metamcp::cli::RunAiEval;
  context.start_gateway = metamcp::cli::StartOnDemandBlocking;
  const int code =
      metamcp::cli::RunCommandLine(context, std::vector<std::string>(argv + 1, argv + argc));
  std::cout.flush();
  return code;
}
