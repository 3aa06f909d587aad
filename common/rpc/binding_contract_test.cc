// One suite over both bindings of the generated interfaces: a caller cannot tell them apart.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/rpc/server.h"
#include "metamcp/gateway/v1/calls_service.metamcp.h"
#include "metamcp/provider/v1/provider_service.metamcp.h"

namespace metamcp::rpc {
namespace {

namespace asio = boost::asio;
using gateway::v1::CallsService;
using provider::v1::ProviderService;

// Unary methods behave as the target of the request says.
class FakeCalls final : public CallsService {
 public:
  Awaitable<absl::StatusOr<gateway::v1::CheckPrincipalResponse>> CheckPrincipal(
      const CallContext&, gateway::v1::CheckPrincipalRequest) override {
    co_return absl::UnimplementedError("not in this test");
  }
  Awaitable<absl::StatusOr<gateway::v1::CallResponse>> Call(
      const CallContext& ctx, gateway::v1::CallRequest request) override {
    ++started;
    gateway::v1::CallResponse response;
    if (request.target() == "echo") {
      response.set_result(request.arguments());
      const auto& who = ctx.principal;
      response.set_upstream(
          who ? StrCat(who->subject, " ", who->display_name, " ", who->issuer, " ", who->expires_us)
              : "nobody");
    } else if (request.target() == "fail") {
      co_return MakeError("TOOL_NOT_FOUND", "gateway", "no such tool", {{"tool", "x"}});
    } else if (request.target() == "throw") {
      throw std::runtime_error("boom");
    } else if (request.target() == "hang") {
      const bool slept = co_await Sleep(std::chrono::hours(1));
      cancelled += slept ? 0 : 1;
    } else if (request.target() == "meta") {
      response.set_upstream(ctx.request_id + "|" + ctx.trace.traceparent + "|" + ctx.hops.at(0));
    }
    co_return response;
  }
  Awaitable<absl::StatusOr<gateway::v1::ListSessionsResponse>> ListSessions(
      const CallContext&, gateway::v1::ListSessionsRequest) override {
    co_return gateway::v1::ListSessionsResponse();
  }
  Awaitable<absl::StatusOr<gateway::v1::RevokeSessionResponse>> RevokeSession(
      const CallContext&, gateway::v1::RevokeSessionRequest) override {
    co_return absl::NotFoundError("no session");
  }
  Awaitable<absl::StatusOr<gateway::v1::CreateLoginLinkResponse>> CreateLoginLink(
      const CallContext&, gateway::v1::CreateLoginLinkRequest) override {
    co_return absl::NotFoundError("no server");
  }
  int started = 0;
  int cancelled = 0;
};

class FakeProvider final : public ProviderService {
 public:
  Awaitable<absl::Status> Call(const CallContext&, provider::v1::CallRequest request,
                               Sink<provider::v1::CallResponse>& sink) override {
    // Also set when cancellation unwinds the call between two writes.
    const std::shared_ptr<void> leaving(nullptr, [this](void*) { ended = true; });
    for (int i = 0; i < 100000; ++i) {
      if (request.target() == "five" && i == 5) co_return absl::OkStatus();
      if (request.target() == "throw" && i == 2) throw std::runtime_error("boom");
      provider::v1::CallResponse event;
      event.set_progress(std::string(request.target() == "big" ? 1 << 20 : 10, 'x'));
      const absl::Status s = co_await sink.Write(std::move(event));
      written = i + 1;
      if (!s.ok()) co_return s;
      if (request.target() == "hang") co_await Sleep(std::chrono::hours(1));
    }
    co_return absl::OkStatus();
  }
  Awaitable<absl::Status> Listen(const CallContext&, provider::v1::ListenRequest,
                                 Sink<provider::v1::ListenResponse>&) override {
    co_return absl::UnimplementedError("no");
  }
  int written = 0;
  bool ended = false;
};

enum class BindingKind { kDirect, kGrpc, kMutualTls };

// One certificate for both ends, in files of a folder that goes with the test.
class TestTls {
 public:
  TestTls() {
    std::string pattern = ::testing::TempDir() + "/binding-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    const auto now = std::chrono::system_clock::now();
    const std::chrono::hours day{24};
    const auto authority = pki::MakeAuthority("test", now - day, now + day).value();
    pki::LeafRequest request;
    request.name = "both";
    request.roles = {"gateway"};
    request.from = now - day;
    request.until = now + day;
    const auto leaf = pki::IssueLeaf(authority, request).value();
    const TlsFiles files{dir_ + "/ca", dir_ + "/cert", dir_ + "/key"};
    std::ofstream(files.ca) << authority.certificate;
    std::ofstream(files.certificate) << leaf.certificate;
    std::ofstream(files.key) << leaf.key;
    tls = Tls::OpenBlocking(files).value();
  }
  ~TestTls() { std::filesystem::remove_all(dir_); }
  std::shared_ptr<Tls> tls;

