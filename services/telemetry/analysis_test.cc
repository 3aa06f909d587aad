#include "services/telemetry/analysis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace metamcp::telemetry {
namespace {

using Attributes = std::map<std::string, std::string>;

v1::Span Span(std::string trace, std::string id, std::string parent, std::string name,
              std::string kind, std::string service, int64_t us, Attributes attributes = {}) {
  v1::Span span;
  span.set_trace(std::move(trace));
  span.set_span(std::move(id));
  span.set_parent(std::move(parent));
  span.set_name(std::move(name));
  span.set_kind(std::move(kind));
  span.set_service(std::move(service));
  span.set_begun_ns(1'000'000);
  span.set_ended_ns(1'000'000 + us * 1000);
  for (auto& [key, value] : attributes) (*span.mutable_attributes())[key] = value;
  return span;
}

// One call through gateway and connector, of `us` in all; 300 us more are the server's than the
// gateway's other stages need.
std::vector<v1::Span> Call(const std::string& id, int64_t server_us) {
  const Attributes rpc = {{"rpc.system", "grpc"}};
  return {
      Span(id, id + "1", "", "tools/call echo", "server", "gateway", server_us + 500,
           {{"metamcp.virtual_server", "default"}}),
      Span(id, id + "2", id + "1", "route", "internal", "gateway", server_us + 400),
      Span(id, id + "3", id + "2", "P/Call", "client", "gateway", server_us + 300, rpc),
      Span(id, id + "4", id + "3", "P/Call", "server", "connector", server_us + 100, rpc),
      Span(id, id + "5", id + "4", "tools/call echo", "client", "connector", server_us,
           {{"metamcp.upstream", "git"}}),
  };
}

TEST(AnalysisTest, EachStageGetsItsOwnTime) {
  ::testing::Test::RecordProperty("req", "W-4.2.2 M-MIT-4");
  std::vector<v1::Span> spans = Call("a", 1000);
  const auto more = Call("b", 3000);
  spans.insert(spans.end(), more.begin(), more.end());
  v1::AnalyzePerformanceResponse out;
  AnalyzePerformance("echo", spans, &out);
  EXPECT_EQ(out.calls(), 2);
  EXPECT_EQ(out.mean_us(), 2500);
  EXPECT_EQ(out.p95_us(), 3500);
  EXPECT_EQ(out.slowest_trace(), "b");
  EXPECT_EQ(out.slowest_us(), 3500);
  std::map<std::string, int64_t> mean;
  int64_t share = 0;
  for (const v1::Stage& stage : out.stages()) {
    mean[stage.name()] = stage.mean_us();
    share += stage.share();
  }
  EXPECT_EQ(mean, (std::map<std::string, int64_t>{{"server git", 2000},
                                                  {"between processes", 200},
                                                  {"connector", 100},
                                                  {"routing", 100},
                                                  {"gateway", 100}}));
  EXPECT_EQ(out.stages(0).name(), "server git");
  EXPECT_EQ(share, 10'000);
}

TEST(AnalysisTest, OnlyTheItemThatWasAskedFor) {
  v1::AnalyzePerformanceResponse out;
  AnalyzePerformance("other", Call("a", 1000), &out);
  EXPECT_EQ(out.calls(), 0);
  AnalyzePerformance("", Call("a", 1000), &out);
  EXPECT_EQ(out.calls(), 1);
}

TEST(AnalysisTest, ATreeThatIsNoneEnds) {
  auto spans = Call("a", 1000);
  spans[0].set_parent("a5");  // a circle
  spans.push_back(spans[1]);  // and one span twice
  v1::AnalyzePerformanceResponse out;
  AnalyzePerformance("echo", spans, &out);
  EXPECT_EQ(out.calls(), 1);
}

TEST(AnalysisTest, TheMapShowsWhoCalledWhom) {
  ::testing::Test::RecordProperty("req", "P3-Trc-4");
  auto spans = Call("a", 1000);
  spans.back().set_failed(true);
  v1::GetServiceMapResponse out;
  MakeServiceMap(spans, &out);
  std::vector<std::string> edges;
  for (const v1::Edge& edge : out.edges()) {
    edges.push_back(edge.from() + " > " + edge.to() + " " + std::to_string(edge.calls()) + "/" +
                    std::to_string(edge.failures()));
  }
  EXPECT_THAT(edges, ::testing::ElementsAre("clients > gateway 1/0", "connector > server git 1/1",
                                            "gateway > connector 1/0"));
}

TEST(AnalysisTest, PatternsEndInAStar) {
  EXPECT_TRUE(FitsPattern("", "a"));
  EXPECT_TRUE(FitsPattern("tools/*", "tools/call echo"));
  EXPECT_FALSE(FitsPattern("tools", "tools/call echo"));
  EXPECT_TRUE(FitsPattern("*", ""));
}

}  // namespace
}  // namespace metamcp::telemetry
