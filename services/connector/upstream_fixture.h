#pragma once

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "common/base/key_ring.h"
#include "services/connector/test_util.h"
#include "services/connector/upstream.h"

namespace metamcp::connector {

// Keeps what a call writes.
class CallSink final : public Sink<pb::CallResponse> {
 public:
  Awaitable<absl::Status> Write(pb::CallResponse message) override {
    switch (message.event_case()) {
      case pb::CallResponse::kProgress:
        progress.push_back(message.progress());
        break;
      case pb::CallResponse::kLog:
        logs.push_back(message.log());
        break;
      case pb::CallResponse::kPaused:
        pauses.push_back(message.paused().retry_ms());
        break;
      case pb::CallResponse::kResult:
        kind = message.result().kind();
        result += message.result().data();
        finished = message.result().last();
        ++chunks;
        break;
      default:
        error = message.error();
        break;
    }
    co_return absl::OkStatus();
  }
  std::vector<std::string> progress, logs;
  std::vector<int64_t> pauses;
  pb::ResultKind kind = pb::RESULT_KIND_UNSPECIFIED;
  std::string result;
  bool finished = false;
  int chunks = 0;
  pb::UpstreamError error;
};

// One call that runs beside the test.
struct RunningCall {
  CallSink sink;
  CallContext ctx;
  bool done = false;
  absl::Status status;
  boost::asio::cancellation_signal cancel;
};

// The real client, or none: then every request fails.
class TestHttp final : public http::HttpClient {
 public:
  Awaitable<absl::StatusOr<std::unique_ptr<http::HttpClientResponse>>> Send(
      const CallContext& ctx, http::HttpClientRequest request) override {
    if (network == nullptr) {
      co_return MakeError("UPSTREAM_UNAVAILABLE", "http", "there is no network here");
    }
    auto sending = network->Send(ctx, std::move(request));
    co_return co_await std::move(sending);
  }
  Awaitable<absl::StatusOr<std::unique_ptr<http::WebSocket>>> OpenWebSocket(
      const CallContext& ctx, http::HttpClientRequest request,
      http::WebSocketOptions options) override {
    if (network == nullptr) {
      co_return MakeError("UPSTREAM_UNAVAILABLE", "http", "there is no network here");
    }
    auto opening = network->OpenWebSocket(ctx, std::move(request), std::move(options));
    co_return co_await std::move(opening);
  }
  std::unique_ptr<http::HttpClient> network;
};

// What upstream actors need around them, with short times.
class UpstreamFixture : public ::testing::Test {
 protected:
  explicit UpstreamFixture(bool network = false) {
    http_.network =
        network ? http::NewHttpClient(io_.get_executor(), http::HttpClientOptions()) : nullptr;
    core_.environment = config::ProcessEnvironment();
    core_.config.stop_grace_ms = 500;
    core_.config.call_timeout_ms = 20000;
    core_.config.backoff.min_ms = 10;
    core_.config.backoff.max_ms = 200;
  }
  ~UpstreamFixture() override {
    for (const auto& upstream : started_) AwaitVoid(io_, upstream->Stop());
    parked_.DropUpstream("");
    EXPECT_TRUE(Await(io_, tasks_.Join(std::chrono::seconds(10)))) << tasks_.running();
    EXPECT_EQ(budget_.running(), 0);
  }

  static DialerOptions MakeDialerOptions() {
    DialerOptions options;
    options.client_info = R"({"name":"meta-mcp","version":"1"})";
    options.times.stop_grace = std::chrono::milliseconds(500);
    return options;
  }
  static catalog_pb::Upstream Stdio(const std::string& name, std::vector<std::string> args) {
    catalog_pb::Upstream out;
    out.mutable_meta()->set_id("id-" + name);
    out.mutable_meta()->set_name(name);
    out.set_enabled(true);
    out.mutable_spec()->set_type("stdio");
    out.mutable_spec()->set_command(METAMCP_STDIO_FIXTURE);
    for (const std::string& arg : args) out.mutable_spec()->add_args(arg);
    return out;
  }
  std::shared_ptr<Upstream> Start(catalog_pb::Upstream desired) {
    auto changed = [this](const std::string& id) { changed_.insert(id); };
    auto upstream = std::make_shared<Upstream>(core_, std::move(desired), std::move(changed));
    started_.push_back(upstream);
    upstream->Start();
    return upstream;
  }
  bool Until(const std::function<bool()>& condition) { return RunUntilTrue(io_, condition); }
  bool UntilState(const Upstream& upstream, const std::string& state) {
    return Until([&] { return upstream.status().state() == state; });
  }
  static pb::CallRequest Tool(const Upstream& upstream, const std::string& name,
                              const std::string& arguments = "{}") {
    pb::CallRequest request;
    request.set_upstream_id(upstream.id());
    request.set_method("tools/call");
    request.set_target(name);
    request.set_params("{\"name\":\"" + name + "\",\"arguments\":" + arguments + "}");
    request.set_affinity("session-1");
    return request;
  }
  std::shared_ptr<RunningCall> Begin(Upstream& upstream, pb::CallRequest request) {
    auto call = std::make_shared<RunningCall>();
    call->ctx.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    auto done = [call](std::exception_ptr e, absl::Status status) {
      call->status = e ? absl::CancelledError("thrown") : std::move(status);
      call->done = true;
    };
    boost::asio::co_spawn(io_, upstream.Call(call->ctx, std::move(request), call->sink),
                          boost::asio::bind_cancellation_slot(call->cancel.slot(), done));
    return call;
  }
  std::shared_ptr<RunningCall> Finish(Upstream& upstream, pb::CallRequest request) {
    auto call = Begin(upstream, std::move(request));
    EXPECT_TRUE(Until([&] { return call->done; }));
    return call;
  }

  boost::asio::io_context io_{1};
  TaskGroup tasks_{io_.get_executor()};
  ProcessBudget budget_{300};
  TestHttp http_;
  KeyRing keys_ = KeyRing::Ephemeral();
  ParkedCalls parked_{io_.get_executor(), keys_, ParkedCalls::Options()};
  Dialer dialer_{io_.get_executor(), tasks_, budget_, http_, MakeDialerOptions()};
  Core core_{io_.get_executor(), tasks_, dialer_, parked_};
  std::set<std::string> changed_;
  std::vector<std::shared_ptr<Upstream>> started_;
};

inline std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : std::string(status.ToString());
}
inline std::string Domain(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->domain : "";
}

}  // namespace metamcp::connector
