#include "services/telemetry/telemetry_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstring>
#include <thread>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/telemetry/log_keep.h"
#include "common/telemetry/span_ring.h"

namespace metamcp::telemetry {
namespace {

using ::testing::HasSubstr;

// Another process: answers with one line, or not at all.
class Other final : public v1::TelemetryService {
 public:
  Awaitable<absl::StatusOr<v1::SearchLogsResponse>> SearchLogs(
      const CallContext& ctx, v1::SearchLogsRequest request) override {
    EXPECT_TRUE(request.here());
    if (hangs) {
      (void)co_await Sleep(ctx.TimeLeft());
      co_return absl::DeadlineExceededError("the other is slow");
    }
    v1::SearchLogsResponse response;
    v1::LogLine& line = *response.add_lines();
    line.set_time_us(INT64_MAX);
    line.set_line(R"({"event":"other.said"})");
    co_return response;
  }
  Awaitable<absl::StatusOr<v1::SetLogLevelResponse>> SetLogLevel(const CallContext&,
                                                                 v1::SetLogLevelRequest) override {
    ++levels;
    co_return v1::SetLogLevelResponse();
  }
  Awaitable<absl::StatusOr<v1::ListSpansResponse>> ListSpans(const CallContext&,
                                                             v1::ListSpansRequest) override {
    co_return MakeError("TRACES_NOT_KEPT", "gateway", "none here");
  }
  Awaitable<absl::StatusOr<v1::AnalyzePerformanceResponse>> AnalyzePerformance(
      const CallContext&, v1::AnalyzePerformanceRequest) override {
    co_return absl::UnimplementedError("");
  }
  Awaitable<absl::StatusOr<v1::GetServiceMapResponse>> GetServiceMap(
      const CallContext&, v1::GetServiceMapRequest) override {
    co_return absl::UnimplementedError("");
  }
  Awaitable<absl::StatusOr<v1::TakeProfileResponse>> TakeProfile(
      const CallContext&, v1::TakeProfileRequest request) override {
    v1::TakeProfileResponse response;
    response.set_profile(request.kind() + " of the other");
    co_return response;
  }
  bool hangs = false;
  int levels = 0;
};

class TelemetryServiceTest : public ::testing::Test {
 protected:
  TelemetryServiceTest() {
    SetLogWriter([](std::string_view) {});
    KeepLogLines(1 << 16);
  }
  ~TelemetryServiceTest() override {
    auto ending = [](TaskGroup* tasks) -> Awaitable<absl::StatusOr<bool>> {
      tasks->CancelAll();
      auto joining = tasks->Join(std::chrono::seconds(1));
      co_return co_await std::move(joining);
    };
    EXPECT_TRUE(*Run(ending(&tasks_)));
    trace::Stop();
    KeepLogLines(0);
    SetLogLevel(LogLevel::kInfo);
    SetLogWriter(nullptr);
  }
  template <typename T>
  T Run(Awaitable<T> op) {
    T out = absl::UnknownError("not run");
    boost::asio::co_spawn(io_, std::move(op),
                          [&out](std::exception_ptr, T result) { out = std::move(result); });
    io_.restart();
    while (out.status().code() == absl::StatusCode::kUnknown && io_.run_one() > 0) {
    }
    return out;
  }
  std::vector<Peer> Peers() { return {{"other1", "connector", other_}}; }
  void KeepSpans() {
    auto ring = std::make_unique<trace::SpanRing>(100, nullptr);
    ring->Publish();
    kept_ = ring.get();
    trace::Options options;
    options.delay = std::chrono::milliseconds(1);
    trace::Start(std::move(ring), options);
  }

  boost::asio::io_context io_;
  TaskGroup tasks_{io_.get_executor()};
  std::shared_ptr<Other> other_ = std::make_shared<Other>();
  TelemetryService alone_{"self", "gateway", {}, tasks_};
  TelemetryService service_{"self", "gateway", [this] { return Peers(); }, tasks_};
  CallContext ctx_;
  const trace::SpanRing* kept_ = nullptr;
};

TEST_F(TelemetryServiceTest, LinesOfAllProcessesNewestFirst) {
  RecordProperty("req", "W-4.2.3");
  Log(LogLevel::kInfo, "own.said");
  const auto found = Run(service_.SearchLogs(ctx_, {}));
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->lines_size(), 2);
  EXPECT_THAT(found->lines(0).line(), HasSubstr("other.said"));
  EXPECT_THAT(found->lines(1).line(), HasSubstr("own.said"));
  EXPECT_EQ(found->sources_size(), 2);
}

TEST_F(TelemetryServiceTest, AProcessThatDoesNotAnswerIsNamed) {
  other_->hangs = true;
  const CallContext soon = ctx_.Capped(std::chrono::milliseconds(50));
  const auto found = Run(service_.SearchLogs(soon, {}));
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->sources_size(), 2);
  EXPECT_EQ(found->sources(0).error(), "");
  EXPECT_EQ(found->sources(1).instance(), "other1");
  EXPECT_EQ(found->sources(1).error(), "the other is slow");
}

