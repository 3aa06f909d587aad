// The server's side of TLS: certificates that change, clients that show one, clients that
// misbehave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "common/http/http_client_fixture.h"
#include "common/http/test_certificates.h"

namespace metamcp::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Says who the client is.
Awaitable<void> Who(HttpRequest& request, HttpResponder& responder) {
  std::string text = "nobody";
  if (const ClientCertificate* shown = request.certificate.get()) {
    text = shown->problem;
    if (text.empty()) text = StrCat(shown->subject, " ", shown->uris.empty() ? "" : shown->uris[0]);
  }
  HttpResponse response(200, "text/plain", text);
  co_await responder.Send(std::move(response));
}

void Copy(const std::string& from, const std::string& to) {
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
}

class HttpServerTlsTest : public ClientTest {
 protected:
  HttpTlsServerOptions Options(bool ask = true) {
    const TestCertificate own = authority_.Issue("127.0.0.1");
    HttpTlsServerOptions out;
    out.cert_file = own.cert_file;
    out.key_file = own.key_file;
    // A copy, which tests replace.
    client_ca_ = own.cert_file + ".ca";
    Copy(authority_.ca_file(), client_ca_);
    if (ask) out.client_ca_file = client_ca_;
    return out;
  }
  HttpClientRequest Request(const HttpEndpoint& endpoint, const TestCertificate& shown) {
    HttpClientRequest out("GET", UrlOf(endpoint));
    out.ca_file = authority_.ca_file();
    out.client_cert_file = shown.cert_file;
    out.client_key_file = shown.key_file;
    return out;
  }
  std::string Text(HttpClientRequest request) {
    auto body = Fetch(std::move(request));
    return body.ok() ? *body : std::string(body.status().message());
  }
  CertificateReload Reload(TestServer& server) {
    CertificateReload out;
    server.Run([&] {
      auto reloaded = server.server().ReloadCertificates();
      EXPECT_TRUE(reloaded.ok()) << reloaded.status();
      if (reloaded.ok()) out = *reloaded;
    });
    return out;
  }

  TestAuthority authority_;
  std::string client_ca_;
};

TEST_F(HttpServerTlsTest, TellsWhatTheClientShowed) {
  TestServer server(Who);
  const HttpEndpoint endpoint = server.ListenTls(Options());
  EXPECT_EQ(Text(Request(endpoint, {})), "nobody");
  const auto ci = authority_.IssueFor("ci", "URI:spiffe://example.com/ci");
  EXPECT_EQ(Text(Request(endpoint, ci)), "CN=ci spiffe://example.com/ci");
  EXPECT_EQ(Text(Request(endpoint, authority_.IssueFor("ci", "DNS:ci", true))),
            "certificate has expired");
  TestAuthority other;
  EXPECT_EQ(Text(Request(endpoint, other.IssueFor("ci", "URI:spiffe://example.com/ci"))),
            "certificate signature failure");  // its authority has the name of ours
}

TEST_F(HttpServerTlsTest, AsksNobodyWithoutAuthorities) {
  TestServer server(Who);
  const HttpEndpoint endpoint = server.ListenTls(Options(false));
  EXPECT_EQ(Text(Request(endpoint, authority_.IssueFor("ci", "DNS:ci"))), "nobody");
}

TEST_F(HttpServerTlsTest, OtherAuthoritiesEndConnectionsWithCertificates) {
  TestServer server(Who);
  const HttpTlsServerOptions options = Options();
  const HttpEndpoint endpoint = server.ListenTls(options);
  const auto ci = authority_.IssueFor("ci", "DNS:ci");
  EXPECT_EQ(Text(Request(endpoint, ci)), "CN=ci ");
  EXPECT_FALSE(Reload(server).changed);
  // Kept open, and judged by an authority that is none any more.
  TestAuthority other;
  Copy(other.ca_file(), client_ca_);
  const CertificateReload reloaded = Reload(server);
  EXPECT_TRUE(reloaded.changed);
  EXPECT_TRUE(reloaded.authorities);
  EXPECT_EQ(Text(Request(endpoint, ci)),
            "certificate signature failure");  // its authority has the name of ours
}

