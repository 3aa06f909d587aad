#include "services/ai/model/chat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"

namespace metamcp::ai {
namespace {

ProviderSpec Spec() {
  ProviderSpec out;
  out.name = "local";
  out.model = "own";
  return out;
}

TEST(ChatShapeTest, ReadsWhatMatters) {
  const auto shape = ReadChatShape(
      R"({"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}})");
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(shape->model, "m");
  EXPECT_TRUE(shape->stream);
  EXPECT_TRUE(shape->wants_usage);
  for (const char* bad :
       {"", "[]", "{", R"({"messages":[]})", R"({"model":1,"messages":[]})",
        R"({"model":"","messages":[]})", R"({"model":"m"})", R"({"model":"m","messages":{}})",
        R"({"model":"m","messages":[],"stream":"yes"})",
        R"({"model":"a","model":"b","messages":[]})",
        R"({"model":"a","messages":[],"stream":true,"stream":false})"}) {
    const auto refused = ReadChatShape(bad);
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_EQ(GetErrorInfo(refused.status())->reason, "ARGUMENT_INVALID") << bad;
  }
}

TEST(ChatShapeTest, OnlyWhatMustDiffersForTheProvider) {
  const std::string body =
      R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,x"}}]}],)"
      R"("model":"auto","temperature":0.50,"tools":[{"type":"function"}],"n":1e0})";
  const auto shape = ReadChatShape(body);
  ASSERT_TRUE(shape.ok());
  std::string wanted = body;
  wanted.replace(wanted.find("auto"), 4, "own");
  EXPECT_EQ(ChatBodyFor(Spec(), body, *shape), wanted);
  const std::string own = R"({"model":"own","messages":[]})";
  EXPECT_EQ(ChatBodyFor(Spec(), own, *ReadChatShape(own)), own);
}

TEST(ChatShapeTest, AStreamIsAskedForItsUsage) {
  const std::string body = R"({"model":"own","messages":[],"stream":true})";
  EXPECT_EQ(ChatBodyFor(Spec(), body, *ReadChatShape(body)),
            R"({"model":"own","messages":[],"stream":true,)"
            R"("stream_options":{"include_usage":true}})");
  const std::string options =
      R"({"model":"own","messages":[],"stream":true,"stream_options":{"x":1}})";
  EXPECT_EQ(ChatBodyFor(Spec(), options, *ReadChatShape(options)),
            R"({"model":"own","messages":[],"stream":true,)"
            R"("stream_options":{"x":1,"include_usage":true}})");
}

constexpr char kStream[] =
    "data: "
    "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}],\"usage\":null}\n\n"
    ": a remark\r\n\r\n"
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
    "data: [DONE]\n\n";

TEST(ChatStreamTest, TheUsageIsReadAndLeftOutUnlessAskedFor) {
  // However the bytes are cut.
  for (size_t piece = 1; piece < sizeof(kStream); ++piece) {
    for (const bool keep : {false, true}) {
      ChatStream stream(keep);
      std::string out;
      const std::string_view all(kStream);
      for (size_t at = 0; at < all.size(); at += piece) {
        const auto passed = stream.Take(all.substr(at, piece));
        ASSERT_TRUE(passed.ok());
        out += *passed;
      }
      out += stream.Rest();
      EXPECT_TRUE(stream.ended());
      EXPECT_TRUE(stream.told());
      EXPECT_EQ(stream.usage().input_tokens, 7);
      EXPECT_EQ(stream.usage().output_tokens, 3);
      std::string wanted(kStream);
      if (!keep) {
        const size_t begin = wanted.find("data: {\"choices\":[],");
        wanted.erase(begin, wanted.find("data: [DONE]") - begin);
      }
      ASSERT_EQ(out, wanted) << piece;
    }
  }
}

TEST(ChatStreamTest, UsageInAChunkWithAnAnswerStays) {
  ChatStream stream(false);
  const std::string event =
      "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":1,"
      "\"completion_tokens\":1}}\n\n";
  EXPECT_EQ(*stream.Take(event), event);
  EXPECT_TRUE(stream.told());
  EXPECT_FALSE(stream.ended());
}

TEST(ChatStreamTest, NonsensePassesAndAnEndlessEventDoesNot) {
  ChatStream stream(false);
  EXPECT_EQ(*stream.Take("data: {\"usage\":\n\ndata: nonsense\n\n"),
            "data: {\"usage\":\n\ndata: nonsense\n\n");
  absl::Status status;
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 20 && status.ok(); ++i) status = stream.Take(piece).status();
  EXPECT_FALSE(status.ok());
}

TEST(ChatUsageTest, OfAWholeAnswer) {
  ModelUsage usage;
  EXPECT_TRUE(ReadChatUsage(R"({"usage":{"prompt_tokens":5,"completion_tokens":2}})", &usage));
  EXPECT_EQ(usage.input_tokens, 5);
  EXPECT_FALSE(ReadChatUsage(R"({"usage":null})", &usage));
  EXPECT_FALSE(ReadChatUsage("x", &usage));
}

}  // namespace
}  // namespace metamcp::ai
