// The pure and small parts: breaker, backoff, limiter, call codec, handshake, target, discovery.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "services/connector/breaker.h"
#include "services/connector/call_codec.h"
#include "services/connector/discovery.h"
#include "services/connector/handshake.h"
#include "services/connector/limiter.h"
#include "services/connector/target.h"
#include "services/connector/test_util.h"

namespace metamcp::connector {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

TEST(Breaker, OpensProbesAndCloses) {
  RecordProperty("req", "M02-AD-2");
  Breaker breaker(3, milliseconds(100));
  const auto t0 = Clock::now();
  breaker.Failed(t0);
  breaker.Failed(t0);
  EXPECT_FALSE(breaker.open());
  breaker.Failed(t0);
  EXPECT_TRUE(breaker.open());
  EXPECT_EQ(breaker.name(t0), "open");
  EXPECT_FALSE(breaker.Allow(t0 + milliseconds(99)));
  EXPECT_TRUE(breaker.Allow(t0 + milliseconds(100)));
  EXPECT_FALSE(breaker.Allow(t0 + milliseconds(100))) << "one probe at a time";
  EXPECT_EQ(breaker.name(t0 + milliseconds(100)), "half-open");
  breaker.Failed(t0 + milliseconds(110));
  EXPECT_FALSE(breaker.Allow(t0 + milliseconds(209)));
  EXPECT_TRUE(breaker.Allow(t0 + milliseconds(210)));
  breaker.Abandoned();
  EXPECT_TRUE(breaker.Allow(t0 + milliseconds(210)));
  breaker.Succeeded();
  EXPECT_EQ(breaker.name(t0), "closed");
  breaker.Failed(t0);
  EXPECT_FALSE(breaker.open()) << "counting began anew";
}

TEST(Backoff, GrowsWithFullJitterWithinItsBounds) {
  RecordProperty("req", "M02-TR-3.4");
  Backoff backoff(milliseconds(250), milliseconds(30000), 7);
  EXPECT_EQ(backoff.Next(), milliseconds(250));
  milliseconds highest(0);
  for (int i = 0; i < 100; ++i) {
    const auto wait = backoff.Next();
    EXPECT_GE(wait, milliseconds(250));
    EXPECT_LE(wait, milliseconds(30000));
    highest = std::max(highest, wait);
  }
  EXPECT_GT(highest, milliseconds(10000));
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), milliseconds(250));
}

TEST(Limiter, ServesInOrderAndBoundsTheQueue) {
  RecordProperty("req", "M02-RISK-4");
  boost::asio::io_context io(1);
  auto limiter = std::make_shared<Limiter>(io.get_executor(), 1, 2, "upstream:x");
  auto first = Await(io, limiter->Acquire(Clock::now()));
  ASSERT_TRUE(first.ok());
  const auto expired = Await(io, limiter->Acquire(Clock::now()));
  EXPECT_EQ(GetErrorInfo(expired.status())->reason, "DEADLINE_EXCEEDED");
  std::vector<int> order;
  for (int i = 0; i < 2; ++i) {
    auto done = [&order, i](std::exception_ptr, absl::StatusOr<Limiter::Permit> permit) {
      if (permit.ok()) order.push_back(i);
    };
    boost::asio::co_spawn(io, limiter->Acquire(Clock::now() + std::chrono::seconds(20)), done);
  }
  ASSERT_TRUE(RunUntilTrue(io, [&] { return limiter->queued() == 2; }));
  const auto third = Await(io, limiter->Acquire(Clock::now() + std::chrono::seconds(20)));
  EXPECT_EQ(GetErrorInfo(third.status())->reason, "QUEUE_FULL");
  first = absl::UnavailableError("given back");
  ASSERT_TRUE(RunUntilTrue(io, [&] { return order.size() == 2; }));
  EXPECT_THAT(order, ::testing::ElementsAre(0, 1));
}

pb::CallRequest Request() {
  pb::CallRequest request;
  request.set_method("tools/call");
  request.set_target("echo");
  request.set_params(R"({"name":"echo","arguments":{}})");
  return request;
}

