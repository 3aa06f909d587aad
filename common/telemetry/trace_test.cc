#include "common/telemetry/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <thread>

#include "common/base/error.h"

namespace metamcp::trace {
namespace {

struct Context {
  std::string traceparent;
  std::string tracestate;
};

constexpr char kSampled[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr char kUnsampled[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

struct Collected {
  std::mutex mu;
  std::vector<SpanData> spans;
  size_t calls = 0;
  bool failing = false;
  std::shared_future<void> gate;  // if there is one, exports wait for it
};

class Collector final : public Exporter {
 public:
  explicit Collector(Collected& to) : to_(to) {}
  absl::Status Export(std::vector<SpanData> spans) override {
    if (to_.gate.valid()) to_.gate.wait();
    const std::lock_guard lock(to_.mu);
    ++to_.calls;
    if (to_.failing) return absl::UnavailableError("nobody listens");
    for (SpanData& span : spans) to_.spans.push_back(std::move(span));
    return absl::OkStatus();
  }

 private:
  Collected& to_;
};

class TraceTest : public testing::Test {
 protected:
  void Begin(Options options = Options()) {
    Start(std::make_unique<Collector>(collected_), options);
  }
  ~TraceTest() override { Stop(); }
  Collected collected_;
};

TEST(TraceparentTest, ReadsWhatW3cAllows) {
  RecordProperty("req", "W-4.5.2");
  Parent parent;
  ASSERT_TRUE(ParseTraceparent(kSampled, &parent));
  EXPECT_TRUE(parent.sampled);
  EXPECT_EQ(MakeTraceparent(parent), kSampled);
  ASSERT_TRUE(ParseTraceparent(kUnsampled, &parent));
  EXPECT_FALSE(parent.sampled);
  // A later version may say more; what is known of it holds.
  EXPECT_TRUE(
      ParseTraceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", &parent));
  EXPECT_EQ(TraceIdOf(kSampled), "4bf92f3577b34da6a3ce929d0e0e4736");
}

TEST(TraceparentTest, RefusesTheRest) {
  for (const char* bad : {"", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
                          "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                          "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                          "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                          "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                          "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more"}) {
    Parent parent;
    EXPECT_FALSE(ParseTraceparent(bad, &parent)) << bad;
    EXPECT_EQ(TraceIdOf(bad), "");
  }
}

TEST_F(TraceTest, LeavesEverythingAloneWhenOff) {
  Context context{"not valid", "vendor=1"};
  const Span span(Kind::kServer, "tools/call", "echo", context);
  EXPECT_FALSE(span.recording());
  EXPECT_EQ(context.traceparent, "not valid");
  EXPECT_EQ(context.tracestate, "vendor=1");
}

TEST_F(TraceTest, SpansOfOneTraceHangTogether) {
  RecordProperty("req", "W-4.5.2");
  Begin();
  {
    Context context{kSampled, "vendor=1"};
    Span outer(Kind::kServer, "tools/call", "echo", context);
    outer.Set("mcp.method.name", "tools/call");
    outer.Set("n", 3);
    outer.Link(kUnsampled);
    EXPECT_NE(context.traceparent, kSampled);
    Span inner(Kind::kClient, "route", context);
    inner.Fail(MakeError("UPSTREAM_LOST", "gateway", "it went away"));
  }
  Stop();
  ASSERT_EQ(collected_.spans.size(), 2u);
  const SpanData& inner = collected_.spans[0];
  const SpanData& outer = collected_.spans[1];
  EXPECT_EQ(outer.name, "tools/call echo");
  EXPECT_EQ(inner.name, "route");
  EXPECT_EQ(outer.trace, inner.trace);
  EXPECT_EQ(inner.parent, outer.span);
  Parent given;
  ASSERT_TRUE(ParseTraceparent(kSampled, &given));
  EXPECT_EQ(outer.parent, given.span);
  EXPECT_EQ(outer.trace, given.trace);
  EXPECT_EQ(outer.tracestate, "vendor=1");
  EXPECT_EQ(outer.links.size(), 1u);
  EXPECT_GE(outer.ended_ns, inner.ended_ns);
  EXPECT_LE(outer.begun_ns, inner.begun_ns);
  ASSERT_EQ(outer.attributes.size(), 2u);
  EXPECT_EQ(std::get<int64_t>(outer.attributes[1].value), 3);
  EXPECT_FALSE(outer.failed);
  EXPECT_TRUE(inner.failed);
  EXPECT_EQ(std::get<std::string>(inner.attributes[0].value), "UPSTREAM_LOST");
}

TEST_F(TraceTest, WhatTheCallerDoesNotRecordIsNotRecorded) {
  Begin();
  Context context{kUnsampled, ""};
  EXPECT_FALSE(Span(Kind::kServer, "a", context).recording());
  EXPECT_EQ(context.traceparent, kUnsampled);
}

TEST_F(TraceTest, OwnRatioDecidesForCallersThatAreNotFollowed) {
  Options options;
  options.follow_parent = false;
  options.ratio = 0;
  Begin(options);
  Context context{kSampled, ""};
  EXPECT_FALSE(Span(Kind::kServer, "a", context).recording());
  // The decision goes on with the call.
  EXPECT_FALSE(Span(Kind::kClient, "b", context).recording());
  Context inside{kSampled, ""};
  EXPECT_TRUE(Span(Kind::kPeer, "c", inside).recording());
  EXPECT_EQ(context.traceparent.substr(52), "-00");
}

TEST_F(TraceTest, RecordsTheAskedShareOfNewTraces) {
  Options options;
  options.ratio = 0.25;
  Begin(options);
  int recorded = 0;
  for (int i = 0; i < 4000; ++i) {
    Context context{"broken", "vendor=1"};
    const Span span(Kind::kServer, "a", context);
    recorded += span.recording() ? 1 : 0;
    Parent own;
    ASSERT_TRUE(ParseTraceparent(context.traceparent, &own));
    EXPECT_EQ(own.sampled, span.recording());
    EXPECT_EQ(context.tracestate, "");
  }
  // Ten standard deviations.
  EXPECT_GT(recorded, 1000 - 274);
  EXPECT_LT(recorded, 1000 + 274);
}

TEST_F(TraceTest, AFullQueueDropsAndCounts) {
  Options options;
  options.queue_max = 10;
  options.delay = std::chrono::hours(1);
  Begin(options);
  for (int i = 0; i < 25; ++i) {
    Context context;
    const Span span(Kind::kServer, "a", context);
  }
  EXPECT_EQ(CountsSoFar().dropped, 15u);
  Stop();
  EXPECT_EQ(collected_.spans.size(), 10u);
}

TEST_F(TraceTest, SendsInBatchesAndCountsFailures) {
  Options options;
  options.batch_max = 8;
  options.delay = std::chrono::milliseconds(5);
  collected_.failing = true;
  Begin(options);
  for (int i = 0; i < 20; ++i) {
    Context context;
    const Span span(Kind::kServer, "a", context);
  }
  while (CountsSoFar().failed < 20) std::this_thread::yield();
  const std::lock_guard lock(collected_.mu);
  EXPECT_GE(collected_.calls, 3u);
}

TEST_F(TraceTest, AStopWaitsOnceForACollectorThatHangs) {
  RecordProperty("req", "P3-Trc-1");
  std::promise<void> gate;
  collected_.gate = gate.get_future().share();
  collected_.failing = true;
  Options options;
  options.batch_max = 4;
  options.delay = std::chrono::hours(1);
  Begin(options);
  for (int i = 0; i < 40; ++i) {
    Context context;
    const Span span(Kind::kServer, "a", context);
  }
  std::thread stopping([] { Stop(); });
  // Until it waits for the batch that hangs; then that batch's time limit is over.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  gate.set_value();
  stopping.join();
  EXPECT_EQ(collected_.calls, 1u) << "the nine batches behind it were not tried";
}

}  // namespace
}  // namespace metamcp::trace
