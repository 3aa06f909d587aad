// Logging in at servers by OAuth.

#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

extern char** environ;

namespace metamcp::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll(500);

struct LoginOptions {
  std::string name;
  bool no_browser = false;
  int64_t wait_s = 600;
};

// The connection to a server, or an empty object.
absl::StatusOr<nlohmann::json> ConnectionOf(CommandContext& ctx, const std::string& name) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"connections"}))));
  for (const nlohmann::json& connection : ArrayOf(reply, "connections")) {
    if (TextOf(connection, "name") == name) return connection;
  }
  return nlohmann::json::object();
}

// Hands the address to the desktop's own opener, without a shell. Whether it works is not our
// business: the address has been printed.
void OpenBrowser(const CommandContext& ctx, const std::string& url) {
  const bool desktop = ctx.env.count("DISPLAY") > 0 || ctx.env.count("WAYLAND_DISPLAY") > 0;
  const bool web = url.rfind("http://", 0) == 0 || url.rfind("https://", 0) == 0;
  if (!ctx.out_is_terminal || !desktop || !web) return;
  std::string program = "xdg-open";
  std::string address = url;
  char* argv[] = {program.data(), address.data(), nullptr};
  pid_t child = 0;
  if (::posix_spawnp(&child, program.c_str(), nullptr, nullptr, argv, environ) == 0) {
    ::waitpid(child, nullptr, 0);
  }
}

absl::Status WaitForLogin(CommandContext& ctx, const LoginOptions& options, int64_t before_us) {
  const auto until = Clock::now() + std::chrono::seconds(options.wait_s);
  while (Clock::now() < until) {
    METAMCP_ASSIGN_OR_RETURN(const nlohmann::json now, ConnectionOf(ctx, options.name));
    if (NumberOf(now, "loginUs") > before_us) return absl::OkStatus();
    std::this_thread::sleep_for(kPoll);
  }
  return Fail("UPSTREAM_LOGIN_REQUIRED",
              StrCat("nobody logged in to ", options.name, " within ", options.wait_s, " s"),
              "Run it again; each address is good for ten minutes.");
}

// Says whether the server answers now; a login alone proves nothing.
absl::Status SayWhetherItAnswers(CommandContext& ctx, const std::string& name) {
  nlohmann::json probe = nlohmann::json::object();
  for (int tries = 0; tries < 20 && !BoolOf(probe, "answers"); ++tries) {
    if (tries > 0) std::this_thread::sleep_for(kPoll);
    METAMCP_ASSIGN_OR_RETURN(
        probe, CallJson(ctx, RestRequest("GET", ApiPath({"servers", name, "probe"}))));
  }
  if (!BoolOf(probe, "answers")) {
    return Fail("UPSTREAM_UNAVAILABLE",
                StrCat("logged in to ", name,
                       ", but it does not answer: ", OneLine(TextOf(probe, "detail"))),
                StrCat("Try: meta-mcp doctor ", name));
  }
  ctx.Say(StrCat("Logged in to ", name, "; it answers."));
  return absl::OkStatus();
}

absl::Status Login(CommandContext& ctx, const LoginOptions& options) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json before, ConnectionOf(ctx, options.name));
  const RestRequest request("POST", ApiPath({"servers", options.name, "login"}), "{}");
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallJson(ctx, request));
  const std::string url = TextOf(reply, "url");
  if (ctx.json()) {
    ctx.PrintJson(StrCat("{\"url\":", nlohmann::json(url).dump(), "}"));
  } else {
    *ctx.out << "Open this address in a browser, on a machine that reaches the gateway by it:\n\n  "
             << OneLine(url) << "\n\n"
             << std::flush;
  }
  if (!options.no_browser) OpenBrowser(ctx, url);
  if (options.wait_s == 0) return absl::OkStatus();
  ctx.out->flush();
  METAMCP_RETURN_IF_ERROR(WaitForLogin(ctx, options, NumberOf(before, "loginUs")));
  return SayWhetherItAnswers(ctx, options.name);
}

absl::Status Logout(CommandContext& ctx, const std::string& name) {
  const RestRequest request("POST", ApiPath({"servers", name, "logout"}), "{}");
  METAMCP_RETURN_IF_ERROR(ctx.rest().Call(request).status());
  ctx.Say(StrCat("Logged out of ", OneLine(name), "; its tokens are forgotten."));
  return absl::OkStatus();
}

}  // namespace

void AddLoginCommands(Command& group) {
  CommandContext& ctx = group.context();
  auto options = std::make_shared<LoginOptions>();
  Command login = group.Sub("login", "Logs in at a server that asks for it (OAuth)");
  login.Example("meta-mcp server login docs").Example("meta-mcp server login docs --no-browser");
  login.More(
      "Prints the address of a page of the gateway, opens it where there is a desktop, and waits "
      "until somebody has logged in there. Everybody who uses the server uses this login.");
  login.Argument("NAME", &options->name, "the server");
  login.Flag("--no-browser", &options->no_browser, "print the address, open nothing");
  login.Integer("--wait", &options->wait_s, 0, 86'400, "how long to wait; 0 prints and ends",
                "SECONDS");
  login.Run([&ctx, options] { return Login(ctx, *options); });

  Command logout = group.Sub("logout", "Forgets a server's login and revokes it where possible");
  logout.Example("meta-mcp server logout docs");
  logout.Argument("NAME", &options->name, "the server");
  logout.Run([&ctx, options] { return Logout(ctx, options->name); });
}

}  // namespace metamcp::cli
