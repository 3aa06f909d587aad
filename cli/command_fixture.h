#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/serve.h"
#include "cli/translate.h"
#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::cli {

// What a test's gateway answers, and what it was asked.
struct FakeRest {
  struct Asked {
    RestTarget target;
    RestRequest request;
  };
  // By "METHOD /path" without the query.
  std::map<std::string, RestReply> replies;
  std::vector<Asked> asked;
  bool reachable = true;

  void When(const std::string& method_and_path, std::string body, int status = 200) {
    RestReply reply;
    reply.status = status;
    reply.body = std::move(body);
    replies[method_and_path] = std::move(reply);
  }
  const RestRequest& Last() const { return asked.back().request; }
};

class FakeRestClient final : public RestClient {
 public:
  FakeRestClient(FakeRest* rest, RestTarget target) : rest_(rest), target_(std::move(target)) {}
  absl::StatusOr<RestReply> Send(const RestRequest& request) override {
    FakeRest::Asked asked;
    asked.target = target_;
    asked.request = request;
    rest_->asked.push_back(std::move(asked));
    if (!rest_->reachable) {
      return Fail("GATEWAY_UNREACHABLE", StrCat("no gateway answers at ", target_.name()));
    }
    const std::string path = request.path.substr(0, request.path.find('?'));
    const auto found = rest_->replies.find(StrCat(request.method, " ", path));
    if (found != rest_->replies.end()) return found->second;
    RestReply none;
    none.status = 404;
    none.body =
        R"({"error":{"reason":"NOT_FOUND","message":"nothing is there","hint":"Check the name.","source":"catalog"}})";
    return none;
  }

 private:
  FakeRest* rest_;
  RestTarget target_;
};

// Runs command lines in a folder of its own.
class CommandTest : public ::testing::Test {
 protected:
  CommandTest() {
    std::string pattern = StrCat(::testing::TempDir(), "/cli-XXXXXX");
    home_ = ::mkdtemp(pattern.data());
    env_["HOME"] = home_;
    env_["PATH"] = "/usr/local/bin:/usr/bin:/bin";
  }
  ~CommandTest() override { std::filesystem::remove_all(home_); }

  // Returns the exit code; what was printed is in out_ and err_.
  int Run(std::vector<std::string> args, const std::string& input = "", bool terminal = false) {
    std::ostringstream out, err;
    std::istringstream in(input);
    CommandContext ctx;
    ctx.out = &out;
    ctx.err = &err;
    ctx.in = &in;
    ctx.env = env_;
    ctx.in_is_terminal = terminal;
    ctx.program = program_;
    ctx.run_translate = [this](const TranslateOptions& options) {
      translated_.push_back(options);
      return 0;
    };
    ctx.run_migrate = [this](const ServeOptions& options) {
      migrated_.push_back(options);
      return 0;
    };
    ctx.start_gateway = start_gateway_;
    ctx.make_rest = [this](const RestTarget& target) {
      return std::make_unique<FakeRestClient>(&rest_, target);
    };
    const int code = RunCommandLine(ctx, std::move(args));
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  // The same against a gateway elsewhere, which the fake is.
  int RunRemote(std::vector<std::string> args) {
    args.insert(args.begin(), {"--url", "https://gateway.test"});
    return Run(std::move(args));
  }

  std::string Path(const std::string& name) const { return StrCat(home_, "/", name); }
  std::string ConfigFile() const { return Path(".meta-mcp/config.json"); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(file)), {});
  }

  std::vector<TranslateOptions> translated_;
  std::vector<ServeOptions> migrated_;
  std::string home_;
  config::Environment env_;
  std::string program_ = "meta-mcp";
  std::function<absl::Status(const CommandContext&)> start_gateway_;
  FakeRest rest_;
  std::string out_, err_;
};

}  // namespace metamcp::cli
