// Who shares a session with whom, who may answer a question, and how odd servers are spoken to.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "services/connector/upstream_fixture.h"

namespace metamcp::connector {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class IsolationTest : public UpstreamFixture {
 protected:
  std::shared_ptr<Upstream> Ready(catalog_pb::Upstream desired) {
    auto upstream = Start(std::move(desired));
    EXPECT_TRUE(UntilState(*upstream, "ready")) << upstream->status().ShortDebugString();
    return upstream;
  }
  static pb::CallRequest Elicit(const Upstream& upstream, const std::string& affinity) {
    pb::CallRequest request = Tool(upstream, "elicit");
    request.set_client_capabilities(R"({"elicitation":{}})");
    request.set_affinity(affinity);
    return request;
  }
  // The request that answers `asked`.
  static pb::CallRequest Answer(pb::CallRequest request, const RunningCall& asked,
                                const std::string& name) {
    const Json question = Json::parse(asked.sink.result);
    Json answers;
    answers[question["inputRequests"].begin().key()] = {{"action", "accept"},
                                                        {"content", {{"name", name}}}};
    request.set_input_responses(answers.dump());
    request.set_has_request_state(true);
    request.set_request_state(question["requestState"].get<std::string>());
    return request;
  }
};

TEST_F(IsolationTest, AParkedCallSharesTheFateOfItsOwnSessionOnly) {
  auto desired = Stdio("one", {"--era", "legacy"});
  desired.mutable_spec()->set_isolation("session");
  auto upstream = Ready(desired);
  auto asked = Finish(*upstream, Elicit(*upstream, "a"));
  ASSERT_EQ(asked->sink.kind, pb::RESULT_KIND_INPUT_REQUIRED) << asked->status;
  const int pid = upstream->status().pid();
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_TRUE(Until([&] { return upstream->status().state() != "ready"; }));
  // Also while the main session is away.
  auto done = Finish(*upstream, Answer(Elicit(*upstream, "a"), *asked, "Ada"));
  EXPECT_THAT(done->sink.result, HasSubstr("Ada")) << done->status;
  ASSERT_TRUE(Until(
      [&] { return upstream->status().state() == "ready" && upstream->status().pid() != pid; }));
}

TEST_F(IsolationTest, AParkedCallOfALostSessionIsToldSo) {
  auto upstream = Ready(Stdio("one", {"--era", "legacy"}));
  auto asked = Finish(*upstream, Elicit(*upstream, "a"));
  ASSERT_EQ(asked->sink.kind, pb::RESULT_KIND_INPUT_REQUIRED) << asked->status;
  const int pid = upstream->status().pid();
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_TRUE(Until(
      [&] { return upstream->status().state() == "ready" && upstream->status().pid() != pid; }));
  auto lost = Finish(*upstream, Answer(Elicit(*upstream, "a"), *asked, "Ada"));
  EXPECT_EQ(Reason(lost->status), "UPSTREAM_LOST");
  EXPECT_EQ(Domain(lost->status), "upstream:one");
}

TEST_F(IsolationTest, AStateWorksOnceForItsOwnerAndItsCallOnly) {
  auto upstream = Ready(Stdio("one", {"--era", "legacy"}));
  auto asked = Finish(*upstream, Elicit(*upstream, "a"));
  ASSERT_EQ(asked->sink.kind, pb::RESULT_KIND_INPUT_REQUIRED) << asked->status;
  EXPECT_EQ(upstream->parked(), 1);
  const pb::CallRequest good = Answer(Elicit(*upstream, "a"), *asked, "Ada");
  pb::CallRequest bad = good;
  bad.set_affinity("b");
  EXPECT_EQ(Reason(Finish(*upstream, bad)->status), "STATE_INVALID");
  bad = good;
  bad.set_params(R"({"name":"elicit","arguments":{"more":1}})");
  EXPECT_EQ(Reason(Finish(*upstream, bad)->status), "STATE_INVALID");
  bad = good;
  bad.mutable_request_state()->back() ^= 1;
  EXPECT_EQ(Reason(Finish(*upstream, bad)->status), "STATE_INVALID");
  bad = good;
  bad.set_request_state("");
  EXPECT_EQ(Reason(Finish(*upstream, bad)->status), "STATE_INVALID");
  bad = good;
  bad.set_input_responses(R"({"r1_1":"text"})");
  EXPECT_EQ(Reason(Finish(*upstream, bad)->status), "INVALID_PARAMS");
  auto answered = Finish(*upstream, good);
  ASSERT_TRUE(answered->status.ok()) << answered->status;
  EXPECT_THAT(answered->sink.result, HasSubstr("Ada"));
  // The same again (its connection may have broken) gets the same; other answers do not.
  EXPECT_EQ(Finish(*upstream, good)->sink.result, answered->sink.result);
  EXPECT_EQ(Reason(Finish(*upstream, Answer(Elicit(*upstream, "a"), *asked, "Eve"))->status),
            "STATE_INVALID");
  EXPECT_EQ(upstream->parked(), 0);
}

TEST_F(IsolationTest, AnAbandonedCallIsCancelledAtOnceAndOnlyByItsOwner) {
  auto upstream = Ready(Stdio("one", {"--era", "legacy"}));
  auto asked = Finish(*upstream, Elicit(*upstream, "a"));
  ASSERT_EQ(upstream->parked(), 1) << asked->status;
  pb::CallRequest abandon = Answer(Elicit(*upstream, "b"), *asked, "Ada");
  abandon.set_abandon(true);
  EXPECT_EQ(Reason(Finish(*upstream, abandon)->status), "STATE_INVALID");
  abandon.set_affinity("a");
  EXPECT_EQ(Finish(*upstream, abandon)->sink.result, "{}");
  EXPECT_EQ(upstream->parked(), 0);
  EXPECT_EQ(Reason(Finish(*upstream, abandon)->status), "STATE_INVALID");
  const pb::CallRequest late = Answer(Elicit(*upstream, "a"), *asked, "Ada");
  EXPECT_EQ(Reason(Finish(*upstream, late)->status), "STATE_INVALID");
}

TEST_F(IsolationTest, ARefusalReachesALegacyUpstreamAndEndsAModernCall) {
  auto legacy = Ready(Stdio("one", {"--era", "legacy"}));
  auto asked = Finish(*legacy, Elicit(*legacy, "a"));
  pb::CallRequest refusal = Answer(Elicit(*legacy, "a"), *asked, "Ada");
  const std::string key = Json::parse(asked->sink.result)["inputRequests"].begin().key();
  const Json refused = {{key, {{"error", {{"code", -1}, {"message", "the user said no"}}}}}};
  refusal.set_input_responses(refused.dump());
  auto ended = Finish(*legacy, refusal);
  ASSERT_TRUE(ended->status.ok()) << ended->status;
  EXPECT_EQ(legacy->parked(), 0);

  auto modern = Ready(Stdio("two", {"--era", "modern"}));
  pb::CallRequest call = Elicit(*modern, "a");
  call.set_input_responses(refused.dump());
  auto failed = Finish(*modern, call);
  EXPECT_EQ(Reason(failed->status), "UPSTREAM_ERROR");
  EXPECT_THAT(std::string(failed->status.message()), HasSubstr("the user said no"));
}

TEST_F(IsolationTest, MissingAnswersAreAskedForAgain) {
  auto upstream = Ready(Stdio("one", {"--era", "legacy"}));
  auto asked = Finish(*upstream, Elicit(*upstream, "a"));
  pb::CallRequest empty = Answer(Elicit(*upstream, "a"), *asked, "x");
  empty.set_input_responses(R"({"other":{}})");
  auto again = Finish(*upstream, empty);
  ASSERT_EQ(again->sink.kind, pb::RESULT_KIND_INPUT_REQUIRED) << again->status;
  auto answered = Finish(*upstream, Answer(Elicit(*upstream, "a"), *again, "Ada"));
  EXPECT_THAT(answered->sink.result, HasSubstr("Ada"));
}

TEST_F(IsolationTest, AnAmbiguousQuestionIsRefusedAndFromThenOnCallsTakeTurns) {
  RecordProperty("req", "M02-AD-1");
  auto upstream = Ready(Stdio("one", {"--era", "legacy"}));
  auto slow = Begin(*upstream, Tool(*upstream, "slow", R"({"ms":300})"));
  ASSERT_TRUE(Until([&] { return upstream->in_flight() == 1; }));
  auto refused = Finish(*upstream, Elicit(*upstream, "a"));
  EXPECT_THAT(refused->sink.result, HasSubstr("cancel"));
  ASSERT_TRUE(Until([&] { return slow->done; }));
  EXPECT_EQ(upstream->instances(), 1);
  // Two principals at once now have a process each, and each gets its own question.
  auto first = Begin(*upstream, Elicit(*upstream, "a"));
  auto second = Begin(*upstream, Elicit(*upstream, "b"));
  ASSERT_TRUE(Until([&] { return first->done && second->done; }));
  EXPECT_EQ(first->sink.kind, pb::RESULT_KIND_INPUT_REQUIRED) << first->status;
  EXPECT_EQ(second->sink.kind, pb::RESULT_KIND_INPUT_REQUIRED) << second->status;
  EXPECT_EQ(upstream->instances(), 3);
  auto answered = Finish(*upstream, Answer(Elicit(*upstream, "b"), *second, "Bob"));
  EXPECT_THAT(answered->sink.result, HasSubstr("Bob"));
}

TEST_F(IsolationTest, ACallWithoutCapabilityIsNeverAsked) {
  auto upstream = Ready(Stdio("one", {"--era", "legacy"}));
  auto call = Finish(*upstream, Tool(*upstream, "elicit"));
  EXPECT_EQ(call->sink.kind, pb::RESULT_KIND_COMPLETE);
  EXPECT_THAT(call->sink.result, HasSubstr("cancel"));
  EXPECT_TRUE(Finish(*upstream, Tool(*upstream, "abandon"))->status.ok());
}

TEST_F(IsolationTest, SessionsAreSeparateWhereConfigured) {
  auto desired = Stdio("one", {"--era", "legacy"});
  desired.mutable_spec()->set_isolation("session");
  auto upstream = Ready(desired);
  pb::CallRequest request = Tool(*upstream, "echo");
  for (const char* affinity : {"a", "b", "a"}) {
    request.set_affinity(affinity);
    EXPECT_TRUE(Finish(*upstream, request)->status.ok());
  }
  EXPECT_EQ(upstream->instances(), 3);
}

TEST_F(IsolationTest, ServersThatDieOfTheProbeAreStartedAgain) {
  auto upstream = Ready(Stdio("one", {"--era", "legacy", "--strict"}));
  EXPECT_EQ(upstream->status().era(), "legacy");
  EXPECT_TRUE(Finish(*upstream, Tool(*upstream, "echo"))->status.ok());
}

TEST_F(IsolationTest, APinnedEraIsNotProbed) {
  auto desired = Stdio("one", {"--era", "dual"});
  desired.mutable_spec()->set_era("legacy");
  EXPECT_EQ(Ready(desired)->status().era(), "legacy");
  desired = Stdio("two", {"--era", "legacy"});
  desired.mutable_spec()->set_era("modern");
  auto wrong = Start(desired);
  ASSERT_TRUE(Until([&] { return !wrong->status().detail().empty(); }));
  EXPECT_THAT(wrong->status().detail(), HasSubstr("server/discover"));
}

TEST_F(IsolationTest, ACrashAndAnEndlessLineAreAttributedAndOverSoon) {
  RecordProperty("req", "M02-SM-2 M02-RISK-1");
  auto upstream = Ready(Stdio("one", {"--era", "legacy"}));
  auto call = Finish(*upstream, Tool(*upstream, "crash"));
  EXPECT_EQ(Reason(call->status), "UPSTREAM_LOST");
  EXPECT_THAT(std::string(call->status.message()), HasSubstr("code 7"));
  ASSERT_TRUE(UntilState(*upstream, "ready"));
  call = Finish(*upstream, Tool(*upstream, "endless"));
  EXPECT_EQ(Reason(call->status), "UPSTREAM_PROTOCOL");
  EXPECT_EQ(Domain(call->status), "upstream:one");
  ASSERT_TRUE(UntilState(*upstream, "ready"));
  EXPECT_TRUE(Finish(*upstream, Tool(*upstream, "echo"))->status.ok());
}

TEST_F(IsolationTest, HangingAndStubbornServersDoNotHoldUpTheStop) {
  RecordProperty("req", "M-RISK-1.m");
  auto mute = Start(Stdio("mute", {"--mute"}));
  auto stubborn = Ready(Stdio("stubborn", {"--ignore-eof"}));
  const int pid = stubborn->status().pid();
  AwaitVoid(io_, mute->Stop());
  AwaitVoid(io_, stubborn->Stop());
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(IsolationTest, TheConcurrencyBoundQueuesTheRest) {
  RecordProperty("req", "M02-RISK-4");
  auto desired = Stdio("one", {"--era", "legacy"});
  desired.mutable_spec()->set_concurrency(2);
  core_.queued_calls_max = 256;
  auto upstream = Ready(desired);
  std::vector<std::shared_ptr<RunningCall>> calls;
  for (int i = 0; i < 300; ++i) calls.push_back(Begin(*upstream, Tool(*upstream, "silence")));
  ASSERT_TRUE(Until([&] { return upstream->queued() == 256; }));
  EXPECT_EQ(upstream->in_flight(), 2);
  const auto full = [&] {
    int count = 0;
    for (const auto& call : calls) count += call->done && Reason(call->status) == "QUEUE_FULL";
    return count;
  };
  EXPECT_TRUE(Until([&] { return full() == 300 - 256 - 2; })) << full();
  upstream->Restart();
  AwaitVoid(io_, upstream->Stop());
  for (const auto& call : calls) ASSERT_TRUE(Until([&] { return call->done; }));
}

}  // namespace
}  // namespace metamcp::connector
