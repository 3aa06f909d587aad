#include "common/telemetry/span_ring.h"

#include <gtest/gtest.h>

#include <thread>

namespace metamcp::trace {
namespace {

class Counting final : public Exporter {
 public:
  explicit Counting(size_t& count) : count_(count) {}
  absl::Status Export(std::vector<SpanData> spans) override {
    count_ += spans.size();
    return absl::UnavailableError("away");
  }

 private:
  size_t& count_;
};

std::vector<SpanData> Named(std::initializer_list<const char*> names) {
  std::vector<SpanData> out;
  for (const char* name : names) out.emplace_back().name = name;
  return out;
}

TEST(SpanRingTest, KeepsTheNewestAndPassesAllOn) {
  size_t passed = 0;
  SpanRing ring(3, std::make_unique<Counting>(passed));
  EXPECT_TRUE(ring.Export(Named({"a", "b"})).code() == absl::StatusCode::kUnavailable);
  (void)ring.Export(Named({"c", "d"}));
  EXPECT_EQ(passed, 4u);
  const auto all = ring.All();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all.front().name, "b");
  EXPECT_EQ(all.back().name, "d");
}

TEST(SpanRingTest, IsFoundWhileItLives) {
  EXPECT_EQ(SpanRing::Kept(), nullptr);
  {
    SpanRing ring(1, nullptr);
    ring.Publish();
    EXPECT_EQ(SpanRing::Kept(), &ring);
    EXPECT_TRUE(ring.Export(Named({"a"})).ok());
  }
  EXPECT_EQ(SpanRing::Kept(), nullptr);
}

TEST(SpanRingTest, ATracerFillsIt) {
  auto ring = std::make_unique<SpanRing>(10, nullptr);
  ring->Publish();
  const SpanRing* kept = ring.get();
  Options options;
  options.delay = std::chrono::milliseconds(1);
  Start(std::move(ring), options);
  struct {
    std::string traceparent, tracestate;
  } context;
  { Span span(Kind::kServer, "tools/call", "echo", context); }
  for (int i = 0; i < 2000 && kept->All().empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_EQ(kept->All().size(), 1u);
  EXPECT_EQ(kept->All()[0].name, "tools/call echo");
  Stop();
  EXPECT_EQ(SpanRing::Kept(), nullptr);
}

}  // namespace
}  // namespace metamcp::trace
