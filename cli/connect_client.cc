#include "cli/connect_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kConversation =
    R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"meta-mcp connect","version":"1"}}})"
    "\n"
    R"({"jsonrpc":"2.0","method":"notifications/initialized"})"
    "\n"
    R"({"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}})"
    "\n";

constexpr std::string_view kModernList =
    R"({"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}})";

// The tools in the answer to request 2, or nothing when `text` is another message.
absl::StatusOr<int> ToolsIn(std::string_view text) {
  const auto message = json::ParseJson(text);
  if (!message.ok()) return message.status();
  if (NumberOf(*message, "id") != 2) return absl::NotFoundError("another message");
  const nlohmann::json& error = ObjectOf(*message, "error");
  if (!error.empty()) {
    return Fail("UPSTREAM_ERROR", StrCat("tools/list was refused: ", TextOf(error, "message")));
  }
  return static_cast<int>(ArrayOf(ObjectOf(*message, "result"), "tools").size());
}

// A child with pipes on its stdin and stdout; its stderr is ours.
struct Child {
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    for (const int fd : {in, out}) {
      if (fd >= 0) ::close(fd);
    }
    if (pid > 0) {
      ::kill(pid, SIGTERM);
      ::waitpid(pid, nullptr, 0);
    }
  }
  pid_t pid = -1;
  int in = -1;
  int out = -1;
};

absl::Status Start(const std::string& command, const std::vector<std::string>& args, Child* child) {
  int in[2];
  int out[2];
  if (::pipe2(in, O_CLOEXEC) != 0) return Fail("INTERNAL", "no pipe");
  if (::pipe2(out, O_CLOEXEC) != 0) {
    ::close(in[0]);
    ::close(in[1]);
    return Fail("INTERNAL", "no pipe");
  }
  std::vector<char*> argv = {const_cast<char*>(command.c_str())};
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  child->pid = ::fork();
  if (child->pid == 0) {
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  child->in = in[1];
  child->out = out[0];
  if (child->pid < 0) return Fail("INTERNAL", "no process");
  return absl::OkStatus();
}

}  // namespace

config::ClientPlaces PlacesOf(const CommandContext& ctx) {
  config::ClientPlaces places;
  const auto home = ctx.env.find("HOME");
  if (home != ctx.env.end()) places.home = home->second;
  std::error_code failed;
  places.project = std::filesystem::current_path(failed).string();
  return places;
}

absl::StatusOr<int> CountToolsOverStdioBlocking(const std::string& command,
                                                const std::vector<std::string>& args,
                                                std::chrono::milliseconds limit) {
  std::signal(SIGPIPE, SIG_IGN);
  Child child;
  METAMCP_RETURN_IF_ERROR(Start(command, args, &child));
  if (::write(child.in, kConversation.data(), kConversation.size()) < 0) {
    return Fail("UPSTREAM_PROTOCOL", StrCat(command, " ended at once"));
  }
  const auto until = Clock::now() + limit;
  std::string text;
  for (;;) {
    for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
      const auto tools = ToolsIn(std::string_view(text).substr(0, end));
      if (!absl::IsNotFound(tools.status())) return tools;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    pollfd watched{child.out, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&watched, 1, static_cast<int>(left.count())) == 0) {
      return Fail("UPSTREAM_TIMEOUT", StrCat(command, " did not answer in time"));
    }
    char buffer[64 << 10];
    const ssize_t n = ::read(child.out, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return Fail("UPSTREAM_PROTOCOL", StrCat(command, " ended without an answer"),
                  "What it wrote to stderr stands above.");
    }
    text.append(buffer, static_cast<size_t>(n));
  }
}

absl::StatusOr<int> CountToolsOverHttp(CommandContext& ctx, const std::string& url) {
  METAMCP_ASSIGN_OR_RETURN(const http::Url parsed, http::ParseUrl(url));
  RestTarget target = ctx.Target();
  target.unix_socket.clear();
  target.base_url = parsed.origin();
  RestRequest request("POST", parsed.target, kModernList);
  request.headers = {{"Accept", "application/json, text/event-stream"},
                     {"MCP-Protocol-Version", "2026-07-28"},
                     {"Mcp-Method", "tools/list"}};
  request.timeout = std::chrono::seconds(30);
  const auto rest = ctx.make_rest(target);
  METAMCP_ASSIGN_OR_RETURN(const RestReply reply, rest->Send(request));
  if (reply.status == 401 || reply.status == 403) return ErrorOfReply(reply);
  const auto tools = ToolsIn(reply.body);
  if (tools.ok() || reply.status < 300) return tools;
  return ErrorOfReply(reply);
}

}  // namespace metamcp::cli
