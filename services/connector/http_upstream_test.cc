#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/connector/http_fixture.h"
#include "services/connector/upstream_fixture.h"

namespace metamcp::connector {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
using Mode = HttpMcpServer::Mode;

class HttpUpstreamTest : public UpstreamFixture {
 protected:
  HttpUpstreamTest() : UpstreamFixture(true) {}
  ~HttpUpstreamTest() override {
    for (const auto& upstream : started_) AwaitVoid(io_, upstream->Stop());
    started_.clear();
    if (server_ != nullptr) AwaitVoid(io_, server_->Stop());
  }
  catalog_pb::Upstream Http(const std::string& type = "http") {
    catalog_pb::Upstream out;
    out.mutable_meta()->set_id("id-web");
    out.mutable_meta()->set_name("web");
    out.set_enabled(true);
    out.mutable_spec()->set_type(type);
    out.mutable_spec()->set_url(server_->url());
    (*out.mutable_spec()->mutable_headers())["Authorization"] = "Bearer secret";
    return out;
  }
  std::shared_ptr<Upstream> Ready(Mode mode) {
    server_ = std::make_unique<HttpMcpServer>(io_, mode);
    auto upstream = Start(Http());
    EXPECT_TRUE(UntilState(*upstream, "ready")) << upstream->status().ShortDebugString();
    EXPECT_TRUE(Until([&] { return upstream->status().tools() == 1; }));
    return upstream;
  }
  static std::string TextOf(const RunningCall& call) {
    const Json result = Json::parse(call.sink.result, nullptr, false);
    if (!result.is_object() || !result.contains("content")) {
      return "no text: " + call.sink.result + call.status.ToString();
    }
    return result["content"][0]["text"];
  }
  std::unique_ptr<HttpMcpServer> server_;
};

int CallsOf(const HttpMcpServer& server, std::string_view method) {
  int count = 0;
  for (const auto& sent : server.requests) count += sent.headers.Get("Mcp-Method") == method;
  return count;
}

TEST_F(HttpUpstreamTest, AHeaderMismatchIsMendedFromTheNewListOnce) {
  RecordProperty("req", "A12");
  auto upstream = Ready(Mode::kModern);
  server_->mirrors = true;
  auto call = Finish(*upstream, Tool(*upstream, "echo", R"({"region":"eu"})"));
  EXPECT_THAT(TextOf(*call), HasSubstr("region")) << call->sink.error.ShortDebugString();
  EXPECT_EQ(CallsOf(*server_, "tools/call"), 2);
  // What cannot be mended is not the client's business.
  auto other = Finish(*upstream, Tool(*upstream, "echo", R"({"region":"us"})"));
  EXPECT_EQ(other->sink.error.code(), -32603);
  EXPECT_EQ(CallsOf(*server_, "tools/call"), 4);
}

TEST_F(HttpUpstreamTest, AChangeOfRevisionIsNegotiatedAnew) {
  RecordProperty("req", "A12");
  auto upstream = Ready(Mode::kModern);
  server_->refuse_code = -32022;
  server_->refusals = 1;
  const int discovered = CallsOf(*server_, "server/discover");
  auto call = Finish(*upstream, Tool(*upstream, "echo", R"({"a":1})"));
  EXPECT_THAT(TextOf(*call), HasSubstr("\"a\"")) << call->sink.error.ShortDebugString();
  EXPECT_GT(CallsOf(*server_, "server/discover"), discovered);
  server_->refusals = 100;
  auto again = Finish(*upstream, Tool(*upstream, "echo", R"({"a":1})"));
  EXPECT_EQ(again->sink.error.code(), -32603);
}

TEST_F(HttpUpstreamTest, ModernCallsCarryTheirHeaders) {
  RecordProperty("req", "M-FR-002.2 M02-US-002.1 M02-TR-3.1 M02-US-002.3 M-AC-5.2.2");
  auto upstream = Ready(Mode::kModern);
  EXPECT_EQ(upstream->status().era(), "modern");
  pb::CallRequest request = Tool(*upstream, "echo");
  (*request.mutable_param_headers())["Mcp-Param-Region"] = "eu";
  auto call = Finish(*upstream, request);
  ASSERT_TRUE(call->status.ok()) << call->status;
  const http::HttpRequest* seen = nullptr;
  for (const auto& sent : server_->requests) {
    if (sent.headers.Get("Mcp-Method") == "tools/call") seen = &sent;
  }
  ASSERT_NE(seen, nullptr);
  EXPECT_EQ(seen->headers.Get("MCP-Protocol-Version"), "2026-07-28");
  EXPECT_EQ(seen->headers.Get("Mcp-Name"), "echo");
  EXPECT_EQ(seen->headers.Get("Mcp-Param-Region"), "eu");
  EXPECT_EQ(seen->headers.Get("Authorization"), "Bearer secret");
  EXPECT_FALSE(seen->headers.Has("Mcp-Session-Id"));
  const Json meta = Json::parse(seen->body)["params"]["_meta"];
  EXPECT_EQ(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
}

TEST_F(HttpUpstreamTest, ModernCancellationHangsUp) {
  auto upstream = Ready(Mode::kModern);
  auto call = Begin(*upstream, Tool(*upstream, "hang"));
  ASSERT_TRUE(Until([&] {
    return !server_->requests.empty() &&
           server_->requests.back().body.find("hang") != std::string::npos;
  }));
  call->cancel.emit(boost::asio::cancellation_type::terminal);
  ASSERT_TRUE(Until([&] { return call->done && server_->hung_up; }));
}

TEST_F(HttpUpstreamTest, LegacySessionsAreOpenedUsedAndEnded) {
  RecordProperty("req", "M-FR-002.2 M02-US-002.2 M02-TR-3.2 M-AC-5.2.2");
  auto upstream = Ready(Mode::kLegacy);
  EXPECT_EQ(upstream->status().era(), "legacy");
  auto call = Finish(*upstream, Tool(*upstream, "echo"));
  ASSERT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(server_->requests.back().headers.Get("MCP-Protocol-Version"), "2025-11-25");
  // The catalogue's session, and one for the caller's affinity.
  EXPECT_EQ(server_->initializes, 2);
  EXPECT_EQ(upstream->instances(), 2);
  ASSERT_TRUE(Until([&] { return server_->streams == 2; }));
  AwaitVoid(io_, upstream->Stop());
  EXPECT_EQ(server_->deletes, 2);
}

TEST_F(HttpUpstreamTest, AnswersMayComeAsStreams) {
  auto upstream = Ready(Mode::kLegacy);
  server_->stream_answers = true;
  EXPECT_THAT(TextOf(*Finish(*upstream, Tool(*upstream, "echo"))), HasSubstr("echo"));
}

TEST_F(HttpUpstreamTest, TheLogLevelIsSetBeforeTheCallsThatWantIt) {
  RecordProperty("req", "A02");
  auto upstream = Ready(Mode::kLegacy);
  server_->slow_level = true;
  pb::CallRequest request = Tool(*upstream, "echo");
  request.set_log_level("info");
  auto first = Begin(*upstream, request);
  auto second = Begin(*upstream, request);
  ASSERT_TRUE(Until([&] { return first->done && second->done; }));
  EXPECT_TRUE(first->status.ok() && second->status.ok());
  EXPECT_EQ(server_->level_of_call, (std::vector<bool>{true, true}));
}

TEST_F(HttpUpstreamTest, ABrokenStreamIsResumedWhereItEnded) {
  auto upstream = Ready(Mode::kLegacy);
  server_->drop_mid_stream = true;
  const auto call = Finish(*upstream, Tool(*upstream, "slow"));
  EXPECT_THAT(TextOf(*call), HasSubstr("slow"));
  EXPECT_EQ(server_->resumes, 1);
  EXPECT_EQ(call->sink.pauses.size(), 1u);  // the caller hears that it may be polled
}

TEST_F(HttpUpstreamTest, AForgottenSessionIsOpenedAgainAndTheCallRepeated) {
  auto upstream = Ready(Mode::kLegacy);
  ASSERT_TRUE(Finish(*upstream, Tool(*upstream, "echo"))->status.ok());
  server_->forget_session = true;
  auto call = Finish(*upstream, Tool(*upstream, "echo"));
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(server_->initializes, 3);
}

TEST_F(HttpUpstreamTest, AQuestionOnACallsStreamBelongsToThatCall) {
  auto upstream = Ready(Mode::kLegacy);
  pb::CallRequest request = Tool(*upstream, "elicit");
  request.set_client_capabilities(R"({"elicitation":{}})");
  auto asked = Begin(*upstream, request);
  auto beside = Finish(*upstream, Tool(*upstream, "echo"));
  EXPECT_TRUE(beside->status.ok());
  ASSERT_TRUE(Until([&] { return asked->done; }));
  ASSERT_EQ(asked->sink.kind, pb::RESULT_KIND_INPUT_REQUIRED) << asked->status;
  const Json question = Json::parse(asked->sink.result);
  request.set_has_request_state(true);
  request.set_request_state(question["requestState"].get<std::string>());
  Json answers;
  answers[question["inputRequests"].begin().key()] = {{"action", "decline"}};
  request.set_input_responses(answers.dump());
  EXPECT_EQ(TextOf(*Finish(*upstream, request)), R"({"action":"decline"})");
}

TEST_F(HttpUpstreamTest, OldSseServersAreFoundByFallingBack) {
  RecordProperty("req", "M-FR-002.2 M02-US-002.2");
  auto upstream = Ready(Mode::kSse);
  EXPECT_EQ(upstream->status().protocol_version(), "2024-11-05");
  EXPECT_THAT(TextOf(*Finish(*upstream, Tool(*upstream, "echo"))), HasSubstr("echo"));
}

TEST_F(HttpUpstreamTest, AnEndpointOfAnotherOriginIsRefused) {
  server_ = std::make_unique<HttpMcpServer>(io_, Mode::kSse);
  server_->endpoint_event = "http://127.0.0.1:9/messages";
  auto upstream = Start(Http("sse"));
  ASSERT_TRUE(Until([&] { return !upstream->status().detail().empty(); }));
  EXPECT_THAT(upstream->status().detail(), HasSubstr("another origin"));
  for (const auto& sent : server_->requests) EXPECT_EQ(sent.method, "GET");
}

TEST_F(HttpUpstreamTest, RefusedCredentialsAreSaidAndNotTakenForAnEra) {
  RecordProperty("req", "M02-US-002.3 M-FR-002.4");
  server_ = std::make_unique<HttpMcpServer>(io_, Mode::kModern);
  server_->status = 401;
  auto upstream = Start(Http());
  ASSERT_TRUE(Until([&] { return !upstream->status().detail().empty(); }));
  EXPECT_THAT(upstream->status().detail(), HasSubstr("401"));
  server_->status = 0;
  ASSERT_TRUE(UntilState(*upstream, "ready"));
  EXPECT_EQ(upstream->status().era(), "modern");
}

TEST_F(HttpUpstreamTest, AServerInTroubleOpensTheBreakerAndIsTriedAgain) {
  RecordProperty("req", "M02-AD-2 M02-TR-3.4 M-AC-5.2.3");
  core_.config.breaker.failures = 3;
  core_.config.breaker.open_ms = 50;
  server_ = std::make_unique<HttpMcpServer>(io_, Mode::kModern);
  server_->status = 503;
  auto upstream = Start(Http());
  ASSERT_TRUE(UntilState(*upstream, "open"));
  auto call = Finish(*upstream, Tool(*upstream, "echo"));
  EXPECT_THAT(Reason(call->status),
              ::testing::AnyOf("UPSTREAM_BREAKER_OPEN", "UPSTREAM_UNAVAILABLE"));
  EXPECT_EQ(Domain(call->status), "upstream:web");
  server_->status = 0;
  ASSERT_TRUE(UntilState(*upstream, "ready"));
  EXPECT_EQ(upstream->breaker().name(std::chrono::steady_clock::now()), "closed");
}

TEST_F(HttpUpstreamTest, AnErrorAfterTheRequestWasSentLeavesItsEffectUnknown) {
  RecordProperty("req", "M-P3");
  auto upstream = Ready(Mode::kModern);
  const auto outcome = [&](int status) {
    const int before = CallsOf(*server_, "tools/call");
    server_->status = status;
    auto call = Finish(*upstream, Tool(*upstream, "echo"));
    EXPECT_EQ(CallsOf(*server_, "tools/call"), before + 1) << status;
    server_->status = 0;
    return Reason(call->status);
  };
  for (const int status : {408, 500, 502, 504}) EXPECT_EQ(outcome(status), "UPSTREAM_LOST");
  for (const int status : {429, 503}) EXPECT_EQ(outcome(status), "UPSTREAM_UNAVAILABLE");
}

TEST_F(HttpUpstreamTest, AServerThatFailsAtTheHandshakeGotNoCall) {
  server_ = std::make_unique<HttpMcpServer>(io_, Mode::kModern);
  server_->status = 500;
  auto upstream = Start(Http());
  ASSERT_TRUE(Until([&] { return !upstream->status().detail().empty(); }));
  auto call = Finish(*upstream, Tool(*upstream, "echo"));
  EXPECT_EQ(Reason(call->status), "UPSTREAM_UNAVAILABLE");
  // Nor is it taken for one of another era.
  for (const auto& sent : server_->requests) EXPECT_EQ(sent.method, "POST");
  server_->status = 0;
  ASSERT_TRUE(UntilState(*upstream, "ready"));
  EXPECT_EQ(upstream->status().era(), "modern");
}

}  // namespace
}  // namespace metamcp::connector
