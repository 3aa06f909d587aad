// Event streams of legacy sessions: ids, coming back, what happens while the client is away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "common/base/strings.h"
#include "common/http/sse.h"
#include "gateway/transport/endpoint_fixture.h"

namespace metamcp::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class LegacyStreamsTest : public EndpointTest {
 public:
  static std::string CallText(std::string_view tool) {
    return StrCat(R"({"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"up__)", tool,
                  R"(","_meta":{"progressToken":"t"}}})");
  }

  Awaitable<Answer> Resume(std::string session, std::string last_id) {
    Headers headers = {{"Accept", "text/event-stream"}, {"Mcp-Session-Id", session}};
    if (!last_id.empty()) headers.push_back({"Last-Event-ID", last_id});
    co_return co_await Send("GET", "/mcp", std::move(headers), "");
  }

  // Sends a request, reads its stream until `events` ids were seen and breaks the connection.
  Awaitable<std::string> ReadAndLeave(http::HttpClientRequest request, size_t events) {
    const CallContext ctx(nullptr, CallContext::Clock::now() + std::chrono::seconds(30));
    auto response = co_await client_->Send(ctx, std::move(request));
    if (!response.ok()) {
      ADD_FAILURE() << response.status();
      co_return "";
    }
    std::string last;
    size_t seen = 0;
    http::SseParser parser;
    while (seen < events) {
      auto piece = co_await (*response)->ReadSome();
      if (!piece.ok() || !piece->has_value()) {
        ADD_FAILURE() << "the stream ended after " << seen << " events";
        break;
      }
      (void)parser.Feed(**piece, [&](http::SseMessage& message) {
        ++seen;
        last = message.id;
      });
    }
    co_return last;
  }

  http::HttpClientRequest Request(std::string method, const std::string& session,
                                  std::string body) {
    http::HttpClientRequest request(method, base_ + "/mcp");
    request.headers.Add("Mcp-Session-Id", session);
    request.headers.Add("Accept", "application/json, text/event-stream");
    if (!body.empty()) request.headers.Add("Content-Type", "application/json");
    request.body = std::move(body);
    return request;
  }
};

TEST_F(LegacyStreamsTest, AStreamBeginsWithAnIdToComeBackWith) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    auto answer = co_await Legacy(session, CallText("progress"));
    EXPECT_THAT(answer.messages, SizeIs(4));
    EXPECT_THAT(answer.ids, SizeIs(5));  // the first event has no data
    EXPECT_TRUE(answer.retry);
    EXPECT_EQ(std::set<std::string>(answer.ids.begin(), answer.ids.end()).size(), 5u);

    const std::string older = co_await Initialize("2025-06-18");
    auto plain = co_await Legacy(older, CallText("progress"));
    EXPECT_THAT(plain.ids, SizeIs(4));
    EXPECT_FALSE(plain.retry);

    auto modern = co_await Modern("tools/call", R"("name":"up__progress")");
    EXPECT_THAT(modern.ids, ::testing::Each(""));
  });
}

TEST_F(LegacyStreamsTest, AnAnswerAtOnceIsJsonUnlessTheClientPrefersAStream) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    auto answer = co_await Legacy(session, CallText("echo"));
    EXPECT_EQ(answer.headers["content-type"], "application/json");
    Headers headers = {{"Content-Type", "application/json"},
                       {"Accept", "text/event-stream, application/json"},
                       {"Mcp-Session-Id", session}};
    auto stream = co_await Send("POST", "/mcp", std::move(headers),
                                R"({"jsonrpc":"2.0","id":6,"method":"tools/list"})");
    EXPECT_EQ(stream.headers["content-type"], "text/event-stream");
    EXPECT_THAT(stream.messages, SizeIs(1));
  });
}

TEST_F(LegacyStreamsTest, AnUpstreamThatIsPolledSendsTheClientAway) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    auto answer = co_await Legacy(session, CallText("poll"));
    EXPECT_EQ(answer.status, 200);
    EXPECT_THAT(answer.messages, SizeIs(0));
    if (answer.ids.empty()) co_return;
    provider_.gate = true;
    auto rest = co_await Resume(session, answer.ids.back());
    EXPECT_THAT(rest.messages, SizeIs(1));
    EXPECT_EQ(At(rest.messages.at(0), {"id"}), "5");
    // The same again for whoever lost that answer too.
    auto again = co_await Resume(session, answer.ids.back());
    EXPECT_EQ(again.messages, rest.messages);
    EXPECT_EQ(provider_.calls.size(), 1u);
  });
}

TEST_F(LegacyStreamsTest, ABrokenConnectionCancelsNothing) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    http::HttpClientRequest request = Request("POST", session, CallText("slow"));
    const std::string last = co_await ReadAndLeave(std::move(request), 2);
    provider_.gate = true;
    auto rest = co_await Resume(session, last);
    EXPECT_THAT(rest.messages, SizeIs(1));
    EXPECT_EQ(At(rest.messages.at(0), {"id"}), "5");
    EXPECT_EQ(provider_.cancelled, 0);
  });
}

TEST_F(LegacyStreamsTest, TheSessionsOwnStreamGoesOnWhereItBroke) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    const auto own = sessions_->List().at(0);
    own->outbox.Push(R"({"n":1})");
    http::HttpClientRequest request = Request("GET", session, "");
    const std::string last = co_await ReadAndLeave(std::move(request), 2);
    while (own->streams > 0) co_await Sleep(std::chrono::milliseconds(1));
    own->outbox.Push(R"({"n":2})");
    own->outbox.Close();
    auto rest = co_await Resume(session, last);
    EXPECT_THAT(rest.messages, ::testing::ElementsAre(R"({"n":2})"));
  });
}

TEST_F(LegacyStreamsTest, TwoStreamsOfOneSessionShareTheMessages) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    const auto own = sessions_->List().at(0);
    int ended = 0;
    size_t messages = 0;
    auto read = [](LegacyStreamsTest* test, std::string id, int& done,
                   size_t& count) -> Awaitable<void> {
      auto answer = co_await test->Resume(id, "");
      count += answer.messages.size();
      ++done;
    };
    for (int i = 0; i < 2; ++i) {
      boost::asio::co_spawn(io_, read(this, session, ended, messages),
                            [](std::exception_ptr e) { EXPECT_FALSE(e); });
    }
    while (own->streams < 2) co_await Sleep(std::chrono::milliseconds(1));
    for (int i = 0; i < 10; ++i) own->outbox.Push(R"({"n":1})");
    while (own->outbox.size() > 0) co_await Sleep(std::chrono::milliseconds(1));
    own->outbox.Close();
    while (ended < 2) co_await Sleep(std::chrono::milliseconds(1));
    EXPECT_EQ(messages, 10u);
  });
}

TEST_F(LegacyStreamsTest, AForgottenStreamIsAnErrorAndNoSilence) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    auto gone = co_await Resume(session, "00ff.p7.3");
    EXPECT_EQ(gone.status, 400);
    EXPECT_THAT(gone.body, HasSubstr("not kept"));
    // Another session's stream is none of this one's.
    const std::string other = co_await Initialize();
    auto answer = co_await Legacy(other, CallText("progress"));
    auto stolen = co_await Resume(session, answer.ids.at(0));
    EXPECT_EQ(stolen.status, 400);
  });
}

}  // namespace
}  // namespace metamcp::gateway
