#include "cli/gateway_starter.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "cli/context.h"
#include "cli/rest_client.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/http_test_support.h"

namespace metamcp::cli {
namespace {

using ::testing::HasSubstr;

// Stands in for the gateway: listens on the socket until its life line (a pipe's end, named by
// number) closes; adds a line to the file of starts first.
int PretendGateway(char** argv) {
  std::ofstream(argv[3], std::ios::app) << "started\n";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, argv[2], sizeof(address.sun_path) - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return 1;
  ::listen(fd, 16);
  char byte;
  const int life_line = std::atoi(argv[4]);
  while (::read(life_line, &byte, 1) > 0) {
  }
  return 0;
}

class StarterTest : public ::testing::Test {
 protected:
  StarterTest() {
    std::string pattern = StrCat(::testing::TempDir(), "/start-XXXXXX");
    folder_ = ::mkdtemp(pattern.data());
    // The pretended gateway inherits the reading end; it dies with this test.
    EXPECT_EQ(::pipe(life_line_), 0);
    ::fcntl(life_line_[1], F_SETFD, FD_CLOEXEC);
    options_.data_dir = StrCat(folder_, "/data");
    options_.socket = StrCat(options_.data_dir, "/serve.sock");
    options_.program = "/proc/self/exe";
    options_.args = {"--pretend", options_.socket, StrCat(folder_, "/starts"),
                     StrCat(life_line_[0])};
  }
  ~StarterTest() override {
    ::close(life_line_[0]);
    ::close(life_line_[1]);
    std::filesystem::remove_all(folder_);
  }
  std::string Starts() {
    std::ifstream file(StrCat(folder_, "/starts"));
    return std::string((std::istreambuf_iterator<char>(file)), {});
  }

  std::string folder_;
  int life_line_[2];
  StartOptions options_;
};

TEST_F(StarterTest, StartsTheGatewayOnceForEverybody) {
  RecordProperty("req", "W-5.5.1");
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([this] {
      const absl::Status status = EnsureGatewayBlocking(options_);
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(ListensBlocking(options_.socket));
  EXPECT_EQ(Starts(), "started\n");
}

TEST_F(StarterTest, QuotesTheLastWordsOfOneThatEnds) {
  options_.program = "/bin/sh";
  options_.args = {"-c", "echo 'the port is taken' >&2; exit 1"};
  const absl::Status status = EnsureGatewayBlocking(options_);
  EXPECT_EQ(ExitCodeOf(status), kExitUnreachable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the port is taken"));
}

TEST_F(StarterTest, SaysThatTheProgramIsMissing) {
  options_.program = "/no/such/program";
  const absl::Status status = EnsureGatewayBlocking(options_);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot start"));
}

TEST_F(StarterTest, GivesUpOnOneThatNeverListens) {
  options_.program = "/bin/sh";
  options_.args = {"-c", StrCat("read x <&", life_line_[0])};
  options_.limit = std::chrono::milliseconds(50);
  const absl::Status status = EnsureGatewayBlocking(options_);
  EXPECT_THAT(std::string(status.message()), HasSubstr("too slowly"));
}

TEST(RestClientTest, SpeaksOverASocketAndOverTcp) {
  std::string seen;
  http::TestServer server([&seen](http::HttpRequest& q, http::HttpResponder& r) -> Awaitable<void> {
    seen = StrCat(q.method, " ", q.target, " ", q.headers.Get("Authorization"), " ", q.body);
    http::HttpResponse response(200, "application/json", "{\"a\":1}");
    (void)co_await r.Send(std::move(response));
  });
  const std::string path = StrCat(::testing::TempDir(), "/rest-", ::getpid(), ".sock");
  ASSERT_TRUE(server.ListenUnix(path).ok());
  RestTarget target;
  target.unix_socket = path;
  const auto local = NewRestClient(target)->Call(RestRequest("POST", "/api/v1/x?y=z", "{}"));
  ASSERT_TRUE(local.ok()) << local.status();
  EXPECT_EQ(*local, "{\"a\":1}");
  EXPECT_EQ(seen, "POST /api/v1/x?y=z  {}");
  RestTarget remote;
  remote.base_url = server.ListenTcp().ToString();
  remote.token = "t";
  ASSERT_TRUE(NewRestClient(remote)->Call(RestRequest("GET", "/x")).ok());
  EXPECT_EQ(seen, "GET /x Bearer t ");
}

TEST(RestClientTest, SaysThatNobodyAnswers) {
  RestTarget target;
  target.unix_socket = "/nowhere/serve.sock";
  const auto reply = NewRestClient(target)->Call(RestRequest("GET", "/x"));
  EXPECT_EQ(ExitCodeOf(reply.status()), kExitUnreachable);
  EXPECT_THAT(std::string(reply.status().message()), HasSubstr("/nowhere/serve.sock"));
}

TEST(RestClientTest, KeepsTheGatewaysWords) {
  RestReply reply;
  reply.status = 404;
  reply.body =
      R"({"error":{"reason":"TOOL_NOT_FOUND","message":"no x","hint":"try y","source":"gateway"}})";
  const absl::Status status = ErrorOfReply(reply);
  EXPECT_TRUE(absl::IsNotFound(status));
  const auto info = GetErrorInfo(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->reason, "TOOL_NOT_FOUND");
  EXPECT_EQ(info->domain, "gateway");
  EXPECT_EQ(info->metadata.at("hint"), "try y");
}

}  // namespace
}  // namespace metamcp::cli

int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "--pretend") return metamcp::cli::PretendGateway(argv);
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
