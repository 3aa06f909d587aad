#include "common/mcp/jsonrpc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace metamcp::jsonrpc {
namespace {

TEST(EnvelopeTest, ReadsARequestInOnePass) {
  RecordProperty("req", "M-COMP-Proto.2 A-P1.1");
  const std::string text =
      R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"a":1},)"
      R"("_meta":{"progressToken":"p"}}})";
  ParseOutcome out = ParseEnvelope(text);
  ASSERT_TRUE(out.ok()) << out.error.message;
  const Envelope envelope = *std::move(out.envelope);
  EXPECT_EQ(envelope.kind, MessageKind::kRequest);
  EXPECT_EQ(envelope.id, Id::Int(7));
  EXPECT_EQ(envelope.method, "tools/call");
  EXPECT_EQ(envelope.params.String("name"), "echo");
  EXPECT_EQ(envelope.params.Raw("arguments"), R"({"a":1})");
  EXPECT_EQ(envelope.meta.String("progressToken"), "p");
  EXPECT_EQ(envelope.raw_params().front(), '{');
}

TEST(EnvelopeTest, ReadsNotificationsResultsAndErrors) {
  RecordProperty("req", "A-L2.P2");
  ParseOutcome out = ParseEnvelope(R"({"jsonrpc":"2.0","method":"notifications/initialized"})");
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.envelope->kind, MessageKind::kNotification);
  EXPECT_FALSE(out.envelope->params.present());

  out = ParseEnvelope(R"({"jsonrpc":"2.0","id":"x","result":{"a":[1]}})");
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.envelope->kind, MessageKind::kResult);
  EXPECT_EQ(out.envelope->result, R"({"a":[1]})");

  out = ParseEnvelope(
      R"({"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m","data":1}})");
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.envelope->kind, MessageKind::kError);
  EXPECT_FALSE(out.envelope->id.present());
  EXPECT_EQ(out.envelope->error.code, -32700);
  EXPECT_EQ(out.envelope->error.data, "1");
}

TEST(EnvelopeTest, KeepsAMethodWrittenWithEscapesAcrossMoves) {
  ParseOutcome out = ParseEnvelope(R"({"jsonrpc":"2\u002e0","id":1,"m\u0065thod":"pi\u006eg"})");
  ASSERT_TRUE(out.ok()) << out.error.message;
  Envelope moved = *std::move(out.envelope);
  Envelope again = std::move(moved);
  EXPECT_EQ(again.method, "ping");
}

TEST(EnvelopeTest, PreservesTheTypeOfIds) {
  EXPECT_NE(Id::Int(1), Id::String("1"));
  EXPECT_EQ(Id::FromRaw(R"("\u0061")").value(), Id::String("a"));
  EXPECT_EQ(Id::FromRaw("123456789012345678901234567890")->raw(), "123456789012345678901234567890");
  EXPECT_EQ(Id::FromRaw("-0").value(), Id::Int(0));
  EXPECT_EQ(Id::Int(-5).AsInt(), -5);
  EXPECT_EQ(Id::String("a\"b").AsText(), "a\"b");
  EXPECT_EQ(Id().raw(), "null");
  for (const char* bad : {"null", "1.0", "1e3", "true", "{}", "[]", ""}) {
    EXPECT_FALSE(Id::FromRaw(bad).ok()) << bad;
  }
}

struct Bad {
  const char* text;
  int code;
  Id id;
};

