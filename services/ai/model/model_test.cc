#include "services/ai/model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/base/error.h"

namespace metamcp::ai {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

ProviderSpec Spec(ModelApi api) {
  ProviderSpec out;
  out.api = api;
  out.model = "m-1";
  out.key = "secret-key";
  return out;
}

ModelRequest Request() {
  ModelRequest out;
  out.system = "be brief";
  out.schema = R"({"type":"object","properties":{},"required":[],"additionalProperties":false})";
  out.Say("user", "hello");
  return out;
}

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

TEST(ModelEncodeTest, SpeaksResponses) {
  RecordProperty("req", "M-FR-005.1");
  const json body = json::parse(EncodeRequest(Spec(ModelApi::kResponses), Request()));
  EXPECT_EQ(body["instructions"], "be brief");
  EXPECT_EQ(body["input"][0]["content"][0]["type"], "input_text");
  EXPECT_EQ(body["text"]["format"]["type"], "json_schema");
  EXPECT_EQ(body["store"], false);
  EXPECT_EQ(ApiUrl(Spec(ModelApi::kResponses)), "https://api.openai.com/v1/responses");
}

TEST(ModelEncodeTest, SpeaksChat) {
  ProviderSpec spec = Spec(ModelApi::kChat);
  json body = json::parse(EncodeRequest(spec, Request()));
  EXPECT_EQ(body["messages"][0]["role"], "system");
  EXPECT_EQ(body["messages"][1]["content"], "hello");
  EXPECT_TRUE(body.contains("max_completion_tokens"));
  EXPECT_EQ(body["stream_options"]["include_usage"], true);
  spec.url = "http://127.0.0.1:1/v1/";
  spec.json_schema = false;
  body = json::parse(EncodeRequest(spec, Request()));
  EXPECT_TRUE(body.contains("max_tokens"));
  EXPECT_FALSE(body.contains("response_format"));
  EXPECT_THAT(body["messages"][0]["content"].get<std::string>(), HasSubstr("JSON Schema"));
  EXPECT_EQ(ApiUrl(spec), "http://127.0.0.1:1/v1/chat/completions");
}

TEST(ModelEncodeTest, SpeaksAnthropic) {
  RecordProperty("req", "P2-LLM-2");
  const ProviderSpec spec = Spec(ModelApi::kAnthropic);
  const json body = json::parse(EncodeRequest(spec, Request()));
  EXPECT_EQ(body["system"], "be brief");
  EXPECT_EQ(body["max_tokens"], 4096);
  EXPECT_EQ(body["output_config"]["format"]["type"], "json_schema");
  EXPECT_EQ(ApiUrl(spec), "https://api.anthropic.com/v1/messages");
  bool key = false;
  for (const auto& [name, value] : ApiHeaders(spec))
    key = key || (name == "x-api-key" && value == "secret-key");
  EXPECT_TRUE(key);
}

TEST(ModelEncodeTest, PassesPicturesThrough) {
  RecordProperty("req", "M-E4");
  ModelRequest request;
  request.Say("user", "what is it?");
  ModelPart image;
  image.kind = ModelPart::Kind::kImage;
  image.mime = "image/png";
  image.base64 = "QUJD";
  request.messages[0].parts.push_back(image);
  for (const ModelApi api : {ModelApi::kResponses, ModelApi::kChat, ModelApi::kAnthropic}) {
    EXPECT_THAT(EncodeRequest(Spec(api), request), HasSubstr("QUJD"));
  }
}

TEST(ModelEncodeTest, PutsNoKeyIntoTheBody) {
  for (const ModelApi api : {ModelApi::kResponses, ModelApi::kChat, ModelApi::kAnthropic}) {
    EXPECT_THAT(EncodeRequest(Spec(api), Request()), Not(HasSubstr("secret-key")));
  }
}

TEST(ModelDecodeTest, ReadsWholeAnswers) {
  const auto responses = DecodeReply(
      ModelApi::kResponses,
      R"({"status":"completed","model":"m","output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":"hi"}]}],"usage":{"input_tokens":3,"output_tokens":2}})");
  ASSERT_TRUE(responses.ok()) << responses.status();
  EXPECT_EQ(responses->text, "hi");
  EXPECT_EQ(responses->usage.input_tokens, 3);
  const auto chat = DecodeReply(
      ModelApi::kChat,
      R"({"model":"m","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}})");
  ASSERT_TRUE(chat.ok());
  EXPECT_EQ(chat->usage.output_tokens, 2);
  const auto anthropic = DecodeReply(
      ModelApi::kAnthropic,
      R"({"type":"message","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}})");
  ASSERT_TRUE(anthropic.ok());
  EXPECT_EQ(anthropic->text, "hi");
}

