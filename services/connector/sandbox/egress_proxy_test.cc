#include "services/connector/sandbox/egress_proxy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>

#include "common/base/strings.h"
#include "services/connector/test_util.h"

namespace metamcp::connector::sandbox {
namespace {

using boost::asio::ip::tcp;
using ::testing::HasSubstr;
using Local = boost::asio::local::stream_protocol;

auto Tuple() { return boost::asio::as_tuple(boost::asio::use_awaitable); }

class EgressProxyTest : public ::testing::Test {
 protected:
  EgressProxyTest() : web_(io_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)) {
    std::string name = (std::filesystem::temp_directory_path() / "metamcp-egress-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~EgressProxyTest() override {
    if (proxy_ != nullptr) proxy_->Close();
    AwaitVoid(io_, Join());
    std::filesystem::remove_all(folder_);
  }
  Awaitable<void> Join() {
    auto joining = tasks_.Join(std::chrono::seconds(5));
    co_await std::move(joining);
  }
  void Start(std::vector<std::string> entries) {
    auto proxy = EgressProxy::Start(io_.get_executor(), tasks_, folder_ + "/p.sock", "a",
                                    EgressRules(std::move(entries)));
    ASSERT_TRUE(proxy.ok()) << proxy.status();
    proxy_ = *proxy;
  }
  std::string port() const { return StrCat(web_.local_endpoint().port()); }

  // What the proxy says to `head`, until it is silent after a first piece.
  Awaitable<std::string> Ask(std::string head) {
    Local::socket socket(io_);
    const auto [failed] =
        co_await socket.async_connect(Local::endpoint(folder_ + "/p.sock"), Tuple());
    if (failed) co_return "no connection";
    const auto bytes = boost::asio::buffer(head);
    co_await boost::asio::async_write(socket, bytes, Tuple());
    std::array<char, 4096> chunk;
    const auto space = boost::asio::buffer(chunk);
    const auto [error, n] = co_await socket.async_read_some(space, Tuple());
    co_return error ? "closed" : std::string(chunk.data(), n);
  }
  std::string Connect(const std::string& host) {
    return Await(io_, Ask(StrCat("CONNECT ", host, " HTTP/1.1\r\nHost: ", host, "\r\n\r\n")));
  }

  boost::asio::io_context io_{1};
  TaskGroup tasks_{io_.get_executor()};
  tcp::acceptor web_;
  std::string folder_;
  std::shared_ptr<EgressProxy> proxy_;
};

TEST_F(EgressProxyTest, AnAllowedNameDoesNotLeadToThisMachine) {
  RecordProperty("req", "NFR-004");
  // A name whose owner lets it resolve to an address of ours, as in DNS rebinding.
  Start({StrCat("localhost:", port())});
  EXPECT_THAT(Connect(StrCat("localhost:", port())), HasSubstr("is not a public address"));
}

TEST_F(EgressProxyTest, AnAddressThatIsWrittenIsReached) {
  Start({StrCat("127.0.0.1:", port())});
  EXPECT_THAT(Connect(StrCat("127.0.0.1:", port())), HasSubstr("200 Connection established"));
  EXPECT_THAT(Connect("127.0.0.1:1"), HasSubstr("not in the network rules"));
  EXPECT_THAT(Connect("127.1:1"), HasSubstr("403"));
}

TEST_F(EgressProxyTest, OddSpellingsOfLoopbackAreRefused) {
  Start({"public"});
  for (const char* host : {"127.0.0.1:80", "2130706433:80", "0x7f000001:80", "127.1:80", "[::1]:80",
                           "[::ffff:127.0.0.1]:443", "localhost:443", "0.0.0.0:80"}) {
    EXPECT_THAT(Connect(host), HasSubstr("403")) << host;
  }
}

TEST_F(EgressProxyTest, OnlyItsUserMayConnectAndCloseEndsIt) {
  Start({"public"});
  struct stat info = {};
  ASSERT_EQ(::stat((folder_ + "/p.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_THAT(Await(io_, Ask("GET / HTTP/1.1\r\n\r\n")), HasSubstr("403"));
  proxy_->Close();
  EXPECT_EQ(Connect("example.com:443"), "no connection");
}

}  // namespace
}  // namespace metamcp::connector::sandbox
