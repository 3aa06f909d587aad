#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cli/rest_client.h"
#include "common/config/expand.h"

namespace metamcp::cli {

struct EvalOptions;
struct ServeOptions;
struct TranslateOptions;

// What the program's exit status means.
enum ExitCode : int {
  kExitDone = 0,
  kExitFailed = 1,
  kExitUsage = 2,  // usage or configuration error
  kExitUnreachable = 3,
  kExitDenied = 4,
};

// Options that every command takes.
struct GlobalOptions {
  std::string output = "table";  // table or json
  std::string config;            // empty: <data-dir>/config.json
  std::string data_dir;          // empty: ~/.meta-mcp
  std::string url;               // of a gateway elsewhere; empty: the one on this machine
  std::string token;
  std::string ca;           // PEM files, for the gateway of `url`
  std::string client_cert;  // with its key
  std::string client_key;
  bool non_interactive = false;
  bool plain = false;
};

// A table as people read it. Cells are printed with control characters made visible, because names
// and descriptions come from upstreams.
class Table {
 public:
  explicit Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}
  void Row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  // Aligned columns; `bold` marks the header by ANSI codes.
  std::string Aligned(bool bold) const;
  // One line per cell ("name: value") and an empty line between rows: what a screen reader reads.
  std::string Linear() const;

 private:
  std::vector<std::string> headers_;
  std::vector<std::vector<std::string>> rows_;
};

// Everything a command touches, so that tests can put their own in its place. One thread.
class CommandContext {
 public:
  using RestFactory = std::function<std::unique_ptr<RestClient>(const RestTarget&)>;

  GlobalOptions global;
  config::Environment env;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  std::istream* in = nullptr;
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  RestFactory make_rest = NewRestClient;
  std::function<int(const ServeOptions&)> run_serve;          // cli/serve.h
  std::function<int(const ServeOptions&)> run_migrate;        // cli/serve.h
  std::function<int(const TranslateOptions&)> run_translate;  // cli/translate.h
  std::function<int(const EvalOptions&)> run_ai_eval;         // cli/ai_eval.h
  // What this machine can enforce for programs that it starts, or "none: " and why not;
  // cli/serve.h.
  std::function<std::string()> describe_sandbox;
  // Starts a gateway on this machine that ends when it is not used; empty: commands do not.
  std::function<absl::Status(const CommandContext&)> start_gateway;
  std::string program = "meta-mcp";  // how to start this program again
  // Set by a command that has said itself what failed.
  int exit_code = kExitDone;

  bool json() const { return global.output == "json"; }
  bool interactive() const { return in_is_terminal && !global.non_interactive; }
  bool color() const;
  bool remote() const { return !global.url.empty(); }

  // Absolute where HOME is known.
  std::string DataDir() const;
  std::string ConfigPath() const;
  // The file that was asked for, which must exist then; empty for the default one.
  std::string GivenConfig() const;
  // gateway.listenUnix, else serve.sock in the data folder. Reads the configuration.
  std::string SocketPath() const;
  RestTarget Target() const;

  // Client of the gateway that the options name.
  RestClient& rest();
  // Whether a gateway answers. Cheap on a unix socket.
  bool GatewayRuns();

  // Prints raw JSON over several lines.
  void PrintJson(std::string_view raw);
  // Prints a table in the form asked for, or `none` when it is empty.
  void PrintTable(const Table& table, std::string_view none);
  // Prints one line for people; nothing with --output json.
  void Say(std::string_view line);
  // Prints a remark to stderr.
  void Note(std::string_view line);

  // Asks on the terminal; returns `fallback` for an empty answer, at the end of input, and without
  // a terminal.
  std::string Ask(std::string_view question, std::string_view fallback);
  bool Confirm(std::string_view question, bool fallback);

 private:
  std::unique_ptr<RestClient> rest_;
  std::string rest_key_;
};

// Control characters (and bytes that are no UTF-8) made visible, line breaks and tabs as spaces.
std::string OneLine(std::string_view text);
// The same, but lines stay lines.
std::string Printable(std::string_view text);
// Columns that `text` takes: code points, wide ones counted once.
size_t DisplayWidth(std::string_view text);
// At most `columns` wide, the end replaced by "…".
std::string Shorten(std::string_view text, size_t columns);

// A failure of the program itself. `reason` is one of the error registry.
absl::Status Fail(std::string_view reason, std::string_view message, std::string_view hint = {});
// ARGUMENT_INVALID: exit 2.
absl::Status UsageError(std::string_view message, std::string_view hint = {});

int ExitCodeOf(const absl::Status& status);
// Says what failed, why and what to do, on stderr; as JSON with --output json.
void PrintError(CommandContext& ctx, const absl::Status& status);

}  // namespace metamcp::cli
