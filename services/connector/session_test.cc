#include "services/connector/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "services/connector/handshake.h"
#include "services/connector/test_util.h"

namespace metamcp::connector {
namespace {

// A shared channel whose other end is the test.
class TestChannel final : public Channel {
 public:
  void Start(std::weak_ptr<ChannelHandler> given) override { handler = std::move(given); }
  absl::Status Send(Outgoing message) override {
    sent.push_back(message.json);
    if (!refusal.ok()) handler.lock()->OnRequestFailed(message.request_id, refusal);
    return absl::OkStatus();
  }
  void Abandon(uint64_t) override {}
  bool CancelsByAbandon() const override { return false; }
  bool Correlates() const override { return false; }
  void SetProtocol(bool, std::string_view) override {}
  Awaitable<void> Close() override { co_return; }
  void Drop() override {}

  std::weak_ptr<ChannelHandler> handler;
  std::vector<std::string> sent;
  absl::Status refusal;  // told of each request at once
};

class Observer final : public SessionObserver {
 public:
  void OnReached() override {}
  void OnListChanged(ListKind) override {}
  void OnResourceUpdated(const std::string&) override {}
  void OnAmbiguousQuestion() override {}
  void OnRemark(std::string_view) override {}
  void OnLost(const absl::Status&) override {}
};

class SessionTest : public ::testing::Test {
 protected:
  SessionTest() {
    SessionOptions options;
    options.domain = "upstream:one";
    options.client_info = "{}";
    session_ = std::make_shared<Session>(io_.get_executor(), channel_, options, observer_);
    session_->Start();
    session_->Adopt(Negotiated());
  }
  std::shared_ptr<Exchange> Call() {
    RequestSpec spec("tools/call", "{}");
    spec.call = true;
    return *session_->Begin(std::move(spec));
  }
  void Say(const std::string& text) { session_->OnMessage(text, 0); }
  static std::string Reason(const Exchange& exchange) {
    const auto info = GetErrorInfo(exchange.failure);
    return info ? info->reason : "";
  }
  static constexpr const char* kStray = R"({"jsonrpc":"2.0","id":"nobody","result":{}})";

  boost::asio::io_context io_{1};
  std::shared_ptr<TestChannel> channel_ = std::make_shared<TestChannel>();
  Observer observer_;
  std::shared_ptr<Session> session_;
};

TEST_F(SessionTest, ATransportThatFailsAtOnceFailsTheCallAtOnce) {
  channel_->refusal = MakeError("QUEUE_FULL", "upstream:one", "full");
  const auto call = Call();
  EXPECT_TRUE(call->done);
  EXPECT_EQ(Reason(*call), "QUEUE_FULL");
  EXPECT_EQ(session_->in_flight(), 0u);
}

TEST_F(SessionTest, AnAnswerToNobodyIsTheOnlyCalls) {
  const auto call = Call();
  Say(kStray);
  EXPECT_EQ(Reason(*call), "UPSTREAM_PROTOCOL");
}

TEST_F(SessionTest, ASecondAnswerToNobodySparesTheNextCallIfItIsAnswered) {
  const auto first = Call();
  Say(kStray);
  const auto second = Call();
  Say(kStray);
  EXPECT_FALSE(second->done);
  Say(StrCat(R"({"jsonrpc":"2.0","id":)", second->id, R"(,"result":{"a":1}})"));
  EXPECT_EQ(second->result, R"({"a":1})");
}

TEST_F(SessionTest, ASecondAnswerToNobodyEndsTheNextCallIfNothingElseComes) {
  const auto first = Call();
  Say(kStray);
  const auto second = Call();
  Say(kStray);
  // In seconds, not after the time that a call may take.
  ASSERT_TRUE(RunUntilTrue(io_, [&second] { return second->done; }));
  EXPECT_EQ(Reason(*second), "UPSTREAM_PROTOCOL");
}

TEST(CapsetTest, AnUpstreamMayOnlyAskForWhatItsRevisionKnows) {
  constexpr std::string_view kAll =
      R"({"roots":{},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}})";
  const auto newest = CapsetFor(ReadCapset(kAll), mcp::Revision::k20251125);
  EXPECT_TRUE(newest.Allows("sampling/createMessage", R"({"tools":[]})"));
  EXPECT_TRUE(newest.Allows("elicitation/create", R"({"mode":"url"})"));
  const auto middle = CapsetFor(ReadCapset(kAll), mcp::Revision::k20250618);
  EXPECT_FALSE(middle.Allows("sampling/createMessage", R"({"tools":[]})"));
  EXPECT_TRUE(middle.Allows("sampling/createMessage", "{}"));
  EXPECT_FALSE(middle.Allows("elicitation/create", R"({"mode":"url"})"));
  EXPECT_TRUE(middle.Allows("elicitation/create", "{}"));
  const auto oldest = CapsetFor(ReadCapset(kAll), mcp::Revision::k20241105);
  EXPECT_FALSE(oldest.Allows("elicitation/create", "{}"));
  EXPECT_TRUE(oldest.Allows("roots/list", "{}"));
}

}  // namespace
}  // namespace metamcp::connector
