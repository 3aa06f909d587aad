// mTLS between two ends: who is taken, who is not and why, and material that changes meanwhile.

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <functional>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/rpc/server.h"
#include "metamcp/gateway/v1/calls_service.metamcp.h"

namespace metamcp::rpc {
namespace {

namespace asio = boost::asio;
using gateway::v1::CallsService;
using ::testing::HasSubstr;

constexpr char kServiceName[] = "metamcp.gateway.v1.CallsService";
constexpr std::chrono::hours kDay{24};

pki::Time Now() { return std::chrono::system_clock::now(); }

class Echo final : public CallsService {
 public:
  Awaitable<absl::StatusOr<gateway::v1::CheckPrincipalResponse>> CheckPrincipal(
      const CallContext&, gateway::v1::CheckPrincipalRequest) override {
    co_return absl::UnimplementedError("not in this test");
  }
  Awaitable<absl::StatusOr<gateway::v1::CallResponse>> Call(
      const CallContext&, gateway::v1::CallRequest request) override {
    if (request.target() == "slow") co_await Sleep(std::chrono::milliseconds(300));
    gateway::v1::CallResponse response;
    response.set_result(request.arguments());
    co_return response;
  }
  Awaitable<absl::StatusOr<gateway::v1::ListSessionsResponse>> ListSessions(
      const CallContext&, gateway::v1::ListSessionsRequest) override {
    co_return absl::UnimplementedError("no");
  }
  Awaitable<absl::StatusOr<gateway::v1::RevokeSessionResponse>> RevokeSession(
      const CallContext&, gateway::v1::RevokeSessionRequest) override {
    co_return absl::UnimplementedError("no");
  }
  Awaitable<absl::StatusOr<gateway::v1::CreateLoginLinkResponse>> CreateLoginLink(
      const CallContext&, gateway::v1::CreateLoginLinkRequest) override {
    co_return absl::UnimplementedError("no");
  }
};

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() {
    std::string pattern = ::testing::TempDir() + "/tls-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    authority_ = MakeAuthority();
  }
  ~TlsTest() override { std::filesystem::remove_all(dir_); }

  static pki::Issued MakeAuthority() {
    return pki::MakeAuthority("test", Now() - kDay, Now() + 10 * kDay).value();
  }

  // Material named `name` in files: for `role`, valid until `until`.
  TlsFiles Write(const std::string& name, const std::string& role, const pki::Issued& authority,
                 pki::Time until = Now() + kDay) {
    pki::LeafRequest request;
    request.name = name;
    request.roles = {role};
    request.from = Now() - kDay;
    request.until = until;
    const pki::Issued leaf = pki::IssueLeaf(authority, request).value();
    TlsFiles files{dir_ + "/" + name + "-ca.pem", dir_ + "/" + name + ".pem",
                   dir_ + "/" + name + "-key.pem"};
    std::ofstream(files.ca) << authority.certificate;
    std::ofstream(files.certificate) << leaf.certificate;
    std::ofstream(files.key) << leaf.key;
    return files;
  }
  std::shared_ptr<Tls> Open(const std::string& name, const std::string& role) {
    return Tls::OpenBlocking(Write(name, role, authority_)).value();
  }

