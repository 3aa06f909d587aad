// What servers say that are not trusted, at one gateway and at two.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/async/run.h"
#include "gateway/guard/guard_fixture.h"
#include "gateway/guard/taint_sharing.h"

namespace metamcp::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TaintTest : public GuardTest {
 protected:
  TaintTest() {
    config_.ttl_ms = 1000;
    Make("refuse");
  }
  void Make(const std::string& mode) {
    config_.mode = mode;
    TaintStage::Options options;
    options.now_us = [this] { return now_; };
    options.scopes_max = 3;
    stage_ = std::make_unique<TaintStage>(config_, std::move(options));
  }
  void Answer(const std::string& upstream) {
    auto outcome = Result("{}", upstream);
    Route(upstream);
    stage_->After(Call(), &outcome);
    Route("files");
  }
  void Client(const std::string& name) { spec_.client_info = R"({"name":")" + name + R"("})"; }

  int64_t now_ = 1;
  config::TaintConfig config_;
  std::unique_ptr<TaintStage> stage_;
};

TEST_F(TaintTest, AfterAnUntrustedAnswerRiskyToolsOfOthersAreRefused) {
  EXPECT_TRUE(stage_->Before(Call()).ok());
  Answer("files");
  EXPECT_TRUE(stage_->Before(Call()).ok());
  Answer("web");
  const absl::Status refused = stage_->Before(Call());
  EXPECT_EQ(Reason(refused), "TAINTED");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("web"));
  // Its own tools see nothing that it has not said itself.
  Route("web");
  EXPECT_TRUE(stage_->Before(Call()).ok());
  Route("files");
  entry_.definition = R"({"annotations":{"readOnlyHint":true,"openWorldHint":false}})";
  EXPECT_TRUE(stage_->Before(Call()).ok());
}

TEST_F(TaintTest, ScopesAreApartAndBecomeCleanAgain) {
  Answer("web");
  Client("other");
  EXPECT_TRUE(stage_->Before(Call()).ok());
  spec_.client_info.clear();
  EXPECT_FALSE(stage_->Before(Call()).ok());
  now_ += 1'000'000;
  EXPECT_TRUE(stage_->Before(Call()).ok());
}

TEST_F(TaintTest, WithConsentAPersonIsAskedAboutTheseServers) {
  Make("consent");
  Answer("web");
  const StageCall call = Call();
  EXPECT_FALSE(stage_->Asks(call));
  EXPECT_TRUE(stage_->Before(call).ok());
  const auto why = stage_->Asks(call);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->rule, "taint.mode");
  EXPECT_THAT(why->reason, HasSubstr("web, which is not trusted"));
  EXPECT_THAT(why->bound, HasSubstr("web"));
  auto outcome = Result("{}", "files");
  stage_->After(call, &outcome);
  EXPECT_EQ(outcome->rule, "policy:taint.mode");
  EXPECT_FALSE(stage_->Asks(call));
  // A rule of the policy that was asked as well names itself.
  EXPECT_TRUE(stage_->Before(call).ok());
  outcome->rule = "policy:mine";
  stage_->After(call, &outcome);
  EXPECT_EQ(outcome->rule, "policy:mine");
  // A clean scope asks nobody.
  now_ += 1'000'000;
  EXPECT_TRUE(stage_->Before(call).ok());
  EXPECT_FALSE(stage_->Asks(call));
}

TEST_F(TaintTest, WhatCannotBeKeptInMindCountsAsTainted) {
  for (const char* name : {"a", "b", "c", "d"}) {
    Client(name);
    Answer("web");
  }
  EXPECT_EQ(stage_->scopes(), 3u);
  Client("never-seen");
  EXPECT_FALSE(stage_->Before(Call()).ok());
  config_.mode = "off";
  stage_->SetConfig(config_);
  EXPECT_TRUE(stage_->Before(Call()).ok());
}

TEST_F(TaintTest, OthersAreToldBeforeTheFirstCallAndThenNowAndThen) {
  Route("web");
  EXPECT_TRUE(stage_->Unsaid(Call()));
  TaintStage::Mark mark = stage_->Begin(Call());
  EXPECT_EQ(mark.key.size(), 64u);
  EXPECT_THAT(mark.sources, ElementsAre("web"));
  // Not told yet: the next call tells as well.
  EXPECT_TRUE(stage_->Unsaid(Call()));
  stage_->Told(mark);
  EXPECT_FALSE(stage_->Unsaid(Call()));
  Answer("web");
  EXPECT_TRUE(stage_->TakeUntold().empty());
  now_ += 600'000;
  Answer("web");
  const auto again = stage_->TakeUntold();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].until_us, now_ + 1'000'000);
  EXPECT_TRUE(stage_->TakeUntold().empty());
  Route("files");
  EXPECT_FALSE(stage_->Unsaid(Call()));
}

