// Several servers of one service: readiness, who is called, and how one of them ends.

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <future>
#include <map>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/rpc/server.h"
#include "metamcp/provider/v1/provider_service.metamcp.h"

namespace metamcp::rpc {
namespace {

namespace asio = boost::asio;
using provider::v1::ProviderService;

constexpr char kName[] = "metamcp.provider.v1.ProviderService";
constexpr char kListen[] = "/metamcp.provider.v1.ProviderService/Listen";

// Says who it is, after the call's target in milliseconds.
class Named final : public ProviderService {
 public:
  explicit Named(std::string name) : name_(std::move(name)) {}
  Awaitable<absl::Status> Call(const CallContext&, provider::v1::CallRequest request,
                               Sink<provider::v1::CallResponse>& sink) override {
    ++calls;
    co_await Sleep(std::chrono::milliseconds(std::atoi(request.target().c_str())));
    provider::v1::CallResponse event;
    event.set_progress(name_);
    co_return co_await sink.Write(std::move(event));
  }
  Awaitable<absl::Status> Listen(const CallContext&, provider::v1::ListenRequest,
                                 Sink<provider::v1::ListenResponse>& sink) override {
    ++listeners;
    const std::shared_ptr<void> leaving(nullptr, [this](void*) { --listeners; });
    co_await sink.Write(provider::v1::ListenResponse());
    co_await Sleep(std::chrono::hours(1));
    co_return absl::OkStatus();
  }
  int calls = 0;
  int listeners = 0;