TEST_F(TelemetryServiceTest, WrongWordsAreRefused) {
  v1::SearchLogsRequest search;
  search.set_level("loud");
  EXPECT_EQ(GetErrorInfo(Run(alone_.SearchLogs(ctx_, search)).status())->reason,
            "ARGUMENT_INVALID");
  v1::SetLogLevelRequest level;
  EXPECT_EQ(GetErrorInfo(Run(alone_.SetLogLevel(ctx_, level)).status())->reason,
            "ARGUMENT_INVALID");
  level.set_level("debug");
  level.set_seconds(86'401);
  EXPECT_EQ(GetErrorInfo(Run(alone_.SetLogLevel(ctx_, level)).status())->reason,
            "ARGUMENT_INVALID");
  EXPECT_EQ(CurrentLogLevel(), LogLevel::kInfo);
  v1::TakeProfileRequest profile;
  profile.set_kind("disk");
  EXPECT_EQ(GetErrorInfo(Run(alone_.TakeProfile(ctx_, profile)).status())->reason,
            "ARGUMENT_INVALID");
  profile.set_instance("nobody");
  EXPECT_EQ(GetErrorInfo(Run(service_.TakeProfile(ctx_, profile)).status())->reason, "NOT_FOUND");
}

TEST_F(TelemetryServiceTest, ALevelForATimeGoesBackToWhatItWas) {
  RecordProperty("req", "P1-Obs-1");
  v1::SetLogLevelRequest request;
  request.set_level("debug");
  request.set_seconds(1);
  ASSERT_TRUE(Run(service_.SetLogLevel(ctx_, request)).ok());
  EXPECT_EQ(CurrentLogLevel(), LogLevel::kDebug);
  EXPECT_EQ(other_->levels, 1);
  request.set_level("error");
  ASSERT_TRUE(Run(service_.SetLogLevel(ctx_, request)).ok());
  EXPECT_EQ(CurrentLogLevel(), LogLevel::kError);
  io_.restart();
  io_.run();
  EXPECT_EQ(CurrentLogLevel(), LogLevel::kInfo) << "not the level that was set for a time before";
}

TEST_F(TelemetryServiceTest, OtherTenantsSeeNothing) {
  auto who = std::make_shared<Principal>();
  who->tenant = "acme";
  CallContext theirs;
  theirs.principal = who;
  EXPECT_EQ(GetErrorInfo(Run(service_.SearchLogs(theirs, {})).status())->reason,
            "PERMISSION_DENIED");
  EXPECT_EQ(GetErrorInfo(Run(service_.ListSpans(theirs, {})).status())->reason,
            "PERMISSION_DENIED");
  EXPECT_EQ(GetErrorInfo(Run(service_.TakeProfile(theirs, {})).status())->reason,
            "PERMISSION_DENIED");
}

TEST_F(TelemetryServiceTest, SpansThatAreNotKeptAreSaidToBeNot) {
  EXPECT_EQ(GetErrorInfo(Run(service_.GetServiceMap(ctx_, {})).status())->reason,
            "TRACES_NOT_KEPT");
}

TEST_F(TelemetryServiceTest, SlowestFirstAndWhereTheTimeGoes) {
  RecordProperty("req", "W-4.2.2");
  KeepSpans();
  {
    TraceContext context;
    trace::Span call(trace::Kind::kServer, "tools/call", "echo", context);
    call.Set("metamcp.virtual_server", "default");
    trace::Span server(trace::Kind::kClient, "tools/call", "echo", context);
    server.Set("metamcp.upstream", "git");
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  for (int i = 0; i < 2000 && kept_->All().size() < 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  v1::ListSpansRequest request;
  request.set_slowest(true);
  request.set_limit(1);
  const auto spans = Run(service_.ListSpans(ctx_, request));
  ASSERT_TRUE(spans.ok()) << spans.status();
  ASSERT_EQ(spans->spans_size(), 1);
  EXPECT_EQ(spans->spans(0).kind(), "server");
  EXPECT_EQ(spans->spans(0).trace().size(), 32u);
  v1::AnalyzePerformanceRequest analyze;
  analyze.set_item("echo");
  const auto where = Run(service_.AnalyzePerformance(ctx_, analyze));
  ASSERT_TRUE(where.ok()) << where.status();
  EXPECT_EQ(where->calls(), 1);
  EXPECT_EQ(where->stages(0).name(), "server git");
  EXPECT_EQ(where->slowest_trace(), spans->spans(0).trace());
}

TEST_F(TelemetryServiceTest, TheHeapIsDescribed) {
  v1::TakeProfileRequest request;
  request.set_kind("heap");
  const auto heap = Run(alone_.TakeProfile(ctx_, request));
  ASSERT_TRUE(heap.ok()) << heap.status();
  EXPECT_THAT(heap->profile(), HasSubstr("<malloc"));
  request.set_instance("other1");
  EXPECT_EQ(Run(service_.TakeProfile(ctx_, request))->profile(), "heap of the other");
}

TEST_F(TelemetryServiceTest, AProfileOfTheCpuOrTheWayToOne) {
  v1::TakeProfileRequest request;
  request.set_kind("cpu");
  request.set_seconds(1);
  const auto profile = Run(alone_.TakeProfile(ctx_, request));
  if (!profile.ok()) {
    EXPECT_EQ(GetErrorInfo(profile.status())->reason, "PROFILER_MISSING");
    EXPECT_THAT(std::string(profile.status().message()), HasSubstr("libgoogle-perftools4"));
    return;
  }
  // Header of the profile format: 0 words, 3 words of header, version 0.
  ASSERT_GE(profile->profile().size(), 5 * sizeof(uintptr_t));
  uintptr_t words[3];
  std::memcpy(words, profile->profile().data(), sizeof(words));
  EXPECT_EQ(words[0], 0u);
  EXPECT_EQ(words[1], 3u);
  EXPECT_EQ(words[2], 0u);
}

}  // namespace
}  // namespace metamcp::telemetry