  static absl::Status NotForbidden(const std::vector<std::string>& roles,
                                   const google::protobuf::Message& message) {
    EXPECT_THAT(roles, ::testing::ElementsAre("gateway"));
    const auto& request = static_cast<const gateway::v1::CallRequest&>(message);
    if (request.target() != "forbidden") return absl::OkStatus();
    return absl::PermissionDeniedError("not this one");
  }
  void Serve(std::shared_ptr<Tls> tls) {
    GrpcServer::Options options;
    options.listen = "127.0.0.1:0";
    options.tls = std::move(tls);
    options.callers = {{kServiceName, {"gateway"}}};
    options.checks = {{"/metamcp.gateway.v1.CallsService/Call", NotForbidden}};
    auto server = GrpcServer::Create(io_.get_executor(), {&echo_}, options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::unique_ptr<CallsService> Client(std::shared_ptr<Tls> tls, const std::string& server_role) {
    ChannelOptions options;
    options.tls = std::move(tls);
    options.roles = {server_role};
    return gateway::v1::MakeCallsServiceClient(
        Channel::Create(server_->address(), std::move(options)).value());
  }

  void Run(std::function<Awaitable<void>()> body) {
    bool ended = false;
    auto all = [](std::function<Awaitable<void>()> b, GrpcServer* server) -> Awaitable<void> {
      co_await b();
      co_await server->Stop(std::chrono::seconds(5));
    };
    asio::co_spawn(io_, all(std::move(body), server_.get()), [&ended](std::exception_ptr e) {
      EXPECT_FALSE(e);
      ended = true;
    });
    auto work = asio::make_work_guard(io_);
    while (!ended) io_.run_one();
  }
  static CallContext Context() {
    return CallContext(nullptr, CallContext::Clock::now() + std::chrono::seconds(20));
  }
  static Awaitable<absl::Status> Say(CallsService& client, std::string target = "echo") {
    const CallContext ctx = Context();
    gateway::v1::CallRequest request;
    request.set_target(std::move(target));
    request.set_arguments("hello");
    auto calling = client.Call(ctx, std::move(request));
    const auto answer = co_await std::move(calling);
    if (!answer.ok()) co_return answer.status();
    EXPECT_EQ(answer->result(), "hello");
    co_return absl::OkStatus();
  }

  std::string dir_;
  pki::Issued authority_;
  asio::io_context io_;
  Echo echo_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(TlsTest, OnlyTheRolesOfAServiceCallIt) {
  RecordProperty("req", "M-FR-007.3");
  Serve(Open("server", "connector"));
  auto gateway = Client(Open("gateway", "gateway"), "connector");
  auto catalog = Client(Open("catalog", "catalog"), "connector");
  Run([&]() -> Awaitable<void> {
    const absl::Status welcome = co_await Say(*gateway);
    EXPECT_TRUE(welcome.ok()) << welcome;
    const absl::Status refused = co_await Say(*catalog);
    EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(
        std::string(refused.message()),
        HasSubstr("certificate is for [catalog]; /metamcp.gateway.v1.CallsService/Call is for "
                  "gateway"));
  });
}

TEST_F(TlsTest, WhatARequestSaysIsCheckedAgainstItsCallersRoles) {
  RecordProperty("req", "M-FR-007.3");
  Serve(Open("server", "connector"));
  auto client = Client(Open("gateway", "gateway"), "connector");
  Run([&]() -> Awaitable<void> {
    const absl::Status welcome = co_await Say(*client);
    EXPECT_TRUE(welcome.ok()) << welcome;
    const absl::Status refused = co_await Say(*client, "forbidden");
    EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied) << refused;
  });
}

TEST_F(TlsTest, AServerOfAnotherRoleOrAuthorityIsNotCalled) {
  Serve(Open("server", "connector"));
  auto elsewhere = Client(Open("gateway", "gateway"), "catalog");
  const pki::Issued other = MakeAuthority();
  auto stranger =
      Client(Tls::OpenBlocking(Write("stranger", "gateway", other)).value(), "connector");
  Run([&]() -> Awaitable<void> {
    const absl::Status role = co_await Say(*elsewhere);
    EXPECT_TRUE(absl::IsUnavailable(role) && NotBegun(role)) << role;
    EXPECT_THAT(std::string(role.message()),
                HasSubstr("the peer's certificate is for [connector], not for catalog"));
    const absl::Status authority = co_await Say(*stranger);
    EXPECT_TRUE(absl::IsUnavailable(authority) && NotBegun(authority)) << authority;
  });
}

TEST_F(TlsTest, APlainClientIsNotServed) {
  Serve(Open("server", "connector"));
  auto plain = gateway::v1::MakeCallsServiceClient(
      Channel::Create(server_->address(), ChannelOptions()).value());
  Run([&]() -> Awaitable<void> {
    const absl::Status status = co_await Say(*plain);
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  });
}

TEST_F(TlsTest, MaterialThatCannotBeUsedIsNamed) {
  const auto ended = Tls::OpenBlocking(Write("old", "gateway", authority_, Now() - kDay / 2));
  EXPECT_THAT(std::string(ended.status().message()), HasSubstr("ended on"));
  TlsFiles files = Write("gateway", "gateway", authority_);
  files.key = dir_ + "/nothing.pem";
  EXPECT_THAT(std::string(Tls::OpenBlocking(files).status().message()),
              HasSubstr("nothing.pem (services.tls.key): it is missing"));
  files.key.clear();
  EXPECT_THAT(std::string(Tls::OpenBlocking(files).status().message()),
              HasSubstr("services.tls.key is not set"));
}

// One TLS handshake as far as it gets, by OpenSSL itself. Returns the version, or "" if refused.
std::string Handshake(const std::string& address, const TlsFiles& files, int version) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> ctx(SSL_CTX_new(TLS_client_method()),
                                                              &SSL_CTX_free);
  SSL_CTX_set_min_proto_version(ctx.get(), version);
  SSL_CTX_set_max_proto_version(ctx.get(), version);
  SSL_CTX_use_certificate_chain_file(ctx.get(), files.certificate.c_str());
  SSL_CTX_use_PrivateKey_file(ctx.get(), files.key.c_str(), SSL_FILETYPE_PEM);
  const unsigned char alpn[] = "\x02h2";
  SSL_CTX_set_alpn_protos(ctx.get(), alpn, 3);
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new_ssl_connect(ctx.get()),
                                                          &BIO_free_all);
  BIO_set_conn_hostname(bio.get(), address.c_str());
  SSL* ssl = nullptr;
  BIO_get_ssl(bio.get(), &ssl);
  return BIO_do_handshake(bio.get()) == 1 ? SSL_get_version(ssl) : "";
}

TEST_F(TlsTest, NothingOlderThanTls13IsSpoken) {
  RecordProperty("req", "M-NFR-004.1");
  Serve(Open("server", "connector"));
  const TlsFiles files = Write("gateway", "gateway", authority_);
  EXPECT_EQ(Handshake(server_->address(), files, TLS1_3_VERSION), "TLSv1.3");
  EXPECT_EQ(Handshake(server_->address(), files, TLS1_2_VERSION), "");
  Run([]() -> Awaitable<void> { co_return; });
}

TEST_F(TlsTest, NewMaterialCountsForNewConnectionsAndLosesNoCall) {
  RecordProperty("req", "P3-Ops-8");
  auto server_tls = Open("server", "connector");
  auto client_tls = Open("gateway", "gateway");
  Serve(server_tls);
  auto client = Client(client_tls, "connector");
  Run([&]() -> Awaitable<void> {
    int failed = 0, done = 0;
    bool stop = false;
    auto calls = [](CallsService* c, bool* over, int* bad, int* good) -> Awaitable<void> {
      while (!*over) {
        const absl::Status status = co_await Say(*c, "slow");
        *(status.ok() ? good : bad) += 1;
        EXPECT_TRUE(status.ok()) << status;
      }
    };
    int running = 8;
    for (int i = 0; i < 8; ++i) {
      asio::co_spawn(io_, calls(client.get(), &stop, &failed, &done),
                     [&running](std::exception_ptr) { --running; });
    }
    // A new authority for both: nothing of the old material would be taken any more.
    co_await Sleep(std::chrono::milliseconds(200));
    const pki::Issued next = MakeAuthority();
    pki::Issued both = next;
    both.certificate += authority_.certificate;
    for (const auto& [name, role, tls] : {std::tuple("server", "connector", server_tls.get()),
                                          std::tuple("gateway", "gateway", client_tls.get())}) {
      Write(name, role, next);
      // Both are trusted while one end is ahead of the other.
      std::ofstream(tls->files().ca) << both.certificate;
      EXPECT_TRUE(tls->ReloadBlocking().value());
      co_await Sleep(std::chrono::milliseconds(200));
    }
    co_await Sleep(std::chrono::milliseconds(500));
    stop = true;
    while (running > 0) co_await Sleep(std::chrono::milliseconds(5));
    EXPECT_EQ(failed, 0);
    EXPECT_GT(done, 16);
    // Broken files change nothing.
    std::ofstream(client_tls->files().key) << "rubbish";
    EXPECT_FALSE(client_tls->ReloadBlocking().ok());
    const absl::Status after = co_await Say(*client);
    EXPECT_TRUE(after.ok()) << after;
  });
}

}  // namespace
}  // namespace metamcp::rpc