 private:
  std::string dir_;
};

class BindingContractTest : public ::testing::TestWithParam<BindingKind> {
 public:
  void SetUp() override {
    if (GetParam() == BindingKind::kDirect) {
      calls_ = MakeCallsServiceDirect(fake_calls_);
      provider_ = MakeProviderServiceDirect(fake_provider_);
      return;
    }
    GrpcServer::Options options;
    options.listen = "127.0.0.1:0";
    ChannelOptions to;
    if (GetParam() == BindingKind::kMutualTls) {
      material_ = std::make_unique<TestTls>();
      options.tls = to.tls = material_->tls;
      to.roles = {"gateway"};
    }
    auto server = GrpcServer::Create(io_.get_executor(), {&fake_calls_, &fake_provider_}, options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto channel = Channel::Create(server_->address(), to);
    ASSERT_TRUE(channel.ok()) << channel.status();
    calls_ = gateway::v1::MakeCallsServiceClient(*channel);
    provider_ = provider::v1::MakeProviderServiceClient(*channel);
  }

  // Runs `body` to its end, then stops the server.
  void Run(std::function<Awaitable<void>()> body) {
    auto all = [](std::function<Awaitable<void>()> b, GrpcServer* server) -> Awaitable<void> {
      co_await b();
      if (server != nullptr) co_await server->Stop(std::chrono::seconds(5));
    };
    bool ended = false;
    asio::co_spawn(io_, all(std::move(body), server_.get()), [&ended](std::exception_ptr e) {
      EXPECT_FALSE(e);
      ended = true;
    });
    auto work = asio::make_work_guard(io_);
    while (!ended) io_.run_one();
    work.reset();
    io_.poll();
  }

  CallContext Context(std::chrono::milliseconds limit = std::chrono::seconds(30)) {
    auto who = std::make_shared<Principal>();
    who->subject = "ada";
    who->display_name = "Ada";
    who->issuer = "https://id.example.com";
    who->expires_us = 7;
    CallContext ctx(who, CallContext::Clock::now() + limit);
    ctx.request_id = "r1";
    ctx.trace.traceparent = "00-abc";
    ctx.hops = {"gw1"};
    return ctx;
  }
  static gateway::v1::CallRequest Request(std::string target, std::string arguments = "") {
    gateway::v1::CallRequest request;
    request.set_target(std::move(target));
    request.set_arguments(std::move(arguments));
    return request;
  }

  asio::io_context io_;
  FakeCalls fake_calls_;
  FakeProvider fake_provider_;
  std::unique_ptr<TestTls> material_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<CallsService> calls_;
  std::unique_ptr<ProviderService> provider_;
};

// Collects messages; after `limit` it refuses.
class Collect final : public Sink<provider::v1::CallResponse> {
 public:
  explicit Collect(size_t limit) : limit_(limit) {}
  Awaitable<absl::Status> Write(provider::v1::CallResponse message) override {
    if (messages.size() >= limit_) co_return absl::CancelledError("full");
    messages.push_back(std::move(message));
    co_return absl::OkStatus();
  }
  std::vector<provider::v1::CallResponse> messages;

