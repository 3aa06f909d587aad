#include "cli/hidden_input.h"

#include <termios.h>
#include <unistd.h>

#include <istream>
#include <iterator>
#include <ostream>

namespace metamcp::cli {
namespace {

// Turns the terminal's echo off while it lives.
class Hidden {
 public:
  Hidden() {
    known_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
    if (!known_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }
  ~Hidden() {
    if (known_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Hidden(const Hidden&) = delete;
  Hidden& operator=(const Hidden&) = delete;

 private:
  termios before_ = {};
  bool known_ = false;
};

}  // namespace

absl::StatusOr<std::string> ReadHidden(CommandContext& ctx, std::string_view question,
                                       std::string_view hint) {
  std::string value;
  if (ctx.in_is_terminal) {
    *ctx.err << question << ": " << std::flush;
    const Hidden quiet;
    std::getline(*ctx.in, value);
    *ctx.err << "\n";
  } else {
    value.assign(std::istreambuf_iterator<char>(*ctx.in), std::istreambuf_iterator<char>());
    if (!value.empty() && value.back() == '\n') value.pop_back();
    if (!value.empty() && value.back() == '\r') value.pop_back();
  }
  if (value.empty()) return Fail("ARGUMENT_INVALID", "no value was given", hint);
  return value;
}

}  // namespace metamcp::cli