Negotiated Peer(mcp::Revision revision) {
  Negotiated peer;
  peer.revision = revision;
  return peer;
}

TEST(CallCodec, ModernMetaHoldsWhatTheProtocolWants) {
  pb::CallRequest request = Request();
  request.set_client_capabilities(R"({"elicitation":{}})");
  request.set_log_level("info");
  request.set_meta(R"({"vendor/x":1,"traceparent":"given"})");
  TraceContext trace;
  trace.traceparent = "ours";
  trace.tracestate = "state";
  const RequestSpec spec =
      EncodeCall(request, trace, Peer(mcp::Revision::k20260728), R"({"name":"gw"})");
  const Json meta = Json::parse("{" + spec.meta_tail + "}");
  EXPECT_EQ(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
  EXPECT_EQ(meta["io.modelcontextprotocol/clientInfo"]["name"], "gw");
  EXPECT_TRUE(meta["io.modelcontextprotocol/clientCapabilities"].contains("elicitation"));
  EXPECT_EQ(meta["io.modelcontextprotocol/logLevel"], "info");
  EXPECT_EQ(meta["vendor/x"], 1);
  EXPECT_EQ(meta["traceparent"], "given");
  EXPECT_EQ(meta["tracestate"], "state");
}

TEST(CallCodec, LegacyMetaHoldsNothingModern) {
  pb::CallRequest request = Request();
  request.set_log_level("info");
  request.set_has_request_state(true);
  const RequestSpec spec =
      EncodeCall(request, TraceContext(), Peer(mcp::Revision::k20250618), "{}");
  EXPECT_EQ(spec.meta_tail, "");
  EXPECT_EQ(spec.params, request.params());
}

TEST(CallCodec, AnswersTravelWithTheRetriedCall) {
  pb::CallRequest request = Request();
  request.set_input_responses(R"({"k":{"action":"accept"}})");
  request.set_has_request_state(true);
  request.set_request_state("a\"b");
  const RequestSpec spec =
      EncodeCall(request, TraceContext(), Peer(mcp::Revision::k20260728), "{}");
  const Json params = Json::parse(spec.params);
  EXPECT_EQ(params["requestState"], "a\"b");
  EXPECT_EQ(params["inputResponses"]["k"]["action"], "accept");
  EXPECT_EQ(params["name"], "echo");
}

TEST(CallCodec, RefusesWhatIsNoCall) {
  pb::CallRequest request = Request();
  EXPECT_TRUE(CheckCall(request).ok());
  for (const char* bad : {"[]", "{", "7", "{}}", "{} {}", "null"}) {
    request.set_params(bad);
    EXPECT_FALSE(CheckCall(request).ok()) << bad;
  }
  request = Request();
  request.set_meta("\"x\"");
  EXPECT_FALSE(CheckCall(request).ok());
  request = Request();
  request.set_method("tools/list");
  EXPECT_EQ(GetErrorInfo(CheckCall(request))->reason, "METHOD_NOT_FOUND");
}

TEST(CallCodec, ResultsBecomeCanonical) {
  const Negotiated legacy = Peer(mcp::Revision::k20251125);
  const Negotiated modern = Peer(mcp::Revision::k20260728);
  EXPECT_EQ(Json::parse(DecodeResult("tools/call", "{}", legacy)->json),
            Json::parse(R"({"resultType":"complete","content":[]})"));
  EXPECT_EQ(
      Json::parse(DecodeResult("resources/read", R"({"contents":[]})", legacy)->json),
      Json::parse(R"({"contents":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"})"));
  const std::string whole = R"({"resultType":"complete","content":[{"type":"text","text":"x"}]})";
  EXPECT_EQ(DecodeResult("tools/call", whole, modern)->json, whole);
  EXPECT_EQ(DecodeResult("tools/call", R"({"resultType":"task","taskId":"1"})", modern)->kind,
            pb::RESULT_KIND_TASK);
  EXPECT_FALSE(DecodeResult("tools/call", R"({"resultType":"input_required"})", modern).ok());
  EXPECT_FALSE(DecodeResult("tools/call", R"({"resultType":"later"})", modern, true).ok());
  Negotiated extended = modern;
  extended.extensions = true;
  EXPECT_FALSE(DecodeResult("tools/call", R"({"resultType":"later"})", extended).ok());
  EXPECT_EQ(DecodeResult("tools/call", R"({"resultType":"later"})", extended, true)->kind,
            pb::RESULT_KIND_EXTENSION);
  EXPECT_FALSE(DecodeResult("tools/call", "[]", legacy).ok());
  // A legacy server cannot claim a modern kind of result.
  EXPECT_EQ(DecodeResult("tools/call", R"({"resultType":"task"})", legacy)->kind,
            pb::RESULT_KIND_COMPLETE);
  const auto broken = DecodeResult("tools/call", R"({"content":[{"type":"text"}]})", legacy);
  EXPECT_EQ(GetErrorInfo(broken.status())->reason, "UPSTREAM_PROTOCOL");
  EXPECT_THAT(std::string(broken.status().message()), HasSubstr("content[0].text is missing"));
}

TEST(CallCodec, ErrorsOfOurLegAreNotTheCallers) {
  RpcError error;
  error.code = -32020;
  error.message = "header";
  error.data = R"({"secret":1})";
  const auto out = DecodeError(error, Peer(mcp::Revision::k20260728), "");
  EXPECT_EQ(out.code(), -32603);
  EXPECT_TRUE(out.data().empty());
  error.code = -32002;
  error.data = "";
  const auto missing = DecodeError(error, Peer(mcp::Revision::k20250618), "file:///x");
  EXPECT_EQ(missing.code(), -32602);
  EXPECT_EQ(missing.data(), R"({"uri":"file:///x"})");
}

TEST(Handshake, ReadsInitialize) {
  const auto good = ReadInitializeResult(
      R"({"protocolVersion":"2025-06-18","capabilities":{"tools":{},"tasks":{},
          "resources":{"subscribe":true}},"serverInfo":{"name":"x"},"instructions":"i"})");
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(good->tools && good->resources && good->subscribe);
  EXPECT_FALSE(good->prompts || good->completions);
  EXPECT_THAT(good->capabilities, ::testing::Not(HasSubstr("tasks")));
  EXPECT_TRUE(ReadInitializeResult(R"({"protocolVersion":"2024-11-05"})")->completions);
  for (const char* bad : {"[]", "{}", R"({"protocolVersion":7})",
                          R"({"protocolVersion":"2026-07-28"})", R"({"protocolVersion":"1"})"}) {
    EXPECT_FALSE(ReadInitializeResult(bad).ok()) << bad;
  }
}

