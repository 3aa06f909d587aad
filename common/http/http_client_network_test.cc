#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "common/http/http_client_fixture.h"
#include "common/http/listen_socket.h"
#include "common/http/test_certificates.h"

namespace metamcp::http {
namespace {

using ::testing::HasSubstr;

Awaitable<void> Hello(HttpRequest& request, HttpResponder& responder) {
  HttpResponse response(200, "text/plain", request.tls ? "secure" : "plain");
  co_await responder.Send(std::move(response));
}

HttpTlsServerOptions Tls(const TestCertificate& c) {
  HttpTlsServerOptions o;
  o.cert_file = c.cert_file;
  o.key_file = c.key_file;
  o.check_time = false;  // it is the client that is looked at
  return o;
}

TEST_F(ClientTest, VerifiesTheCertificateAndTheName) {
  TestAuthority authority;
  TestServer server(Hello);
  const auto fetch = [&](const TestCertificate& certificate, bool trusted) {
    HttpClientRequest request("GET", UrlOf(server.ListenTls(Tls(certificate))));
    if (trusted) request.ca_file = authority.ca_file();
    return Fetch(std::move(request));
  };
  const TestCertificate good = authority.Issue("127.0.0.1");
  const auto body = fetch(good, true);
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(*body, "secure");
  EXPECT_THAT(std::string(fetch(good, false).status().message()),
              HasSubstr("unable to get local issuer certificate"));
  EXPECT_THAT(std::string(fetch(authority.Issue("127.0.0.2"), true).status().message()),
              HasSubstr("mismatch"));
  EXPECT_THAT(std::string(fetch(authority.Issue("127.0.0.1", true), true).status().message()),
              HasSubstr("expired"));
}

TEST_F(ClientTest, ReloadedCertificatesServeNewConnections) {
  TestAuthority authority;
  TestServer server(Hello);
  const TestCertificate first = authority.Issue("127.0.0.1", true);
  HttpClientRequest request("GET", UrlOf(server.ListenTls(Tls(first))));
  request.ca_file = authority.ca_file();
  EXPECT_FALSE(Fetch(request).ok());
  const TestCertificate second = authority.Issue("127.0.0.1");
  std::filesystem::copy_file(second.cert_file, first.cert_file,
                             std::filesystem::copy_options::overwrite_existing);
  // Half of a pair: refused, and the old one stays.
  server.Run([&] { EXPECT_FALSE(server.server().ReloadCertificates().ok()); });
  std::filesystem::copy_file(second.key_file, first.key_file,
                             std::filesystem::copy_options::overwrite_existing);
  server.Run([&] { EXPECT_TRUE(server.server().ReloadCertificates().ok()); });
  EXPECT_TRUE(Fetch(request).ok());
}

// Answers connection after connection with a script, on a thread.
class ScriptServer {
 public:
  using Script = std::function<void(TestSocket&, int)>;
  ScriptServer(int connections, Script script) {
    const auto listening = ListenOnTcp("127.0.0.1", 0);
    EXPECT_TRUE(listening.ok());
    fd_ = listening->fd;
    endpoint = listening->endpoint;
    ::fcntl(fd_, F_SETFL, 0);
    thread_ = std::thread([this, connections, script] {
      for (int i = 0; i < connections; ++i) {
        TestSocket socket(::accept(fd_, nullptr, nullptr));
        script(socket, i);
      }
    });
  }
  ~ScriptServer() {
    ::shutdown(fd_, SHUT_RDWR);  // wakes accept
    thread_.join();
    ::close(fd_);
  }
  HttpEndpoint endpoint;

 private:
  int fd_;
  std::thread thread_;
};

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

TEST_F(ClientTest, RepeatsAnIdempotentRequestOnAStaleConnectionOnly) {
  for (const bool idempotent : {true, false}) {
    // The first connection answers once, then takes a request and closes without an answer.
    ScriptServer server(2, [](TestSocket& socket, int i) {
      socket.ReadUntil("\r\n\r\n");
      socket.Send(kOk);
      if (i == 0) socket.ReadUntil("\r\n\r\n");
    });
    HttpClientRequest request("POST", UrlOf(server.endpoint));
    request.idempotent = idempotent;
    ASSERT_TRUE(Fetch(request).ok());
    const auto second = Fetch(request);
    EXPECT_EQ(second.ok(), idempotent) << second.status();
    if (!idempotent) {
      EXPECT_EQ(Reason(second.status()), "UPSTREAM_LOST");
    }
  }
}

TEST_F(ClientTest, ReportsBrokenResponses) {
  const std::pair<std::string, std::string> cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "UPSTREAM_LOST"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "UPSTREAM_PROTOCOL"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "UPSTREAM_PROTOCOL"},
      {"hello\r\n\r\n", "UPSTREAM_PROTOCOL"},
      {"HTTP/1.1 200 OK\r\nX: " + std::string(200000, 'x'), "UPSTREAM_PROTOCOL"},
      {"", "UPSTREAM_LOST"},
  };
  for (const auto& [answer, reason] : cases) {
    ScriptServer server(1, [text = answer](TestSocket& socket, int) {
      socket.ReadUntil("\r\n\r\n");
      socket.Send(text);
    });
    HttpClientRequest request("GET", UrlOf(server.endpoint));
    EXPECT_EQ(Reason(Fetch(std::move(request)).status()), reason) << answer.substr(0, 60);
  }
}

TEST_F(ClientTest, ReadsInterimAndCloseDelimitedResponses) {
  ScriptServer server(1, [](TestSocket& socket, int) {
    socket.ReadUntil("\r\n\r\n");
    socket.Send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n");
    socket.Send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
  });
  HttpClientRequest request("GET", UrlOf(server.endpoint));
  const auto body = Fetch(std::move(request));
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(*body, "until the end");
}

TEST_F(ClientTest, TunnelsThroughAProxy) {
  std::string heard;
  ScriptServer proxy(2, [&heard](TestSocket& socket, int i) {
    heard += socket.ReadUntil("\r\n\r\n");
    socket.Send(i == 0 ? std::string_view("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                       : kOk);
  });
  environment_["HTTPS_PROXY"] = StrCat("http://u:p@127.0.0.1:", proxy.endpoint.port);
  environment_["http_proxy"] = StrCat("127.0.0.1:", proxy.endpoint.port);
  environment_["NO_PROXY"] = "skip.invalid";
  HttpClientRequest request("GET", "https://tool.invalid/x");
  const auto refused = Fetch(std::move(request));
  EXPECT_EQ(Reason(refused.status()), "UPSTREAM_UNAVAILABLE");
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("407"));
  HttpClientRequest plain("GET", "http://tool.invalid/x");
  plain.allow_plain_http = true;
  const auto body = Fetch(std::move(plain));
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_THAT(heard, HasSubstr("CONNECT tool.invalid:443 HTTP/1.1\r\n"));
  EXPECT_THAT(heard, HasSubstr("Proxy-Authorization: Basic dTpw\r\n"));
  EXPECT_THAT(heard, HasSubstr("GET http://tool.invalid/x HTTP/1.1\r\n"));
}

}  // namespace
}  // namespace metamcp::http
