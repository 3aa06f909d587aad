#include "services/ai/history/chains.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp::ai {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kMinute = 60'000'000;

class ChainsTest : public ::testing::Test {
 protected:
  void Call(const std::string& tool, const std::set<std::string>& arguments = {},
            const std::string& client = "ide") {
    PastCall call;
    call.time_us = now_ += kMinute;
    call.client = client;
    call.tool = tool;
    call.virtual_server = "default";
    call.arguments = arguments;
    calls_.push_back(call);
  }
  void Pause() { now_ += 60 * kMinute; }

  int64_t now_ = 1;
  std::vector<PastCall> calls_;
};

TEST_F(ChainsTest, WhatRecursIsFoundOnceAndWhole) {
  for (int i = 0; i < 3; ++i) {
    Call("read", {"path"});
    Call("note", i == 1 ? std::set<std::string>{"text"} : std::set<std::string>{"text", "tag"});
    Call("write", {"path", "content"});
    Pause();
  }
  const auto chains = FindChains(calls_, 3, 10);
  ASSERT_EQ(chains.size(), 1u);
  EXPECT_THAT(chains[0].tools, ElementsAre("read", "note", "write"));
  EXPECT_EQ(chains[0].occurrences, 3);
  // Only what every call had.
  EXPECT_THAT(chains[0].arguments[1], ElementsAre("text"));
  EXPECT_TRUE(FindChains(calls_, 4, 10).empty());
}

TEST_F(ChainsTest, AToolThatIsCalledAgainAndAgainCountsOnce) {
  for (int i = 1; i <= 3; ++i) {
    for (int n = 0; n < i; ++n) Call("read");
    Call("write");
    Pause();
  }
  const auto chains = FindChains(calls_, 3, 10);
  ASSERT_EQ(chains.size(), 1u);
  EXPECT_THAT(chains[0].tools, ElementsAre("read", "write"));
}

TEST_F(ChainsTest, PausesAndOtherClientsEndAChain) {
  for (int i = 0; i < 5; ++i) {
    Call("read");
    Pause();
    Call("write");
    Pause();
  }
  EXPECT_TRUE(FindChains(calls_, 2, 10).empty());
  calls_.clear();
  for (int i = 0; i < 5; ++i) {
    Call("read", {}, i % 2 == 0 ? "a" : "b");
    Call("write", {}, i % 2 == 0 ? "b" : "a");
    Pause();
  }
  EXPECT_TRUE(FindChains(calls_, 3, 10).empty());
}

TEST_F(ChainsTest, OccurrencesShareNoCall) {
  // a b a b a b a b: "a b" four times, "a b a b" twice.
  for (int i = 0; i < 4; ++i) {
    Call("a");
    Call("b");
  }
  const auto chains = FindChains(calls_, 2, 10);
  ASSERT_FALSE(chains.empty());
  for (const Chain& chain : chains) {
    EXPECT_LE(chain.occurrences * static_cast<int64_t>(chain.tools.size()), 8);
  }
}

TEST_F(ChainsTest, ManyCallsInAnyOrderAndNone) {
  EXPECT_TRUE(FindChains({}, 2, 10).empty());
  for (int i = 0; i < 20'000; ++i) Call("tool" + std::to_string(i * 7919 % 101));
  std::reverse(calls_.begin(), calls_.end());
  EXPECT_LE(FindChains(calls_, 2, 10).size(), 10u);
}

}  // namespace
}  // namespace metamcp::ai