TEST(Handshake, JudgesTheEra) {
  Session::Answer answer;
  answer.result = R"({"supportedVersions":["2025-11-25","2026-07-28"],"capabilities":{}})";
  EXPECT_EQ(JudgeDiscover(answer), EraVerdict::kModern);
  answer.result = "{}";
  EXPECT_EQ(JudgeDiscover(answer), EraVerdict::kLegacy);
  answer.error = RpcError();
  for (const int code : {-32601, -32602, -32000, -32020}) {
    answer.error->code = code;
    EXPECT_EQ(JudgeDiscover(answer), EraVerdict::kLegacy) << code;
  }
  answer.error->code = -32022;
  answer.error->data = R"({"supported":["2026-07-28"],"requested":"x"})";
  EXPECT_EQ(JudgeDiscover(answer), EraVerdict::kModern);
  answer.error->data = R"({"supported":["2025-11-25"]})";
  EXPECT_EQ(JudgeDiscover(answer), EraVerdict::kLegacy);
  answer.error->code = -32021;
  answer.error->data = R"({"requiredCapabilities":{}})";
  EXPECT_EQ(JudgeDiscover(answer), EraVerdict::kModern);
}

TEST(Handshake, WhatALegacyUpstreamIsTold) {
  const Capset capset = ReadCapset(
      R"({"elicitation":{},"sampling":{"tools":{}},"roots":{},"extensions":{"vendor/x":{"a":1},)"
      R"("io.modelcontextprotocol/tasks":{}}})");
  EXPECT_EQ(Json::parse(CapabilitiesText(capset)),
            Json::parse(R"({"roots":{},"sampling":{"tools":{}},"elicitation":{"form":{}},)"
                        R"("extensions":{"vendor/x":{"a":1}}})"));
  EXPECT_EQ(CapabilitiesText(ReadCapset("{}")), "{}");
  EXPECT_TRUE(capset.Allows("elicitation/create", R"({"message":"m"})"));
  EXPECT_FALSE(capset.Allows("elicitation/create", R"({"mode":"url"})"));
  EXPECT_TRUE(capset.Allows("sampling/createMessage", R"({"tools":[]})"));
  EXPECT_FALSE(
      ReadCapset(R"({"sampling":{}})").Allows("sampling/createMessage", R"({"tools":[]})"));
  EXPECT_FALSE(ReadCapset("{}").Allows("roots/list", "{}"));
}