TEST_F(TaintTest, WhatOtherGatewaysSawCountsHereAndSilenceIsNoInnocence) {
  Route("web");
  const TaintStage::Mark mark = stage_->Begin(Call());
  Route("files");
  Make("refuse");
  EXPECT_TRUE(stage_->Before(Call()).ok());
  stage_->Learn(mark);
  EXPECT_EQ(Reason(stage_->Before(Call())), "TAINTED");
  bool informed = true;
  TaintStage::Options options;
  options.now_us = [this] { return now_; };
  options.informed = [&informed] { return informed; };
  TaintStage other(config_, std::move(options));
  EXPECT_TRUE(other.Before(Call()).ok());
  informed = false;
  EXPECT_THAT(std::string(other.Before(Call()).message()), HasSubstr("other gateways"));
  // Where every server is trusted there is nothing to know.
  ServerView::Parts parts;
  parts.name = "default";
  parts.upstreams = {MakeUpstream("files", true)};
  spec_.view = std::make_shared<ServerView>(std::move(parts));
  EXPECT_TRUE(other.Before(Call()).ok());
}

// One store for two gateways.
class OneStore final : public catalog::v1::TaintService {
 public:
  Awaitable<absl::StatusOr<catalog::v1::MarkTaintResponse>> MarkTaint(
      const CallContext&, catalog::v1::MarkTaintRequest request) override {
    ++marks;
    if (down) co_return absl::UnavailableError("down");
    for (const auto& scope : request.scopes()) all.push_back(scope);
    co_return catalog::v1::MarkTaintResponse();
  }
  Awaitable<absl::Status> WatchTaint(const CallContext&, catalog::v1::WatchTaintRequest,
                                     Sink<catalog::v1::WatchTaintResponse>& sink) override {
    size_t sent = 0;
    for (;;) {
      catalog::v1::WatchTaintResponse message;
      while (sent < all.size()) *message.add_scopes() = all[sent++];
      const absl::Status written = co_await sink.Write(std::move(message));
      if (!written.ok()) co_return written;
      const bool slept = co_await Sleep(std::chrono::milliseconds(2));
      if (!slept) co_return absl::CancelledError();
    }
  }
  std::vector<catalog::v1::TaintedScope> all;
  int marks = 0;
  bool down = false;
};

class TwoGatewaysTest : public GuardTest {
 protected:
  TwoGatewaysTest() {
    config_.mode = "refuse";
    TaintGuard::Options options;
    options.service = &store_;
    options.shared = true;
    a_ = std::make_unique<TaintGuard>(io_.get_executor(), config_, options);
    b_ = std::make_unique<TaintGuard>(io_.get_executor(), config_, options);
    Snapshot snapshot;
    snapshot.views["default"] = spec_.view;
    for (TaintGuard* guard : {a_.get(), b_.get()}) {
      guard->OnSnapshot(snapshot);
      boost::asio::co_spawn(io_, guard->Follow(), [](std::exception_ptr) {});
      boost::asio::co_spawn(io_, guard->Report(), [](std::exception_ptr) {});
    }
  }
  // Until it is so; a test that never sees it fails by its timeout.
  template <typename Done>
  void RunUntilTrue(Done done) {
    while (!done()) io_.run_one();
  }
  void Say(TaintGuard& guard) {
    bool said = false;
    boost::asio::co_spawn(io_, guard.Say(Call()), [&](std::exception_ptr) { said = true; });
    RunUntilTrue([&] { return said; });
  }
  absl::Status Risky(TaintGuard& guard) {
    Route("files");
    const StageCall call = Call();
    const absl::Status status = guard.stage().Before(call);
    if (status.ok()) guard.stage().After(call, nullptr);
    return status;
  }

  boost::asio::io_context io_;
  OneStore store_;
  config::TaintConfig config_;
  std::unique_ptr<TaintGuard> a_, b_;
};

TEST_F(TwoGatewaysTest, WhatOneCallsTheOtherKnows) {
  // Until it has heard of the store, a gateway takes nothing for clean.
  EXPECT_THAT(std::string(Risky(*b_).message()), HasSubstr("other gateways"));
  RunUntilTrue([&] { return Risky(*a_).ok() && Risky(*b_).ok(); });
  Route("web");
  EXPECT_TRUE(a_->Unsaid(Call()));
  Say(*a_);
  EXPECT_EQ(store_.marks, 1);
  RunUntilTrue([&] { return !Risky(*b_).ok(); });
  EXPECT_THAT(std::string(Risky(*b_).message()), HasSubstr("web"));
  // It knows already: nobody waits again, and trusted servers never.
  Route("web");
  EXPECT_FALSE(b_->Unsaid(Call()));
  Route("files");
  EXPECT_FALSE(a_->Unsaid(Call()));
}

TEST_F(TwoGatewaysTest, WhatCouldNotBeToldIsToldLater) {
  RunUntilTrue([&] { return Risky(*b_).ok(); });
  store_.down = true;
  Route("web");
  Say(*a_);
  EXPECT_FALSE(Risky(*a_).ok());
  EXPECT_TRUE(Risky(*b_).ok());
  store_.down = false;
  RunUntilTrue([&] { return !Risky(*b_).ok(); });
}

TEST(RiskTest, AbsentHintsAreTheCautiousOnes) {
  EXPECT_TRUE(IsRisky("{}"));
  EXPECT_TRUE(IsRisky(R"({"annotations":{"readOnlyHint":true}})"));  // openWorldHint is true
  EXPECT_TRUE(IsRisky(R"({"annotations":{"openWorldHint":false}})"));
  EXPECT_FALSE(IsRisky(R"({"annotations":{"readOnlyHint":true,"openWorldHint":false}})"));
  EXPECT_FALSE(IsRisky(R"({"annotations":{"destructiveHint":false,"openWorldHint":false}})"));
}

}  // namespace
}  // namespace metamcp::gateway