TEST(ModelDecodeTest, TellsWhyThereIsNoAnswer) {
  RecordProperty("req", "M-FR-005.4");
  const struct {
    ModelApi api;
    const char* body;
    const char* reason;
  } cases[] = {
      {ModelApi::kResponses,
       R"({"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]})",
       "AI_ANSWER_INVALID"},
      {ModelApi::kResponses,
       R"({"status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[]})",
       "AI_REFUSED"},
      {ModelApi::kResponses, R"({"status":"failed","error":{"message":"x"},"output":[]})",
       "AI_PROVIDER_FAILED"},
      {ModelApi::kResponses,
       R"({"status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":"no"}]}]})",
       "AI_REFUSED"},
      {ModelApi::kChat, R"({"choices":[{"message":{"content":"h"},"finish_reason":"length"}]})",
       "AI_ANSWER_INVALID"},
      {ModelApi::kChat, R"({"choices":[{"message":{"refusal":"no"},"finish_reason":"stop"}]})",
       "AI_REFUSED"},
      {ModelApi::kChat, R"({"choices":[]})", "AI_ANSWER_INVALID"},
      {ModelApi::kAnthropic, R"({"content":[],"stop_reason":"refusal"})", "AI_REFUSED"},
      {ModelApi::kAnthropic, R"({"content":[],"stop_reason":"max_tokens"})", "AI_ANSWER_INVALID"},
      {ModelApi::kAnthropic, R"({"type":"error","error":{"message":"x"}})", "AI_PROVIDER_FAILED"},
      {ModelApi::kChat, "not json", "AI_ANSWER_INVALID"},
      {ModelApi::kAnthropic, "[]", "AI_ANSWER_INVALID"},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(Reason(DecodeReply(one.api, one.body).status()), one.reason) << one.body;
  }
}

absl::StatusOr<ModelReply> Stream(ModelApi api, const std::vector<std::string>& events) {
  const auto reader = NewStreamReader(api);
  for (const std::string& event : events) {
    const absl::Status taken = reader->Take("message", event);
    if (!taken.ok()) return taken;
  }
  return reader->Finish();
}

TEST(ModelStreamTest, PutsAnswersTogether) {
  const auto responses = Stream(
      ModelApi::kResponses,
      {R"({"type":"response.output_text.delta","delta":"h"})",
       R"({"type":"response.completed","response":{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}],"usage":{"input_tokens":1,"output_tokens":2}}})"});
  ASSERT_TRUE(responses.ok()) << responses.status();
  EXPECT_EQ(responses->text, "hi");
  const auto chat =
      Stream(ModelApi::kChat,
             {R"({"model":"m","choices":[{"delta":{"role":"assistant"}}]})",
              R"({"choices":[{"delta":{"content":"h"}}]})",
              R"({"choices":[{"delta":{"content":"i"},"finish_reason":"stop"}]})",
              R"({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}})", "[DONE]"});
  ASSERT_TRUE(chat.ok());
  EXPECT_EQ(chat->text, "hi");
  EXPECT_EQ(chat->usage.output_tokens, 2);
  const auto anthropic = Stream(
      ModelApi::kAnthropic,
      {R"({"type":"message_start","message":{"model":"m","usage":{"input_tokens":1,"output_tokens":1}}})",
       R"({"type":"ping"})",
       R"({"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}})",
       R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}})",
       R"({"type":"message_stop"})"});
  ASSERT_TRUE(anthropic.ok());
  EXPECT_EQ(anthropic->usage.output_tokens, 2);
}

TEST(ModelStreamTest, NoticesWhatIsMissing) {
  EXPECT_EQ(
      Reason(Stream(ModelApi::kAnthropic,
                    {R"({"type":"content_block_delta","delta":{"type":"text_delta","text":"h"}})"})
                 .status()),
      "AI_PROVIDER_FAILED");
  EXPECT_EQ(
      Reason(Stream(ModelApi::kChat, {R"({"choices":[{"delta":{"content":"h"}}]})"}).status()),
      "AI_PROVIDER_FAILED");
  EXPECT_EQ(Reason(Stream(ModelApi::kChat, {"{broken"}).status()), "AI_ANSWER_INVALID");
  EXPECT_EQ(
      Reason(Stream(ModelApi::kAnthropic,
                    {R"({"type":"error","error":{"type":"overloaded_error","message":"busy"}})"})
                 .status()),
      "AI_PROVIDER_FAILED");
}

}  // namespace
}  // namespace metamcp::ai
