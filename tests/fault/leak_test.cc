// Many times the same: nothing may stay behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/gateway.h"

namespace metamcp::testing {
namespace {

bool Full() { return std::getenv("METAMCP_TEST_FULL") != nullptr; }

// What a process holds.
struct Holding {
  explicit Holding(pid_t pid)
      : fds(CountFds(pid)), children(ChildrenOf(pid).size()), resident_kib(ResidentKib(pid)) {}
  size_t fds, children;
  int64_t resident_kib;
};

class LeakTest : public ::testing::Test {
 protected:
  // Waits until the gateway holds no more descriptors and children than `first`.
  void ExpectNothingLeft(const Holding& first) {
    EXPECT_TRUE(Eventually(kPatience,
                           [&] {
                             const Holding now(gateway_.pid());
                             return now.fds <= first.fds && now.children == first.children;
                           }))
        << "descriptors " << first.fds << " -> " << CountFds(gateway_.pid()) << ", children "
        << first.children << " -> " << ChildrenOf(gateway_.pid()).size();
  }
  Gateway gateway_;
};

TEST_F(LeakTest, ClientsThatComeAndGo) {
  RecordProperty("req", "M02-AC-N.4");
  gateway_.ConfigureServers({{"echo", EchoServer("echo")}});
  ASSERT_TRUE(gateway_.Start()) << gateway_.Log();
  ASSERT_TRUE(gateway_.WaitForTools({"echo__echo"}));
  const int cycles = Full() ? 1000 : 300;
  const auto round = [&](int i) {
    for (const ClientEra era : {ClientEra::kLegacy, ClientEra::kModern}) {
      McpClient client = gateway_.Client(era);
      ASSERT_TRUE(client.ok());
      ASSERT_EQ(client.CallText("echo__echo", {{"text", "x"}}), "x");
      if (i % 3 == 0) {  // leaves in the middle of a call
        client.Start("tools/call", {{"name", "echo__slow"}, {"arguments", {{"ms", 50}}}});
        client.connection().Reset();
      } else if (i % 3 == 1 && era == ClientEra::kLegacy) {  // says goodbye
        client.connection().Send("DELETE /mcp HTTP/1.1\r\nHost: " + Url(gateway_.base()).host +
                                 "\r\nMcp-Session-Id: " + client.session() + "\r\n\r\n");
        ASSERT_LT(client.connection().Read().value_or(HttpAnswer()).status, 300);
      }
    }
  };
  for (int i = 0; i < cycles / 3; ++i) round(i);
  const Holding first(gateway_.pid());
  for (int i = 0; i < cycles; ++i) round(i);
  ExpectNothingLeft(first);
  const int64_t grown = Holding(gateway_.pid()).resident_kib - first.resident_kib;
  std::cout << "after " << cycles << " more cycles: " << grown << " KiB more\n";
  // A legacy session that nobody ended is kept for half an hour by design, in under 4 KiB.
  if (kMemoryIsOurs) {
    EXPECT_LT(grown, 2048 + cycles * 4);
  }
}

TEST_F(LeakTest, UpstreamsThatComeAndGo) {
  RecordProperty("req", "M02-AC-N.4");
  const HttpFixture web("metamcp-fixture-echo", {"--name", "web"});
  gateway_.ConfigureServers({{"stays", EchoServer("stays")}});
  ASSERT_TRUE(gateway_.Start()) << gateway_.Log();
  ASSERT_TRUE(gateway_.WaitForTools({"stays__echo"}));
  const Json spec[] = {{{"meta", {{"name", "guest"}}},
                        {"enabled", true},
                        {"spec",
                         {{"type", "stdio"},
                          {"command", BinaryPath("metamcp-fixture-echo")},
                          {"args", {"--stdio", "--name", "guest"}}}}},
                       {{"meta", {{"name", "guest"}}},
                        {"enabled", true},
                        {"spec", {{"type", "http"}, {"url", web.url()}}}}};
  const auto round = [&](int i) {
    const HttpAnswer made = gateway_.Rest("POST", "/servers", spec[i % 2].dump());
    ASSERT_LT(made.status, 300) << made.body;
    ASSERT_TRUE(gateway_.WaitForTools({"guest__echo"})) << gateway_.Log();
    ASSERT_EQ(gateway_.Client(ClientEra::kModern).CallText("guest__echo", {{"text", "hi"}}), "hi");
    const HttpAnswer gone = gateway_.Rest("DELETE", "/servers/guest");
    ASSERT_LT(gone.status, 300) << gone.body;
    ASSERT_TRUE(gateway_.WaitUntilGone("guest__echo"));
  };
  for (int i = 0; i < 50; ++i) round(i);
  ASSERT_TRUE(Eventually(kPatience, [&] { return ChildrenOf(gateway_.pid()).size() == 1; }));
  const Holding first(gateway_.pid());
  for (int i = 0; i < 200 && !HasFatalFailure(); ++i) round(i);
  ExpectNothingLeft(first);
  const int64_t grown = Holding(gateway_.pid()).resident_kib - first.resident_kib;
  std::cout << "after 200 more cycles: " << grown << " KiB more\n";
  if (kMemoryIsOurs) {
    EXPECT_LT(grown, 4096);
  }
}

}  // namespace
}  // namespace metamcp::testing
