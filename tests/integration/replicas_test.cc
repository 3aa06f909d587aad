// Two gateways and two connectors behind one catalog: any of them serves any request.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <array>

#include "common/db/testing.h"
#include "tests/support/event_stream.h"
#include "tests/support/gateway.h"
#include "tests/support/replicas.h"

namespace metamcp::testing {
namespace {

using std::chrono::seconds;

const Json kCanElicit = {{"elicitation", Json::object()}};

Json Accept(const std::string& name) {
  return {{"action", "accept"}, {"content", {{"name", name}}}};
}

std::string TextOf(const std::optional<Json>& answer) {
  if (!answer) return "no answer";
  return answer->value(Json::json_pointer("/result/content/0/text"), answer->dump());
}

std::string ReasonOf(const std::optional<Json>& answer) {
  if (!answer) return "no answer";
  return answer->value(Json::json_pointer("/error/data/reason"), answer->dump());
}

class ReplicasTest : public ::testing::TestWithParam<db::TestBackend> {
 protected:
  void SetUp() override {
    scratch_ = std::make_unique<db::ScratchDatabase>(GetParam());
    if (scratch_->url().empty()) {
      if (db::ScratchDatabase::PostgresRequired()) FAIL() << "no PostgreSQL";
      GTEST_SKIP() << "METAMCP_TEST_POSTGRES_URL is not set";
    }
    const Json asker = {{"command", BinaryPath("metamcp-fixture-stdio")},
                        {"args", {"--era", "legacy"}}};
    const Json servers = {{"ask", asker}, {"io", EchoServer("io")}, {"ni", EchoServer("ni")}};
    replicas_ = std::make_unique<Replicas>(scratch_->url(), servers);
    ASSERT_TRUE(replicas_->StartAll()) << replicas_->Log();
    ASSERT_TRUE(replicas_->WaitForTools({"ask__elicit", "io__who", "ni__who"})) << replicas_->Log();
    a_ = replicas_->mcp(0);
    b_ = replicas_->mcp(1);
  }
  void TearDown() override { replicas_.reset(); }

  // A modern call; with `state`, its retry.
  Json ModernCall(const std::string& url, const std::string& tool, const Json& responses = Json(),
                  const std::string& state = "") {
    Json params = {{"name", tool}, {"arguments", Json::object()}};
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28";
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = {
        {"elicitation", {{"form", Json::object()}}}};
    if (!state.empty()) {
      params["requestState"] = state;
      params["inputResponses"] = responses;
    }
    const Json message = {
        {"jsonrpc", "2.0"}, {"id", 1}, {"method", "tools/call"}, {"params", params}};
    EventStream stream(url, "POST",
                       {{"Accept", "application/json, text/event-stream"},
                        {"MCP-Protocol-Version", "2026-07-28"},
                        {"Mcp-Method", "tools/call"},
                        {"Mcp-Name", tool}},
                       message.dump());
    return stream.Find("").value_or(Json());
  }
  // The connector whose child runs `word`, or -1.
  int RunnerOf(const std::string& word) { return replicas_->RunnerOf(word); }

