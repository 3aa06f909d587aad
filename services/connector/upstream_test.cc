#include "services/connector/upstream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "services/connector/upstream_fixture.h"

namespace metamcp::connector {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

std::string TextOf(const RunningCall& call) {
  const Json result = Json::parse(call.sink.result, nullptr, false);
  if (!result.is_object() || !result.contains("content") || result["content"].empty()) {
    return "no text: " + call.sink.result + call.sink.error.ShortDebugString() +
           call.status.ToString();
  }
  return result["content"][0]["text"];
}

std::string LogOf(const Upstream& upstream) {
  std::string all;
  for (const auto& line : upstream.log().Newest(100)) all += "\n" + line.text;
  return all;
}

class StdioUpstreamTest : public UpstreamFixture,
                          public ::testing::WithParamInterface<const char*> {
 protected:
  std::shared_ptr<Upstream> Ready(std::vector<std::string> args = {}) {
    args.insert(args.begin(), {"--era", GetParam()});
    auto upstream = Start(Stdio("one", args));
    EXPECT_TRUE(UntilState(*upstream, "ready")) << upstream->status().ShortDebugString();
    return upstream;
  }
  static bool legacy() { return std::string(GetParam()) == "legacy"; }
};

INSTANTIATE_TEST_SUITE_P(Eras, StdioUpstreamTest, ::testing::Values("legacy", "modern"));

TEST_P(StdioUpstreamTest, ConnectsAndFindsOutWhatIsOffered) {
  RecordProperty("req", "M-FR-002.1 M02-US-001.1 M-AC-5.2.1 M02-TR-1.4");
  auto upstream = Ready();
  EXPECT_EQ(upstream->status().era(), GetParam());
  EXPECT_EQ(upstream->status().protocol_version(), legacy() ? "2025-11-25" : "2026-07-28");
  EXPECT_GT(upstream->status().pid(), 1);
  ASSERT_TRUE(Until([&] { return upstream->status().prompts() == 1; }));
  EXPECT_EQ(upstream->status().tools(), 20);
  EXPECT_EQ(upstream->status().resources(), 1);
  EXPECT_EQ(upstream->status().templates(), 1);
  EXPECT_EQ(upstream->status().instructions(), "be kind");
  const auto report = upstream->TakeReport();
  EXPECT_EQ(report.lists_size(), 4);
  EXPECT_TRUE(report.status().reachable());
  EXPECT_EQ(upstream->TakeReport().lists_size(), 0);
}

TEST_P(StdioUpstreamTest, CallsComeBackInTheCanonicalShape) {
  auto upstream = Ready();
  auto call = Finish(*upstream, Tool(*upstream, "echo", R"({"a": 1})"));
  ASSERT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(call->sink.kind, pb::RESULT_KIND_COMPLETE);
  EXPECT_EQ(Json::parse(call->sink.result)["resultType"], "complete");
  EXPECT_EQ(TextOf(*call), R"({"a":1})");
}

TEST_P(StdioUpstreamTest, ParametersWithLineBreaksStayOneMessage) {
  auto upstream = Ready();
  pb::CallRequest request = Tool(*upstream, "echo");
  request.set_params("{\n \"name\":\"echo\",\r\n \"arguments\":{\"x\":\"\\n\"}\n}\n");
  auto call = Finish(*upstream, request);
  EXPECT_EQ(TextOf(*call), R"({"x":"\n"})");
}

TEST_P(StdioUpstreamTest, HundredCallsAtOnceGetTheirOwnAnswers) {
  RecordProperty("req", "M-FR-002.5 M02-SM-2");
  auto upstream = Ready();
  std::vector<std::shared_ptr<RunningCall>> calls;
  for (int i = 0; i < 100; ++i) {
    calls.push_back(Begin(*upstream, Tool(*upstream, "echo", "{\"n\":" + std::to_string(i) + "}")));
  }
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Until([&] { return calls[i]->done; }));
    EXPECT_EQ(TextOf(*calls[i]), "{\"n\":" + std::to_string(i) + "}");
  }
}

TEST_P(StdioUpstreamTest, ProgressAndLogsReachTheirCall) {
  auto upstream = Ready();
  pb::CallRequest request = Tool(*upstream, "progress", R"({"steps":3})");
  request.set_wants_progress(true);
  auto call = Finish(*upstream, request);
  ASSERT_EQ(call->sink.progress.size(), 3u);
  EXPECT_EQ(Json::parse(call->sink.progress[2]), Json::parse(R"({"message":"step","progress":3})"));
  request = Tool(*upstream, "log");
  request.set_log_level("info");
  EXPECT_EQ(Finish(*upstream, request)->sink.logs.size(), 1u);
  request.set_log_level("error");
  EXPECT_EQ(Finish(*upstream, request)->sink.logs.size(), 0u);
  request.clear_log_level();
  EXPECT_EQ(Finish(*upstream, request)->sink.logs.size(), 0u);
}

