// Answers of each API, whole and as streams.
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "services/ai/model/model.h"

namespace metamcp::ai {
namespace {

using nlohmann::json;

constexpr size_t kTextMax = 4u << 20;

// Members of another type are absent: an answer is no trusted text.
const json& At(const json& from, const char* key) {
  static const json kNone;
  const auto it = from.is_object() ? from.find(key) : from.end();
  return from.is_object() && it != from.end() ? *it : kNone;
}
std::string TextAt(const json& from, const char* key) {
  const json& value = At(from, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}
int64_t NumberAt(const json& from, const char* key) {
  const json& value = At(from, key);
  return value.is_number_integer() ? value.get<int64_t>() : 0;
}

absl::Status Refused(const std::string& why) {
  return MakeError(
      "AI_REFUSED", "ai",
      StrCat("the model refused to answer", why.empty() ? "" : ": ", why.substr(0, 300)));
}
absl::Status CutShort() {
  return MakeError("AI_ANSWER_INVALID", "ai", "the model's answer was cut short");
}
absl::Status Failed(const std::string& why) {
  return MakeError("AI_PROVIDER_FAILED", "ai",
                   StrCat("the provider answered with an error: ", why.substr(0, 300)));
}
absl::Status Shape() {
  return MakeError("AI_ANSWER_INVALID", "ai", "the provider's answer has not the shape of its API");
}

absl::StatusOr<ModelReply> ReadResponses(const json& body) {
  const std::string status = TextAt(body, "status");
  if (status == "failed") return Failed(TextAt(At(body, "error"), "message"));
  if (!At(body, "output").is_array()) return Shape();
  ModelReply out;
  out.model = TextAt(body, "model");
  out.usage.input_tokens = NumberAt(At(body, "usage"), "input_tokens");
  out.usage.output_tokens = NumberAt(At(body, "usage"), "output_tokens");
  for (const json& item : At(body, "output")) {
    if (TextAt(item, "type") != "message" || !At(item, "content").is_array()) continue;
    for (const json& part : At(item, "content")) {
      if (TextAt(part, "type") == "refusal") return Refused(TextAt(part, "refusal"));
      if (TextAt(part, "type") == "output_text") out.text += TextAt(part, "text");
    }
  }
  if (status == "incomplete") {
    return TextAt(At(body, "incomplete_details"), "reason") == "content_filter"
               ? Refused("a filter stopped it")
               : CutShort();
  }
  return out;
}

absl::Status ChatEnd(const std::string& reason) {
  if (reason == "length") return CutShort();
  if (reason == "content_filter") return Refused("a filter stopped it");
  return absl::OkStatus();
}

absl::StatusOr<ModelReply> ReadChat(const json& body) {
  const json& choices = At(body, "choices");
  if (!choices.is_array() || choices.empty()) return Shape();
  const json& message = At(choices[0], "message");
  if (!message.is_object()) return Shape();
  if (const std::string refusal = TextAt(message, "refusal"); !refusal.empty()) {
    return Refused(refusal);
  }
  METAMCP_RETURN_IF_ERROR(ChatEnd(TextAt(choices[0], "finish_reason")));
  ModelReply out;
  out.model = TextAt(body, "model");
  out.text = TextAt(message, "content");
  out.usage.input_tokens = NumberAt(At(body, "usage"), "prompt_tokens");
  out.usage.output_tokens = NumberAt(At(body, "usage"), "completion_tokens");
  return out;
}

absl::Status AnthropicEnd(const std::string& reason) {
  if (reason == "max_tokens" || reason == "model_context_window_exceeded") return CutShort();
  if (reason == "refusal") return Refused("");
  return absl::OkStatus();
}

absl::StatusOr<ModelReply> ReadAnthropic(const json& body) {
  if (TextAt(body, "type") == "error") return Failed(TextAt(At(body, "error"), "message"));
  if (!At(body, "content").is_array()) return Shape();
  METAMCP_RETURN_IF_ERROR(AnthropicEnd(TextAt(body, "stop_reason")));
  ModelReply out;
  out.model = TextAt(body, "model");
  for (const json& part : At(body, "content")) {
    if (TextAt(part, "type") == "text") out.text += TextAt(part, "text");
  }
  out.usage.input_tokens = NumberAt(At(body, "usage"), "input_tokens");
  out.usage.output_tokens = NumberAt(At(body, "usage"), "output_tokens");
  return out;
}

class Reader : public StreamReader {
 public:
  bool done() const override { return done_; }
  absl::Status Take(std::string_view event, std::string_view data) override {
    if (done_) return absl::OkStatus();
    if (data == "[DONE]") {
      done_ = true;
      return absl::OkStatus();
    }
    auto body = metamcp::json::ParseJson(data);
    if (!body.ok() || !body->is_object()) return Shape();
    METAMCP_RETURN_IF_ERROR(Read(std::string(event), *body));
    if (reply_.text.size() <= kTextMax) return absl::OkStatus();
    return MakeError("AI_ANSWER_INVALID", "ai", "the model's answer is longer than 4 MiB");
  }
  absl::StatusOr<ModelReply> Finish() override {
    if (!done_) return Failed("the stream ended before the answer did");
    if (!refusal_.empty()) return Refused(refusal_);
    return reply_;
  }

 protected:
  virtual absl::Status Read(const std::string& event, const json& body) = 0;
  bool done_ = false;
  std::string refusal_;
  ModelReply reply_;
};

class ResponsesReader final : public Reader {
  absl::Status Read(const std::string&, const json& body) override {
    const std::string type = TextAt(body, "type");
    if (type == "response.output_text.delta") {
      reply_.text += TextAt(body, "delta");
    } else if (type == "response.refusal.delta") {
      refusal_ += TextAt(body, "delta");
    } else if (type == "error") {
      return Failed(TextAt(body, "message"));
    } else if (type == "response.completed" || type == "response.incomplete" ||
               type == "response.failed") {
      // The last event has the whole answer.
      auto whole = ReadResponses(At(body, "response"));
      if (!whole.ok()) return whole.status();
      reply_ = *std::move(whole);
      done_ = true;
    }
    return absl::OkStatus();
  }
};

class ChatReader final : public Reader {
  absl::Status Read(const std::string&, const json& body) override {
    if (At(body, "error").is_object()) return Failed(TextAt(At(body, "error"), "message"));
    if (reply_.model.empty()) reply_.model = TextAt(body, "model");
    if (At(body, "usage").is_object()) {
      reply_.usage.input_tokens = NumberAt(At(body, "usage"), "prompt_tokens");
      reply_.usage.output_tokens = NumberAt(At(body, "usage"), "completion_tokens");
    }
    const json& choices = At(body, "choices");
    if (!choices.is_array() || choices.empty()) return absl::OkStatus();
    reply_.text += TextAt(At(choices[0], "delta"), "content");
    refusal_ += TextAt(At(choices[0], "delta"), "refusal");
    const std::string reason = TextAt(choices[0], "finish_reason");
    if (!reason.empty()) finished_ = true;
    return ChatEnd(reason);
  }
  // Not every server says [DONE].
  absl::StatusOr<ModelReply> Finish() override {
    done_ = done_ || finished_;
    return Reader::Finish();
  }
  bool finished_ = false;
};

class AnthropicReader final : public Reader {
  absl::Status Read(const std::string&, const json& body) override {
    const std::string type = TextAt(body, "type");
    if (type == "message_start") {
      const json& message = At(body, "message");
      reply_.model = TextAt(message, "model");
      reply_.usage.input_tokens = NumberAt(At(message, "usage"), "input_tokens");
      reply_.usage.output_tokens = NumberAt(At(message, "usage"), "output_tokens");
    } else if (type == "content_block_delta") {
      if (TextAt(At(body, "delta"), "type") == "text_delta") {
        reply_.text += TextAt(At(body, "delta"), "text");
      }
    } else if (type == "message_delta") {
      const int64_t tokens = NumberAt(At(body, "usage"), "output_tokens");
      if (tokens > 0) reply_.usage.output_tokens = tokens;
      return AnthropicEnd(TextAt(At(body, "delta"), "stop_reason"));
    } else if (type == "message_stop") {
      done_ = true;
    } else if (type == "error") {
      return Failed(TextAt(At(body, "error"), "message"));
    }
    return absl::OkStatus();
  }
};

}  // namespace

absl::StatusOr<ModelReply> DecodeReply(ModelApi api, std::string_view text) {
  const auto body = metamcp::json::ParseJson(text);
  if (!body.ok()) return Shape();
  switch (api) {
    case ModelApi::kResponses:
      return ReadResponses(*body);
    case ModelApi::kChat:
      return ReadChat(*body);
    case ModelApi::kAnthropic:
      return ReadAnthropic(*body);
  }
  return Shape();
}

std::unique_ptr<StreamReader> NewStreamReader(ModelApi api) {
  switch (api) {
    case ModelApi::kResponses:
      return std::make_unique<ResponsesReader>();
    case ModelApi::kChat:
      return std::make_unique<ChatReader>();
    case ModelApi::kAnthropic:
      return std::make_unique<AnthropicReader>();
  }
  return nullptr;
}

}  // namespace metamcp::ai