  std::unique_ptr<db::ScratchDatabase> scratch_;
  std::unique_ptr<Replicas> replicas_;
  std::string a_, b_;
};

TEST_P(ReplicasTest, ALegacySessionIsServedByWhicheverGatewayIsAsked) {
  RovingClient client(a_, "2025-11-25", kCanElicit);
  ASSERT_FALSE(client.session().empty());
  EXPECT_EQ(client.Notify(b_, "notifications/initialized"), 202);
  EXPECT_TRUE(client.Request(b_, "tools/list", Json::object()).Find("").has_value());

  // A question of a call at one is answered at the other, both ways round.
  for (const auto& [calls, answers] : {std::pair(a_, b_), std::pair(b_, a_)}) {
    EventStream call = client.CallTool(calls, "ask__elicit");
    const auto question = call.Find("elicitation/create");
    ASSERT_TRUE(question.has_value()) << replicas_->Log();
    EXPECT_EQ(client.Answer(answers, *question, Accept("Ann")), 202);
    EXPECT_THAT(TextOf(call.Find("")), ::testing::HasSubstr("Ann"));
  }

  // The stream of the session is where it began, wherever it is asked for; so is what goes on it.
  EventStream stream = client.Get(b_);
  ASSERT_EQ(stream.status(), 200) << replicas_->Log();
  const Json uri = {{"uri", "test://one"}};
  EXPECT_EQ(client.Request(b_, "resources/subscribe", uri).Find("")->count("result"), 1u);
  EXPECT_EQ(TextOf(client.CallTool(b_, "ask__update").Find("")), "updated");
  EXPECT_TRUE(stream.Find("notifications/resources/updated").has_value()) << replicas_->Log();
  const std::string last = stream.last_id();
  stream.Close();
  EXPECT_EQ(TextOf(client.CallTool(a_, "ask__update").Find("")), "updated");
  EventStream again = client.Get(b_, last);
  EXPECT_TRUE(again.Find("notifications/resources/updated").has_value()) << replicas_->Log();
  EXPECT_EQ(client.Request(b_, "resources/unsubscribe", uri).Find("")->count("result"), 1u);

  EXPECT_EQ(client.Delete(b_), 204);
  EXPECT_TRUE(again.Ends());
  for (const std::string& url : {a_, b_}) {
    EXPECT_EQ(client.Request(url, "tools/list", Json::object()).status(), 404);
    EXPECT_EQ(client.Get(url).status(), 404);
    EXPECT_EQ(client.Delete(url), 404);
  }
}

TEST_P(ReplicasTest, ACallIsCancelledAndTakenUpAgainAtTheOtherGateway) {
  RovingClient client(a_, "2025-11-25", kCanElicit);
  EventStream silent = client.CallTool(a_, "ask__silence");
  const int64_t id = client.last_request();
  ASSERT_EQ(silent.status(), 200);  // after a second it has a stream
  EXPECT_EQ(client.Notify(b_, "notifications/cancelled", {{"requestId", id}}), 202);
  EXPECT_TRUE(silent.Ends()) << replicas_->Log();

  EventStream call = client.CallTool(a_, "ask__elicit");
  const auto question = call.Find("elicitation/create");
  ASSERT_TRUE(question.has_value());
  const std::string last = call.last_id();
  call.Close();
  EXPECT_EQ(client.Answer(b_, *question, Accept("Bob")), 202);
  EventStream rest = client.Get(b_, last);
  EXPECT_THAT(TextOf(rest.Find("")), ::testing::HasSubstr("Bob")) << replicas_->Log();
}

TEST_P(ReplicasTest, TheLogLevelFollowsTheSession) {
  RovingClient client(a_);
  EXPECT_TRUE(client.CallTool(b_, "ask__log").Find("").has_value());  // known there before
  const Json level = {{"level", "debug"}};
  EXPECT_EQ(client.Request(a_, "logging/setLevel", level).Find("")->count("result"), 1u);
  EventStream call = client.CallTool(b_, "ask__log");
  EXPECT_TRUE(call.Find("notifications/message").has_value()) << replicas_->Log();
}

TEST_P(ReplicasTest, MessagesOfAnSseStreamReachItFromTheOtherGateway) {
  const auto at = [](const std::string& mcp, const std::string& path) {
    return mcp.substr(0, mcp.rfind("/mcp")) + path;
  };
  EventStream stream(at(a_, "/sse"), "GET", {{"Accept", "text/event-stream"}});
  const std::string endpoint = stream.NextText().value_or("");
  ASSERT_EQ(endpoint.rfind("/", 0), 0u) << endpoint << replicas_->Log();
  const auto post = [&](const std::string& url, const Json& message) {
    return EventStream(at(url, endpoint), "POST", {}, message.dump()).status();
  };
  const Json hello = {{"jsonrpc", "2.0"},
                      {"id", 1},
                      {"method", "initialize"},
                      {"params",
                       {{"protocolVersion", "2024-11-05"},
                        {"capabilities", Json::object()},
                        {"clientInfo", {{"name", "sse"}, {"version", "1"}}}}}};
  EXPECT_EQ(post(b_, hello), 202) << replicas_->Log();
  EXPECT_TRUE(stream.Find("").has_value());
  const Json call = {{"jsonrpc", "2.0"},
                     {"id", 2},
                     {"method", "tools/call"},
                     {"params", {{"name", "io__echo"}, {"arguments", {{"text", "through both"}}}}}};
  EXPECT_EQ(post(b_, call), 202);
  EXPECT_EQ(TextOf(stream.Find("")), "through both");
  EXPECT_EQ(EventStream(at(b_, endpoint), "POST", {}, "no JSON").status(), 400);
  replicas_->KillGateway(0);
  EXPECT_TRUE(Eventually(kPatience, [&] { return post(b_, call) == 404; }));
}

TEST_P(ReplicasTest, AModernRetryReachesTheConnectorThatHoldsTheCall) {
  for (const auto& [first, second] : {std::pair(a_, b_), std::pair(b_, a_)}) {
    const Json asked = ModernCall(first, "ask__elicit");
    ASSERT_EQ(asked.value(Json::json_pointer("/result/resultType"), ""), "input_required")
        << asked << replicas_->Log();
    const std::string state = asked["result"]["requestState"];
    const std::string key = asked["result"]["inputRequests"].begin().key();
    const Json responses = {{key, Accept("Cat")}};
    const Json done = ModernCall(second, "ask__elicit", responses, state);
    EXPECT_THAT(TextOf(done), ::testing::HasSubstr("Cat"));
    // The answer is kept for a client that lost it, wherever it asks; other answers are refused.
    EXPECT_EQ(ModernCall(first, "ask__elicit", responses, state), done);
    const Json other = {{key, Accept("Dog")}};
    EXPECT_EQ(ReasonOf(ModernCall(first, "ask__elicit", other, state)), "STATE_INVALID");
  }
}

TEST_P(ReplicasTest, AnUpstreamRunsOnceAndElsewhereWhenItsConnectorIsKilled) {
  std::array<int, 2> runs{};
  for (const char* name : {"io", "ni"}) {
    const int runner = RunnerOf(name);
    ASSERT_GE(runner, 0) << name << replicas_->Log();
    ++runs[runner];
    EXPECT_EQ(replicas_->ChildrenThatRun(name), 1u);
  }
  const Json asked = ModernCall(a_, "ask__elicit");
  ASSERT_EQ(asked.value(Json::json_pointer("/result/resultType"), ""), "input_required") << asked;
  const std::string state = asked["result"]["requestState"];
  const std::string key = asked["result"]["inputRequests"].begin().key();
  const int victim = RunnerOf("metamcp-fixture-stdio");
  ASSERT_GE(victim, 0);
  replicas_->KillConnector(victim);

  // The call that waited there is lost and says so; nothing is executed a second time.
  const Json lost = ModernCall(b_, "ask__elicit", {{key, Accept("Eve")}}, state);
  EXPECT_EQ(ReasonOf(lost), "CALL_OWNER_LOST") << lost << replicas_->Log();
  EXPECT_EQ(lost.value(Json::json_pointer("/error/code"), 0), -32603);
  // Everything runs at the other one before long, once.
  for (const std::string& url : {a_, b_}) {
    for (const std::string tool : {"io__echo", "ni__echo"}) {
      EXPECT_TRUE(Eventually(kPatience,
                             [&] {
                               McpClient client(url, ClientEra::kModern);
                               return client.CallText(tool, {{"text", "hello"}}) == "hello";
                             }))
          << url << tool << replicas_->Log();
    }
  }
  for (const char* word : {"io", "ni", "metamcp-fixture-stdio"}) {
    EXPECT_TRUE(Eventually(kPatience, [&] { return RunnerOf(word) == 1 - victim; })) << word;
    EXPECT_EQ(replicas_->ChildrenThatRun(word), 1u);
  }
  const Json fresh = ModernCall(b_, "ask__elicit");
  EXPECT_EQ(fresh.value(Json::json_pointer("/result/resultType"), ""), "input_required") << fresh;
  // And the lost one is still lost now that its connector is known to be gone.
  const Json still = ModernCall(a_, "ask__elicit", {{key, Accept("Eve")}}, state);
  EXPECT_EQ(ReasonOf(still), "CALL_OWNER_LOST") << still;
}

TEST_P(ReplicasTest, AKilledGatewayTakesItsStreamsAndNothingElse) {
  RovingClient client(a_, "2025-11-25", kCanElicit);
  RovingClient other(b_, "2025-11-25", kCanElicit);
  EventStream stream = client.Get(b_);
  ASSERT_EQ(stream.status(), 200);
  EventStream others = other.Get(b_);
  ASSERT_EQ(others.status(), 200);
  EventStream call = client.CallTool(a_, "ask__elicit");
  const auto question = call.Find("elicitation/create");
  ASSERT_TRUE(question.has_value());
  const std::string last = call.last_id();
  replicas_->KillGateway(0);

  EXPECT_TRUE(call.Ends());
  EXPECT_TRUE(stream.Ends());
  // What was there is gone: at once or when its lease has run out, never by silence.
  const auto gone = [](int status) { return status == 503 || status == 404; };
  EXPECT_PRED1(gone, client.Get(b_).status());
  EXPECT_PRED1(gone, client.Answer(b_, *question, Accept("Fay")));
  EXPECT_TRUE(Eventually(kPatience, [&] { return client.Get(b_).status() == 404; }));
  EXPECT_EQ(client.Get(b_, last).status(), 404);
  EXPECT_EQ(client.Answer(b_, *question, Accept("Fay")), 404);
  const Json uri = {{"uri", "test://one"}};
  EXPECT_EQ(client.Request(b_, "resources/subscribe", uri).status(), 404);
  // Calls need nothing that was there, and others notice nothing.
  EXPECT_EQ(TextOf(client.CallTool(b_, "io__echo", {{"text", "still"}}).Find("")), "still");
  EventStream asks = other.CallTool(b_, "ask__elicit");
  const auto second = asks.Find("elicitation/create");
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(other.Answer(b_, *second, Accept("Gil")), 202);
  EXPECT_THAT(TextOf(asks.Find("")), ::testing::HasSubstr("Gil"));
  EXPECT_EQ(other.Request(b_, "resources/subscribe", uri).Find("")->count("result"), 1u);
  EXPECT_EQ(TextOf(other.CallTool(b_, "ask__update").Find("")), "updated");
  EXPECT_TRUE(others.Find("notifications/resources/updated").has_value());

  // One that comes back at the same address is another one.
  ASSERT_TRUE(replicas_->StartGateway(0)) << replicas_->Log();
  EXPECT_EQ(client.Get(replicas_->mcp(0)).status(), 404);
  EXPECT_EQ(TextOf(other.CallTool(replicas_->mcp(0), "io__echo", {{"text", "x"}}).Find("")), "x");
}

TEST_P(ReplicasTest, AKeyIsRotatedUnderAllOfThem) {
  const auto status = [](RovingClient& client, const std::string& url) {
    return client.Request(url, "ping", Json::object()).status();
  };
  RovingClient before(a_);
  const Json old = Json::parse(ReadFile(replicas_->keys_file()))["keys"][0];
  const Json fresh = {{"kid", "fresh"}, {"key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}};
  replicas_->WriteKeys({old, fresh});
  EXPECT_EQ(status(before, b_), 200);
  replicas_->WriteKeys({fresh, old});
  // An id begins with a version and the name of its key.
  const std::string sealed_by_it = "AQVmcmVza";
  for (const auto& [made, used] : {std::pair(a_, b_), std::pair(b_, a_)}) {
    EXPECT_TRUE(Eventually(kPatience, [&] {
      RovingClient after(made);
      return after.session().rfind(sealed_by_it, 0) == 0 && status(after, used) == 200;
    })) << replicas_->Log();
    EXPECT_EQ(status(before, used), 200);
  }
}

TEST_P(ReplicasTest, AnEndedSessionStaysEndedAfterARestartOfEverything) {
  RovingClient client(a_);
  RovingClient kept(a_);
  EXPECT_EQ(client.Delete(b_), 204);
  replicas_->KillGateway(0);
  replicas_->KillGateway(1);
  ASSERT_TRUE(replicas_->StartGateway(0)) << replicas_->Log();
  const std::string url = replicas_->mcp(0);
  EXPECT_EQ(client.Request(url, "ping", Json::object()).status(), 404);
  EXPECT_EQ(kept.Request(url, "ping", Json::object()).status(), 200);
}

INSTANTIATE_TEST_SUITE_P(Databases, ReplicasTest,
                         ::testing::Values(db::TestBackend::kSqliteFile,
                                           db::TestBackend::kPostgres),
                         db::BackendName);

}  // namespace
}  // namespace metamcp::testing