TEST_P(StdioUpstreamTest, ErrorsOfTheUpstreamArePassedOn) {
  auto upstream = Ready();
  auto call = Finish(*upstream, Tool(*upstream, "fail", R"({"code":-32050})"));
  ASSERT_TRUE(call->status.ok());
  EXPECT_EQ(call->sink.error.code(), -32050);
  EXPECT_EQ(call->sink.error.message(), "no luck");
  EXPECT_EQ(call->sink.error.data(), R"({"why":"asked"})");
  pb::CallRequest read;
  read.set_upstream_id(upstream->id());
  read.set_method("resources/read");
  read.set_target("test://missing");
  read.set_params(R"({"uri":"test://missing"})");
  EXPECT_EQ(Finish(*upstream, read)->sink.error.code(), -32602);
}

TEST_P(StdioUpstreamTest, HugeResultsComeInChunks) {
  auto upstream = Ready();
  auto call = Finish(*upstream, Tool(*upstream, "huge", R"({"bytes":3000000})"));
  ASSERT_TRUE(call->sink.finished);
  EXPECT_GT(call->sink.chunks, 10);
  EXPECT_EQ(TextOf(*call).size(), 3000000u);
}

TEST_P(StdioUpstreamTest, AResultOverTheLimitIsRefused) {
  core_.result_bytes_max = 100000;
  auto upstream = Ready();
  auto call = Finish(*upstream, Tool(*upstream, "huge", R"({"bytes":100001})"));
  EXPECT_EQ(Reason(call->status), "UPSTREAM_RESULT_TOO_LARGE");
  EXPECT_EQ(Domain(call->status), "upstream:one");
}

TEST_P(StdioUpstreamTest, KillingTheChildFailsEveryCallAtOnceAndItComesBack) {
  RecordProperty("req", "M02-SM-2 M-AC-5.2.3 M-FR-002.4 M02-RISK-1");
  auto upstream = Ready();
  auto other = Start(Stdio("two", {"--era", GetParam()}));
  ASSERT_TRUE(UntilState(*other, "ready"));
  std::vector<std::shared_ptr<RunningCall>> calls;
  for (int i = 0; i < 20; ++i) {
    calls.push_back(Begin(*upstream, Tool(*upstream, "slow", R"({"ms":60000})")));
  }
  auto bystander = Begin(*other, Tool(*other, "slow", R"({"ms":300})"));
  ASSERT_TRUE(Until([&] { return upstream->in_flight() >= 20; }));
  const int pid = upstream->status().pid();
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  for (const auto& call : calls) {
    ASSERT_TRUE(Until([&] { return call->done; }));
    EXPECT_EQ(Reason(call->status), "UPSTREAM_LOST");
    EXPECT_EQ(Domain(call->status), "upstream:one");
  }
  ASSERT_TRUE(Until([&] { return bystander->done; }));
  EXPECT_EQ(TextOf(*bystander), "slept");
  ASSERT_TRUE(Until(
      [&] { return upstream->status().state() == "ready" && upstream->status().pid() != pid; }));
  EXPECT_EQ(TextOf(*Finish(*upstream, Tool(*upstream, "echo"))), "{}");
}

TEST_P(StdioUpstreamTest, MalformedAnswersHurtOnlyTheirCall) {
  RecordProperty("req", "M02-TR-2.3");
  auto upstream = Ready();
  for (const char* tool : {"broken", "wrong_id"}) {
    auto call = Finish(*upstream, Tool(*upstream, tool));
    EXPECT_EQ(Reason(call->status), "UPSTREAM_PROTOCOL") << tool;
    EXPECT_EQ(Domain(call->status), "upstream:one");
  }
  EXPECT_EQ(TextOf(*Finish(*upstream, Tool(*upstream, "duplicate_id"))), "first");
  EXPECT_EQ(TextOf(*Finish(*upstream, Tool(*upstream, "echo"))), "{}");
}

TEST_P(StdioUpstreamTest, AnAnswerToNobodyFailsNoneOfSeveralCalls) {
  auto upstream = Ready();
  auto slow = Begin(*upstream, Tool(*upstream, "slow", R"({"ms":200})"));
  ASSERT_TRUE(Until([&] { return upstream->in_flight() > 0; }));
  EXPECT_EQ(TextOf(*Finish(*upstream, Tool(*upstream, "wrong_id"))), "right");
  ASSERT_TRUE(Until([&] { return slow->done; }));
  EXPECT_EQ(TextOf(*slow), "slept");
}

TEST_P(StdioUpstreamTest, AChildThatOnlyBabblesIsStartedAgain) {
  RecordProperty("req", "M02-TR-2.3");
  auto upstream = Ready();
  const int pid = upstream->status().pid();
  auto call = Finish(*upstream, Tool(*upstream, "babble"));
  EXPECT_EQ(Reason(call->status), "UPSTREAM_PROTOCOL");
  ASSERT_TRUE(Until([&] {
    return upstream->status().state() == "ready" && upstream->status().pid() != pid;
  })) << upstream->status().ShortDebugString()
      << LogOf(*upstream);
  EXPECT_THAT(LogOf(*upstream), HasSubstr("messages in a row that are not JSON-RPC"));
  EXPECT_EQ(TextOf(*Finish(*upstream, Tool(*upstream, "echo"))), "{}");
}

TEST_P(StdioUpstreamTest, AnEndlessLineEndsItsProcessWithoutGrace) {
  auto upstream = Ready();
  const int pid = upstream->status().pid();
  auto call = Finish(*upstream, Tool(*upstream, "endless"));
  EXPECT_EQ(Reason(call->status), "UPSTREAM_PROTOCOL");
  EXPECT_TRUE(Until([&] { return Gone(pid); }));
  ASSERT_TRUE(Until(
      [&] { return upstream->status().state() == "ready" && upstream->status().pid() != pid; }));
}

TEST_P(StdioUpstreamTest, InitializingIsSeenBetweenConnectAndReady) {
  RecordProperty("req", "M-AC-5.2.1");
  auto upstream = Start(Stdio("one", {"--mute"}));
  EXPECT_TRUE(UntilState(*upstream, "initializing"));
  EXPECT_FALSE(upstream->status().reachable());
}

TEST_P(StdioUpstreamTest, SilenceEndsInATimeoutThatNamesTheUpstream) {
  auto desired = Stdio("one", {"--era", GetParam()});
  (*desired.mutable_spec()->mutable_tool_timeouts_ms())["silence"] = 50;
  auto upstream = Start(desired);
  ASSERT_TRUE(UntilState(*upstream, "ready"));
  auto call = Finish(*upstream, Tool(*upstream, "silence"));
  EXPECT_EQ(Reason(call->status), "UPSTREAM_TIMEOUT");
  EXPECT_EQ(Domain(call->status), "upstream:one");
  EXPECT_THAT(TextOf(*Finish(*upstream, Tool(*upstream, "cancelled"))), HasSubstr("\""));
}

TEST_P(StdioUpstreamTest, ProgressKeepsASlowCallAlive) {
  auto desired = Stdio("one", {"--era", GetParam()});
  desired.mutable_spec()->set_timeout_ms(400);
  auto upstream = Start(desired);
  ASSERT_TRUE(UntilState(*upstream, "ready"));
  pb::CallRequest request = Tool(*upstream, "progress", R"({"steps":12,"ms":60})");
  request.set_wants_progress(true);
  EXPECT_EQ(TextOf(*Finish(*upstream, request)), "done");
}

TEST_P(StdioUpstreamTest, CancellationReachesTheUpstream) {
  RecordProperty("req", "M-RISK-1.m");
  auto upstream = Ready();
  auto call = Begin(*upstream, Tool(*upstream, "silence"));
  ASSERT_TRUE(Until([&] { return upstream->in_flight() > 0 || call->done; }));
  call->cancel.emit(boost::asio::cancellation_type::terminal);
  ASSERT_TRUE(Until([&] { return call->done; }));
  EXPECT_TRUE(absl::IsCancelled(call->status)) << call->status;
  EXPECT_EQ(upstream->in_flight(), 0);
  EXPECT_NE(TextOf(*Finish(*upstream, Tool(*upstream, "cancelled"))), "[]");
}

TEST_P(StdioUpstreamTest, AListChangeIsNoticed) {
  RecordProperty("req", "M-FR-004.1");
  auto upstream = Ready();
  ASSERT_TRUE(Until([&] { return upstream->status().prompts() == 1; }));
  upstream->TakeReport();
  Finish(*upstream, Tool(*upstream, "add_tool"));
  ASSERT_TRUE(Until([&] { return upstream->status().tools() == 21; }));
  const auto report = upstream->TakeReport();
  ASSERT_EQ(report.lists_size(), 1);
  EXPECT_EQ(report.lists(0).items_size(), 21);
}

TEST_P(StdioUpstreamTest, ListsArePagedAndInvalidDefinitionsNamed) {
  auto upstream = Ready({"--tools", "250", "--badtool"});
  ASSERT_TRUE(Until([&] { return upstream->status().tools() == 271; }));
  bool named = false;
  for (const auto& line : upstream->log().Newest(100)) {
    named =
        named || line.text.find("bad: .inputSchema has the wrong JSON type") != std::string::npos;
  }
  EXPECT_TRUE(named);
}

TEST_P(StdioUpstreamTest, AListThatGoesRoundIsGivenUp) {
  auto upstream = Ready({"--loop"});
  ASSERT_TRUE(UntilState(*upstream, "degraded"));
  EXPECT_THAT(upstream->status().detail(), HasSubstr("circle"));
  EXPECT_EQ(TextOf(*Finish(*upstream, Tool(*upstream, "echo"))), "{}");
}

TEST_P(StdioUpstreamTest, QuestionsEndTheCallAndItsAnswerResumesIt) {
  auto upstream = Ready();
  pb::CallRequest request = Tool(*upstream, "elicit");
  request.set_client_capabilities(R"({"elicitation":{}})");
  auto asked = Finish(*upstream, request);
  ASSERT_TRUE(asked->status.ok()) << asked->status;
  ASSERT_EQ(asked->sink.kind, pb::RESULT_KIND_INPUT_REQUIRED);
  const Json question = Json::parse(asked->sink.result);
  ASSERT_EQ(question["inputRequests"].size(), 1u);
  const auto entry = question["inputRequests"].begin();
  EXPECT_EQ(entry.value()["method"], "elicitation/create");
  EXPECT_EQ(entry.value()["params"]["message"], "Your name?");
  request.set_has_request_state(true);
  request.set_request_state(question["requestState"].get<std::string>());
  Json answers;
  answers[entry.key()] = {{"action", "accept"}, {"content", {{"name", "Ada"}}}};
  request.set_input_responses(answers.dump());
  auto answered = Finish(*upstream, request);
  ASSERT_TRUE(answered->status.ok()) << answered->status;
  EXPECT_THAT(TextOf(*answered), HasSubstr("Ada"));
}

TEST_P(StdioUpstreamTest, OnlyTheConfiguredEnvironmentReachesTheChild) {
  RecordProperty("req", "M02-TR-2.1");
  ::setenv("METAMCP_FIXTURE_VALUE", "from-ours", 1);
  core_.environment = config::ProcessEnvironment();
  auto desired = Stdio("one", {"--era", GetParam()});
  (*desired.mutable_spec()->mutable_env())["GIVEN"] = "${METAMCP_FIXTURE_VALUE}";
  auto upstream = Start(desired);
  ASSERT_TRUE(UntilState(*upstream, "ready"));
  const Json seen = Json::parse(TextOf(*Finish(*upstream, Tool(*upstream, "environ"))));
  EXPECT_EQ(seen["GIVEN"], "from-ours");
  EXPECT_FALSE(seen.contains("METAMCP_FIXTURE_VALUE"));
  ::unsetenv("METAMCP_FIXTURE_VALUE");
}

TEST_P(StdioUpstreamTest, ResourceUpdatesReachListeners) {
  auto upstream = Ready();
  class UpdateSink final : public Sink<pb::ListenResponse> {
   public:
    Awaitable<absl::Status> Write(pb::ListenResponse message) override {
      messages.push_back(message.ShortDebugString());
      co_return absl::OkStatus();
    }
    std::vector<std::string> messages;
  } sink;
  CallContext ctx;
  pb::ListenRequest request;
  request.add_resource_uris("test://one");
  boost::asio::cancellation_signal cancel;
  bool done = false;
  auto finished = [&](std::exception_ptr, absl::Status) { done = true; };
  boost::asio::co_spawn(io_, upstream->Listen(ctx, request, sink),
                        boost::asio::bind_cancellation_slot(cancel.slot(), finished));
  ASSERT_TRUE(Until([&] { return sink.messages.size() == 1; }));
  EXPECT_THAT(sink.messages[0], HasSubstr("test://one"));
  Finish(*upstream, Tool(*upstream, "update", R"({"uri":"test://other"})"));
  Finish(*upstream, Tool(*upstream, "update", R"({"uri":"test://one"})"));
  ASSERT_TRUE(Until([&] { return sink.messages.size() == 2; }));
  EXPECT_THAT(sink.messages[1], HasSubstr("updated { uri: \"test://one\" }"));
  cancel.emit(boost::asio::cancellation_type::terminal);
  ASSERT_TRUE(Until([&] { return done; }));
}

}  // namespace
}  // namespace metamcp::connector
