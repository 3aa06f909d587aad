// What becomes of a call that waits for a legacy client's answers when they do not come.

#include <gmock/gmock.h>

#include "common/async/run.h"
#include "common/base/strings.h"
#include "gateway/transport/endpoint_fixture.h"

namespace metamcp::gateway {
namespace {

namespace asio = boost::asio;
using ::testing::HasSubstr;

class QuestionsTest : public EndpointTest {
 public:
  static constexpr std::string_view kCall =
      R"({"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"up__ask"}})";

  // Calls the asking tool in the background and returns the id of the question.
  Awaitable<std::string> Asked(std::string session) {
    auto call = [](QuestionsTest* test, std::string id) -> Awaitable<void> {
      (void)co_await test->Legacy(id, std::string(kCall));
      test->ended_ = true;
    };
    asio::co_spawn(io_, call(this, session), [](std::exception_ptr e) { EXPECT_FALSE(e); });
    while (sessions_->List().at(0)->asks.empty()) co_await Sleep(std::chrono::milliseconds(1));
    co_return sessions_->List().at(0)->asks.begin()->first;
  }
  Awaitable<void> Calls(size_t count) {
    while (provider_.calls.size() < count) co_await Sleep(std::chrono::milliseconds(1));
  }
  bool ended_ = false;
};

TEST_F(QuestionsTest, ACancelledCallIsGivenUp) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize("2025-11-25", R"({"elicitation":{}})");
    (void)co_await Asked(session);
    (void)co_await Legacy(session,
                          R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":)"
                          R"({"requestId":5}})");
    co_await Calls(2);
    EXPECT_TRUE(provider_.calls[1].abandon());
    EXPECT_EQ(provider_.calls[1].request_state(), "inner-state");
    EXPECT_TRUE(sessions_->List().at(0)->asks.empty());
  });
}

TEST_F(QuestionsTest, AnEndedSessionGivesItsCallUp) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize("2025-11-25", R"({"elicitation":{}})");
    (void)co_await Asked(session);
    sessions_->Remove(sessions_->List().at(0));
    co_await Calls(2);
    EXPECT_TRUE(provider_.calls[1].abandon());
  });
}

TEST_F(QuestionsTest, AnAnsweredCallIsNotGivenUp) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize("2025-11-25", R"({"elicitation":{}})");
    const std::string question = co_await Asked(session);
    const std::string answer = StrCat(R"({"jsonrpc":"2.0","id":")", question,
                                      R"(","error":{"code":-1,"message":"the user said no"}})");
    (void)co_await Legacy(session, answer);
    while (!ended_) co_await Sleep(std::chrono::milliseconds(1));
    EXPECT_EQ(provider_.calls.size(), 2u);
    EXPECT_FALSE(provider_.calls[1].abandon());
    // Elicitation has a form for it.
    EXPECT_EQ(provider_.calls[1].input_responses(), R"({"q":{"action":"cancel"}})");
  });
}

}  // namespace
}  // namespace metamcp::gateway