 private:
  const std::string name_;
};

template <typename T>
class Last final : public Sink<T> {
 public:
  Awaitable<absl::Status> Write(T message) override {
    ++count;
    last = std::move(message);
    co_return absl::OkStatus();
  }
  int count = 0;
  T last;
};

// grpc.health.v1 by hand: what Check says about a service of `address`; blocks.
std::string HealthOf(const std::string& address, const std::string& service) {
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  std::string text = "\x0a";
  text += static_cast<char>(service.size());
  text += service;
  grpc::Slice slice(text);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  grpc::ClientContext context;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request, &response,
                 [&done](grpc::Status s) { done.set_value(std::move(s)); });
  const grpc::Status status = done.get_future().get();
  if (!status.ok()) return status.error_code() == grpc::StatusCode::NOT_FOUND ? "unknown" : "none";
  grpc::Slice answer;
  if (!response.DumpToSingleSlice(&answer).ok() || answer.size() != 2) return "odd";
  return answer.begin()[1] == 1 ? "serving" : "not serving";
}

// What grpc.reflection lists at `address`, as bytes; empty if there is none. Blocks.
std::string ReflectionOf(const std::string& address) {
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  wait();
  grpc::Slice slice(std::string("\x3a\x01*"));  // list_services
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  wait();
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  std::string text;
  if (wait()) {
    grpc::Slice all;
    if (answer.DumpToSingleSlice(&all).ok()) {
      text.assign(reinterpret_cast<const char*>(all.begin()), all.size());
    }
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  queue.Shutdown();
  while (wait()) {
  }
  return text;
}

class BalanceTest : public ::testing::Test {
 protected:
  BalanceTest() : a_("a"), b_("b") {}

  std::unique_ptr<GrpcServer> Serve(Service& service, bool reflection = false, int calls_max = 4096,
                                    int streams_max = 4096) {
    GrpcServer::Options options;
    options.calls_max = calls_max;
    options.streams_max = streams_max;
    options.listen = "127.0.0.1:0";
    options.probe_listen = "127.0.0.1:0";
    options.endless = {kListen};
    options.reflection = reflection;
    auto server = GrpcServer::Create(io_.get_executor(), {&service}, options).value();
    server->SetReady(kName, true);
    return server;
  }
  std::unique_ptr<ProviderService> Client(const std::string& targets) {
    ChannelOptions options;
    options.health = kName;
    return provider::v1::MakeProviderServiceClient(Channel::Create(targets, options).value());
  }
  // Who answered, or the failure.
  static Awaitable<std::string> Ask(ProviderService& client, std::string wait = "0") {
    const CallContext ctx(nullptr, CallContext::Clock::now() + std::chrono::seconds(20));
    provider::v1::CallRequest request;
    request.set_target(std::move(wait));
    Last<provider::v1::CallResponse> sink;
    auto calling = client.Call(ctx, std::move(request), sink);
    const absl::Status status = co_await std::move(calling);
    co_return status.ok() ? sink.last.progress() : status.ToString();
  }
  static Awaitable<absl::Status> Listen(ProviderService& client) {
    const CallContext ctx(nullptr, CallContext::Clock::now() + std::chrono::seconds(20));
    provider::v1::ListenRequest request;
    Last<provider::v1::ListenResponse> sink;
    auto listening = client.Listen(ctx, std::move(request), sink);
    co_return co_await std::move(listening);
  }
  // Calls until both have answered; a channel connects in the background.
  static Awaitable<void> UntilBothAnswer(ProviderService& client) {
    std::map<std::string, int> seen;
    for (int i = 0; i < 1000 && (seen["a"] == 0 || seen["b"] == 0); ++i) {
      const std::string who = co_await Ask(client);
      ++seen[who];
      co_await Sleep(std::chrono::milliseconds(5));
    }
    EXPECT_GT(seen["a"], 0);
    EXPECT_GT(seen["b"], 0);
  }
  void Run(std::function<Awaitable<void>()> body) {
    bool ended = false;
    asio::co_spawn(io_, body(), [&ended](std::exception_ptr e) {
      EXPECT_FALSE(e);
      ended = true;
    });
    auto work = asio::make_work_guard(io_);
    while (!ended) io_.run_one();
  }

  asio::io_context io_;
  Named a_, b_;
};

TEST_F(BalanceTest, HealthFollowsReadiness) {
  RecordProperty("req", "W-4.1.5");
  auto server = Serve(a_);
  for (const std::string& address : {server->address(), server->probe_address()}) {
    EXPECT_EQ(HealthOf(address, kName), "serving");
    EXPECT_EQ(HealthOf(address, ""), "serving");
    EXPECT_EQ(HealthOf(address, "metamcp.none.v1.None"), "unknown");
  }
  server->SetReady(kName, false);
  EXPECT_EQ(HealthOf(server->probe_address(), kName), "not serving");
  server->SetReady(kName, true);
  server->NotReady();
  server->SetReady(kName, true);
  for (const std::string& address : {server->address(), server->probe_address()}) {
    EXPECT_EQ(HealthOf(address, kName), "not serving");
    EXPECT_EQ(HealthOf(address, ""), "not serving");
  }
  Run([&]() -> Awaitable<void> { co_await server->Stop(std::chrono::seconds(1)); });
}

TEST_F(BalanceTest, ReflectionIsBehindItsSwitch) {
  auto with = Serve(a_, true), without = Serve(b_);
  EXPECT_THAT(ReflectionOf(with->address()), ::testing::HasSubstr(kName));
  EXPECT_EQ(ReflectionOf(without->address()), "");
  Run([&]() -> Awaitable<void> {
    co_await with->Stop(std::chrono::seconds(1));
    co_await without->Stop(std::chrono::seconds(1));
  });
}

TEST_F(BalanceTest, CallsTakeTurnsAndLeaveAServerThatEnds) {
  RecordProperty("req", "P3-Ops-8");
  auto a = Serve(a_), b = Serve(b_);
  auto client = Client(a->address() + "," + b->address());
  Run([&]() -> Awaitable<void> {
    co_await UntilBothAnswer(*client);
    // A call that runs there finishes; new ones find the other at once.
    std::string running;
    auto slow = [](ProviderService* c, std::string* out) -> Awaitable<void> {
      *out = co_await Ask(*c, "400");
    };
    const int before = a_.calls;
    while (a_.calls == before) {
      running.clear();
      asio::co_spawn(io_, slow(client.get(), &running), asio::detached);
      co_await Sleep(std::chrono::milliseconds(20));
    }
    a->NotReady();
    a->Refuse();
    for (int i = 0; i < 50; ++i) {
      const std::string who = co_await Ask(*client);
      EXPECT_EQ(who, "b");
    }
    co_await a->Stop(std::chrono::seconds(5));
    for (int i = 0; i < 100 && running.empty(); ++i) co_await Sleep(std::chrono::milliseconds(10));
    EXPECT_EQ(running, "a");
    for (int i = 0; i < 50; ++i) {
      const std::string who = co_await Ask(*client);
      EXPECT_EQ(who, "b");
    }
    co_await b->Stop(std::chrono::seconds(1));
    const std::string nobody = co_await Ask(*client);
    EXPECT_THAT(nobody, ::testing::HasSubstr("cannot be reached"));
  });
}

TEST_F(BalanceTest, AStreamWithoutEndIsToldToGoElsewhere) {
  auto a = Serve(a_);
  auto client = Client(a->address());
  Run([&]() -> Awaitable<void> {
    absl::Status ended;
    bool over = false;
    auto listen = [](ProviderService* c, absl::Status* out, bool* done) -> Awaitable<void> {
      for (;;) {
        *out = co_await Listen(*c);
        if (!NotBegun(*out) || GetErrorInfo(*out)->reason == "SHUTTING_DOWN") break;
        co_await Sleep(std::chrono::milliseconds(10));  // not connected yet
      }
      *done = true;
    };
    asio::co_spawn(io_, listen(client.get(), &ended, &over), asio::detached);
    for (int i = 0; i < 1000 && a_.listeners == 0; ++i)
      co_await Sleep(std::chrono::milliseconds(5));
    EXPECT_EQ(a_.listeners, 1);
    a->Refuse();
    for (int i = 0; i < 1000 && !over; ++i) co_await Sleep(std::chrono::milliseconds(5));
    const auto info = GetErrorInfo(ended);
    EXPECT_TRUE(info && info->reason == "SHUTTING_DOWN") << ended;
    co_await a->Stop(std::chrono::seconds(5));
    EXPECT_EQ(a_.listeners, 0);
  });
}

TEST_F(BalanceTest, StreamsWithoutEndAreCountedApart) {
  auto a = Serve(a_, false, 1, 2);
  auto client = Client(a->address());
  Run([&]() -> Awaitable<void> {
    std::string who;
    while (who != "a") {
      who = co_await Ask(*client);
      co_await Sleep(std::chrono::milliseconds(5));
    }
    auto listen = [](ProviderService* c) -> Awaitable<void> { (void)co_await Listen(*c); };
    for (int i = 0; i < 2; ++i) asio::co_spawn(io_, listen(client.get()), asio::detached);
    while (a_.listeners < 2) co_await Sleep(std::chrono::milliseconds(5));
    const absl::Status third = co_await Listen(*client);
    EXPECT_EQ(third.code(), absl::StatusCode::kResourceExhausted) << third;
    // The server counts a call until a moment after its answer has come.
    auto ask = [](ProviderService* c) -> Awaitable<void> { (void)co_await Ask(*c, "400"); };
    const int before = a_.calls;
    while (a_.calls == before) {
      asio::co_spawn(io_, ask(client.get()), asio::detached);
      co_await Sleep(std::chrono::milliseconds(20));
    }
    who = co_await Ask(*client);
    EXPECT_THAT(who, ::testing::HasSubstr("too many calls at once"));
    EXPECT_EQ(a_.listeners, 2);
    a->Refuse();
    co_await a->Stop(std::chrono::seconds(5));
  });
}

TEST_F(BalanceTest, AServerThatIsNotReadyIsNotCalled) {
  auto a = Serve(a_), b = Serve(b_);
  auto client = Client(a->address() + "," + b->address());
  Run([&]() -> Awaitable<void> {
    co_await UntilBothAnswer(*client);
    b->SetReady(kName, false);
    std::string who;
    for (int i = 0, in_a_row = 0; i < 1000 && in_a_row < 20; ++i) {
      who = co_await Ask(*client);
      in_a_row = who == "a" ? in_a_row + 1 : 0;
      co_await Sleep(std::chrono::milliseconds(2));
    }
    EXPECT_EQ(who, "a");
    b->SetReady(kName, true);
    co_await UntilBothAnswer(*client);
    co_await a->Stop(std::chrono::seconds(1));
    co_await b->Stop(std::chrono::seconds(1));
  });
}

}  // namespace
}  // namespace metamcp::rpc