TEST(ResolveTarget, ExpandsAndNamesWhatIsMissing) {
  ::metamcp::catalog::v1::UpstreamSpec spec;
  spec.set_command("run");
  spec.add_args("--token=${TOKEN}");
  const auto missing = ResolveTarget("x", spec, {});
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("TOKEN"));
  const auto good = ResolveTarget("x", spec, {{"TOKEN", "t"}});
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->type, "stdio");
  EXPECT_EQ(good->spawn.args[0], "--token=t");
  spec.clear_args();
  spec.set_url("http://localhost/mcp");
  spec.set_type("http");
  (*spec.mutable_headers())["X-A"] = "${TOKEN}";
  EXPECT_FALSE(ResolveTarget("x", spec, {{"TOKEN", "a\r\nEvil: 1"}}).ok());
  spec.clear_headers();
  spec.set_type("carrier-pigeon");
  EXPECT_THAT(std::string(ResolveTarget("x", spec, {}).status().message()),
              HasSubstr("carrier-pigeon"));
}

TEST(CanonicalItem, RepairsNamesAndReportsProblems) {
  using ::metamcp::catalog::v1::ITEM_KIND_PROMPT;
  using ::metamcp::catalog::v1::ITEM_KIND_RESOURCE;
  using ::metamcp::catalog::v1::ITEM_KIND_TOOL;
  const auto tool = CanonicalItem(
      ITEM_KIND_TOOL, "u",
      R"({"name":"a","inputSchema":{"type":"object"},"execution":{"taskSupport":"optional"}})");
  ASSERT_TRUE(tool.ok());
  EXPECT_EQ(tool->problem(), "");
  EXPECT_EQ(tool->definition(), R"({"name":"a","inputSchema":{"type":"object"}})");
  const auto sloppy =
      CanonicalItem(ITEM_KIND_TOOL, "u", R"({"name":"a","title":null,"inputSchema":{}})");
  EXPECT_EQ(sloppy->definition(), R"({"name":"a","inputSchema":{"type":"object"}})");
  for (const char* bad : {R"({"name":"a"})", R"({"name":"a","inputSchema":{"type":"string"}})",
                          R"({"name":"a","inputSchema":{"type":"object"},"description":7})",
                          R"({"name":"a","inputSchema":{"type":"object"},"outputSchema":"x"})"}) {
    const auto item = CanonicalItem(ITEM_KIND_TOOL, "u", bad);
    EXPECT_TRUE(item.ok()) << bad;
    EXPECT_NE(item->problem(), "") << bad;
  }
  for (const char* bad : {"7", "{}", R"({"name":""})", R"({"name":7})"}) {
    EXPECT_FALSE(CanonicalItem(ITEM_KIND_TOOL, "u", bad).ok()) << bad;
  }
  const auto resource = CanonicalItem(ITEM_KIND_RESOURCE, "u", R"({"uri":"x://1"})");
  EXPECT_EQ(Json::parse(resource->definition())["name"], "x://1");
  const auto prompt = CanonicalItem(ITEM_KIND_PROMPT, "u", R"({"name":"p","arguments":[{}]})");
  EXPECT_THAT(prompt->problem(), HasSubstr("arguments[0].name is missing"));
}

}  // namespace
}  // namespace metamcp::connector