TEST(EnvelopeTest, RefusesWithCodeAndIdWhereItCanBeRead) {
  RecordProperty("req", "M-FR-001.5");
  const Id one = Id::Int(1);
  const Bad cases[] = {
      {"", kParseError, {}},
      {"{", kParseError, {}},
      {R"({"jsonrpc":"2.0","id":1,"method":"a"} x)", kParseError, {}},
      {"[]", kInvalidRequest, {}},
      {"[", kParseError, {}},
      {"1", kInvalidRequest, {}},
      {R"({"jsonrpc":"1.0","id":1,"method":"a"})", kInvalidRequest, one},
      {R"({"jsonrpc":2.0,"id":1,"method":"a"})", kInvalidRequest, one},
      {R"({"id":1,"method":"a"})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":null,"method":"a"})", kInvalidRequest, {}},
      {R"({"jsonrpc":"2.0","id":1.5,"method":"a"})", kInvalidRequest, {}},
      {R"({"jsonrpc":"2.0","id":true,"method":"a"})", kInvalidRequest, {}},
      {R"({"jsonrpc":"2.0","id":{},"method":"a"})", kInvalidRequest, {}},
      {R"({"jsonrpc":"2.0","id":1})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"method":1})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"method":""})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}})", kInvalidRequest,
       one},
      {R"({"jsonrpc":"2.0","id":1,"method":"a","result":{}})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","result":{}})", kInvalidRequest, {}},
      {R"({"jsonrpc":"2.0","id":null,"result":{}})", kInvalidRequest, {}},
      {R"({"jsonrpc":"2.0","id":1,"error":1})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"error":{"message":"x"}})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":"x"}})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"error":{"code":1}})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"method":"a","params":[1]})", kInvalidParams, one},
      {R"({"jsonrpc":"2.0","id":1,"method":"a","params":1})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"method":"a","params":null})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":1}})", kInvalidParams, one},
      {R"({"jsonrpc":"2.0","id":1,"id":2,"method":"a"})", kInvalidRequest, {}},
      {R"({"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"})", kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"name":1,"n\u0061me":2}})",
       kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"x":1,"\u0078":2}}})",
       kInvalidRequest, one},
      {R"({"jsonrpc":"2.0","id":1,"method":"a","params":{},"params":{"name":"b"}})",
       kInvalidRequest, one},
  };
  for (const Bad& bad : cases) {
    const ParseOutcome out = ParseEnvelope(bad.text);
    EXPECT_FALSE(out.ok()) << bad.text;
    EXPECT_EQ(out.error.code, bad.code) << bad.text << " " << out.error.message;
    EXPECT_EQ(out.id, bad.id) << bad.text;
    EXPECT_FALSE(out.status().ok());
  }
}

TEST(EnvelopeTest, HonoursLimits) {
  json::ScanLimits limits;
  limits.depth_max = 4;
  EXPECT_TRUE(ParseEnvelope(R"({"jsonrpc":"2.0","method":"a","params":{"a":[[1]]}})", limits).ok());
  EXPECT_EQ(
      ParseEnvelope(R"({"jsonrpc":"2.0","method":"a","params":{"a":[[[1]]]}})", limits).error.code,
      kParseError);
  limits.bytes_max = 10;
  EXPECT_EQ(ParseEnvelope(R"({"jsonrpc":"2.0","method":"a"})", limits).error.code, kParseError);
}

TEST(BatchTest, SplitsWithinLimits) {
  RecordProperty("req", "A-L2.P2");
  EXPECT_TRUE(IsBatch(" \n[1]"));
  EXPECT_FALSE(IsBatch("{}"));
  EXPECT_FALSE(IsBatch(""));
  EXPECT_THAT(ParseBatch(R"([{"a":1}, 2 ])").value(), testing::ElementsAre(R"({"a":1})", "2"));
  EXPECT_FALSE(ParseBatch("[]").ok());
  EXPECT_FALSE(ParseBatch("[1,2,3]", 2).ok());
  EXPECT_FALSE(ParseBatch("[1,2").ok());
}

TEST(WriterTest, WritesEnvelopes) {
  EXPECT_EQ(MakeRequest(Id::Int(1), "a", R"({"x":1})"),
            R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1}})");
  EXPECT_EQ(MakeRequest(Id::String("q\""), "a", ""),
            R"({"jsonrpc":"2.0","id":"q\"","method":"a"})");
  EXPECT_EQ(MakeNotification("n", ""), R"({"jsonrpc":"2.0","method":"n"})");
  EXPECT_EQ(MakeResult(Id::Int(2), ""), R"({"jsonrpc":"2.0","id":2,"result":{}})");
  EXPECT_EQ(MakeErrorResponse(Id(), -1, "m\n", "[1]"),
            R"({"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"m\n","data":[1]}})");
  EXPECT_EQ(MakeBatch({"1", "2"}), "[1,2]");
  EXPECT_TRUE(ParseEnvelope(MakeErrorResponse(Id::Int(3), ErrorObject{-5, "\xFF", ""})).ok());
}

}  // namespace
}  // namespace metamcp::jsonrpc