 private:
  size_t limit_;
};

TEST_P(BindingContractTest, CarriesMessageAndContext) {
  RecordProperty("req", "M-NFR-006.3");
  Run([this]() -> Awaitable<void> {
    const std::string binary("\0\xff{}", 4);
    auto echo = co_await calls_->Call(Context(), Request("echo", binary));
    EXPECT_TRUE(echo.ok()) << echo.status();
    if (echo.ok()) {
      EXPECT_EQ(echo->result(), binary);
      EXPECT_EQ(echo->upstream(), "ada Ada https://id.example.com 7");
    }
    auto meta = co_await calls_->Call(Context(), Request("meta"));
    EXPECT_TRUE(meta.ok() && meta->upstream() == "r1|00-abc|gw1");
  });
}

TEST_P(BindingContractTest, CarriesStatusAndErrorInfo) {
  RecordProperty("req", "A-P5.1");
  Run([this]() -> Awaitable<void> {
    const auto result = co_await calls_->Call(Context(), Request("fail"));
    EXPECT_EQ(result.status().code(), absl::StatusCode::kNotFound);
    const auto info = GetErrorInfo(result.status());
    EXPECT_TRUE(info.has_value() && info->reason == "TOOL_NOT_FOUND" &&
                info->metadata.at("tool") == "x");
  });
}

TEST_P(BindingContractTest, TurnsAnExceptionIntoInternal) {
  Run([this]() -> Awaitable<void> {
    const auto result = co_await calls_->Call(Context(), Request("throw"));
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInternal);
    Collect sink(100);
    provider::v1::CallRequest request;
    request.set_target("throw");
    const auto status = co_await provider_->Call(Context(), request, sink);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_EQ(sink.messages.size(), 2u);
  });
}

TEST_P(BindingContractTest, TheDeadlineCancelsTheWork) {
  Run([this]() -> Awaitable<void> {
    const auto result =
        co_await calls_->Call(Context(std::chrono::milliseconds(30)), Request("hang"));
    EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded) << result.status();
    while (fake_calls_.cancelled < fake_calls_.started) {
      co_await Sleep(std::chrono::milliseconds(1));
    }
  });
}

TEST_P(BindingContractTest, AnExpiredDeadlineNeverStarts) {
  Run([this]() -> Awaitable<void> {
    const auto result =
        co_await calls_->Call(Context(std::chrono::milliseconds(-1)), Request("echo"));
    EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(fake_calls_.started, 0);
  });
}

TEST_P(BindingContractTest, ADeadlineWithoutEndIsServed) {
  Run([this]() -> Awaitable<void> {
    CallContext ctx = Context(std::chrono::seconds(1));
    ctx.deadline = CallContext::Clock::time_point::max();
    const auto result = co_await calls_->Call(ctx, Request("echo"));
    EXPECT_TRUE(result.ok()) << result.status();
  });
}

TEST_P(BindingContractTest, TheCallersCancellationReachesTheWork) {
  Run([this]() -> Awaitable<void> {
    asio::cancellation_signal signal;
    bool ended = false;
    auto call = [](BindingContractTest* test) -> Awaitable<void> {
      co_await test->calls_->Call(test->Context(), Request("hang"));
    };
    auto done = [&ended](std::exception_ptr) { ended = true; };
    asio::co_spawn(io_, call(this), asio::bind_cancellation_slot(signal.slot(), std::move(done)));
    while (fake_calls_.started == 0) co_await Sleep(std::chrono::milliseconds(1));
    signal.emit(asio::cancellation_type::terminal);
    while (!ended || fake_calls_.cancelled == 0) co_await Sleep(std::chrono::milliseconds(1));
  });
}

TEST_P(BindingContractTest, ACancelledStreamLeavesItsCallerCancelled) {
  Run([this]() -> Awaitable<void> {
    asio::cancellation_signal signal;
    bool ended = false;
    bool slept = true;
    auto call = [](BindingContractTest* test, bool& out) -> Awaitable<void> {
      Collect sink(1000);
      provider::v1::CallRequest request;
      request.set_target("hang");
      const CallContext ctx = test->Context();
      auto op = test->provider_->Call(ctx, request, sink);
      auto caught = CatchStatus(std::move(op));
      const absl::Status status = co_await std::move(caught);
      EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
      out = co_await Sleep(std::chrono::hours(1));
    };
    auto done = [&ended, &slept](std::exception_ptr e) {
      if (e) slept = false;  // operation_aborted: the caller knows that it is cancelled
      ended = true;
    };
    asio::co_spawn(io_, call(this, slept),
                   asio::bind_cancellation_slot(signal.slot(), std::move(done)));
    while (fake_provider_.written == 0) co_await Sleep(std::chrono::milliseconds(1));
    signal.emit(asio::cancellation_type::terminal);
    while (!ended) co_await Sleep(std::chrono::milliseconds(1));
    EXPECT_FALSE(slept);
  });
}

TEST_P(BindingContractTest, StreamsInOrderToTheEnd) {
  Run([this]() -> Awaitable<void> {
    Collect sink(100);
    provider::v1::CallRequest request;
    request.set_target("five");
    const auto status = co_await provider_->Call(Context(), request, sink);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(sink.messages.size(), 5u);
  });
}

TEST_P(BindingContractTest, ARefusingReaderStopsTheWriter) {
  Run([this]() -> Awaitable<void> {
    Collect sink(3);
    provider::v1::CallRequest request;
    request.set_target("big");
    const auto status = co_await provider_->Call(Context(), request, sink);
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(sink.messages.size(), 3u);
    while (!fake_provider_.ended) co_await Sleep(std::chrono::milliseconds(1));
    // Back-pressure: what nobody read was not produced (some is in flight over a socket).
    EXPECT_LT(fake_provider_.written, 64);
  });
}

TEST_P(BindingContractTest, AnOversizeMessageIsAnErrorOnBothSides) {
  if (GetParam() == BindingKind::kDirect) GTEST_SKIP() << "messages are moved, not encoded";
  Run([this]() -> Awaitable<void> {
    const auto result =
        co_await calls_->Call(Context(), Request("echo", std::string(48u << 20, 'x')));
    EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
    const auto after = co_await calls_->Call(Context(), Request("echo", "{}"));
    EXPECT_TRUE(after.ok());
  });
}

INSTANTIATE_TEST_SUITE_P(Bindings, BindingContractTest,
                         ::testing::Values(BindingKind::kDirect, BindingKind::kGrpc,
                                           BindingKind::kMutualTls),
                         [](const auto& it) {
                           if (it.param == BindingKind::kDirect) return "Direct";
                           return it.param == BindingKind::kGrpc ? "Grpc" : "MutualTls";
                         });

TEST(ChannelTest, RefusesPlaintextBeyondThisMachine) {
  EXPECT_FALSE(Channel::Create("10.0.0.1:1234", ChannelOptions()).ok());
  EXPECT_TRUE(IsLocalTarget("127.0.0.1:1"));
  EXPECT_TRUE(IsLocalTarget("unix:/run/x"));
  EXPECT_FALSE(IsLocalTarget("dns:///example:1"));
}

}  // namespace
}  // namespace metamcp::rpc