TEST_F(HttpServerTlsTest, RubbishChangesNothing) {
  TestServer server(Who);
  const HttpTlsServerOptions options = Options();
  const HttpEndpoint endpoint = server.ListenTls(options);
  const auto refused = [&](const std::string& file, std::string_view text) {
    const std::string kept = file + ".kept";
    Copy(file, kept);
    std::ofstream(file) << text;
    std::string message;
    server.Run(
        [&] { message = std::string(server.server().ReloadCertificates().status().message()); });
    EXPECT_EQ(Text(Request(endpoint, {})), "nobody");
    Copy(kept, file);
    return message;
  };
  EXPECT_THAT(refused(options.cert_file, "rubbish"), HasSubstr("holds no PEM certificate"));
  EXPECT_THAT(refused(options.key_file, ""), HasSubstr("holds no PEM private key"));
  EXPECT_THAT(refused(options.client_ca_file, "x"), HasSubstr("holds no PEM certificate"));
  EXPECT_THAT(refused(options.cert_file, std::string(2 << 20, 'x')), HasSubstr("too large"));
  std::ifstream other(authority_.Issue("127.0.0.1").key_file);
  const std::string key((std::istreambuf_iterator<char>(other)), std::istreambuf_iterator<char>());
  EXPECT_THAT(refused(options.key_file, key), HasSubstr("is not the key of"));
  std::filesystem::remove(options.key_file);
  server.Run([&] {
    const auto gone = server.server().ReloadCertificates();
    EXPECT_THAT(std::string(gone.status().message()), HasSubstr("No such file"));
  });
}

TEST_F(HttpServerTlsTest, TwoReloadsAtOnceUseTheLast) {
  TestServer server(Who);
  const HttpTlsServerOptions options = Options();
  const HttpEndpoint endpoint = server.ListenTls(options);
  const TestCertificate next = authority_.Issue("127.0.0.1");
  Copy(next.cert_file, options.cert_file);
  Copy(next.key_file, options.key_file);
  server.Run([&] {
    const auto first = server.server().ReloadCertificates();
    const auto second = server.server().ReloadCertificates();
    EXPECT_TRUE(first.ok() && first->changed);
    EXPECT_TRUE(second.ok() && !second->changed);
  });
  EXPECT_EQ(Text(Request(endpoint, {})), "nobody");
}

TEST_F(HttpServerTlsTest, RefusesFilesThatAreNone) {
  TestServer server(Who);
  server.Run([&] {
    HttpTlsServerOptions options = Options();
    options.cert_file = "/no/such/file";
    const auto status = server.server().ListenTls("127.0.0.1", 0, options).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr("'/no/such/file': No such file"));
    EXPECT_EQ(GetErrorInfo(status)->metadata.at("part"), "cert");
    const TestCertificate old = authority_.Issue("127.0.0.1", true);
    options.cert_file = old.cert_file;
    options.key_file = old.key_file;
    EXPECT_THAT(std::string(server.server().ListenTls("127.0.0.1", 0, options).status().message()),
                HasSubstr("its time is over"));
  });
}

TEST_F(HttpServerTlsTest, PlainHttpIsToldSo) {
  TestServer server(Who);
  TestSocket socket = TestSocket::Connect(server.ListenTls(Options()));
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(socket.ReadToEnd(), HasSubstr("400 Bad Request"));
}

TEST_F(HttpServerTlsTest, GarbageAndSilenceHoldNothing) {
  HttpServerOptions server_options;
  server_options.tls_handshake_timeout = std::chrono::milliseconds(300);
  TestServer server(Who, server_options);
  const HttpEndpoint endpoint = server.ListenTls(Options());
  TestSocket garbage = TestSocket::Connect(endpoint);
  garbage.Send(std::string(4096, '\xff'));
  garbage.ReadToEnd();
  // The first bytes of a ClientHello, and no more.
  TestSocket half = TestSocket::Connect(endpoint);
  half.Send(std::string("\x16\x03\x01\x02\x00\x01", 6));
  TestSocket silent = TestSocket::Connect(endpoint);
  TestSocket gone = TestSocket::Connect(endpoint);
  gone.Reset();
  bool closed = false;
  silent.ReadToEnd(&closed);
  EXPECT_TRUE(closed);
  half.ReadToEnd(&closed);
  EXPECT_TRUE(closed);
  // Others are served meanwhile and afterwards.
  EXPECT_EQ(Text(Request(endpoint, {})), "nobody");
  size_t open = 9;
  for (int i = 0; i < 100 && open > 1; ++i) {
    server.Run([&] { open = server.server().connections(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_LE(open, 1u);  // the client's idle one
}

TEST_F(HttpServerTlsTest, ChainsAreBounded) {
  TestServer server(Who);
  const HttpEndpoint endpoint = server.ListenTls(Options());
  TestCertificate huge = authority_.IssueFor("ci", "DNS:ci");
  std::ifstream in(authority_.ca_file());
  const std::string ca((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::ofstream out(huge.cert_file, std::ios::app);
  for (int i = 0; i < 200; ++i) out << ca;
  out.close();
  EXPECT_THAT(Text(Request(endpoint, huge)), Not(HasSubstr("CN=ci")));
  EXPECT_EQ(Text(Request(endpoint, {})), "nobody");
}

}  // namespace
}  // namespace metamcp::http
