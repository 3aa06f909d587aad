// Requests in the words of each API.
#include <nlohmann/json.hpp>

#include "common/base/strings.h"
#include "common/json/dom.h"
#include "services/ai/model/model.h"

namespace metamcp::ai {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kOpenAi = "https://api.openai.com/v1";
constexpr std::string_view kAnthropic = "https://api.anthropic.com";
// Instead of a sound, where an API takes none.
constexpr std::string_view kUnheard = "[a sound that this model cannot hear]";
constexpr std::string_view kAnthropicVersion = "2023-06-01";

Json SchemaOf(const ModelRequest& request) {
  auto schema = json::ParseOrderedJson(request.schema);
  return schema.ok() ? *std::move(schema) : Json::object();
}

// Where an API cannot be held to a schema, the model is asked to hold itself to it.
std::string SystemOf(const ProviderSpec& provider, const ModelRequest& request) {
  if (request.schema.empty() || provider.json_schema) return request.system;
  return StrCat(request.system,
                "\n\nAnswer with one JSON value and nothing else. It must follow this JSON "
                "Schema:\n",
                request.schema);
}

std::string DataUrl(const ModelPart& part) {
  return StrCat("data:", part.mime, ";base64,", part.base64);
}

std::string AudioFormat(const ModelPart& part) {
  return part.mime.find("wav") != std::string::npos ? "wav" : "mp3";
}

Json ResponsesContent(const ModelMessage& message) {
  Json out = Json::array();
  for (const ModelPart& part : message.parts) {
    switch (part.kind) {
      case ModelPart::Kind::kText:
        out.push_back({{"type", message.role == "assistant" ? "output_text" : "input_text"},
                       {"text", part.text}});
        break;
      case ModelPart::Kind::kImage:
        out.push_back({{"type", "input_image"}, {"detail", "auto"}, {"image_url", DataUrl(part)}});
        break;
      case ModelPart::Kind::kAudio:
        out.push_back({{"type", "input_text"}, {"text", std::string(kUnheard)}});
        break;
    }
  }
  return out;
}

// A text alone is a text: not every server of this API takes lists.
Json ChatContent(const ModelMessage& message) {
  if (message.parts.size() == 1 && message.parts[0].kind == ModelPart::Kind::kText) {
    return message.parts[0].text;
  }
  Json out = Json::array();
  for (const ModelPart& part : message.parts) {
    switch (part.kind) {
      case ModelPart::Kind::kText:
        out.push_back({{"type", "text"}, {"text", part.text}});
        break;
      case ModelPart::Kind::kImage:
        out.push_back({{"type", "image_url"}, {"image_url", {{"url", DataUrl(part)}}}});
        break;
      case ModelPart::Kind::kAudio:
        out.push_back({{"type", "input_audio"},
                       {"input_audio", {{"data", part.base64}, {"format", AudioFormat(part)}}}});
        break;
    }
  }
  return out;
}

Json AnthropicContent(const ModelMessage& message) {
  Json out = Json::array();
  for (const ModelPart& part : message.parts) {
    switch (part.kind) {
      case ModelPart::Kind::kText:
        out.push_back({{"type", "text"}, {"text", part.text}});
        break;
      case ModelPart::Kind::kImage:
        out.push_back(
            {{"type", "image"},
             {"source", {{"type", "base64"}, {"media_type", part.mime}, {"data", part.base64}}}});
        break;
      case ModelPart::Kind::kAudio:
        out.push_back({{"type", "text"}, {"text", std::string(kUnheard)}});
        break;
    }
  }
  return out;
}

Json Responses(const ProviderSpec& provider, const ModelRequest& request) {
  Json out;
  out["model"] = provider.model;
  const std::string system = SystemOf(provider, request);
  if (!system.empty()) out["instructions"] = system;
  out["input"] = Json::array();
  for (const ModelMessage& message : request.messages) {
    Json one;
    one["role"] = message.role;
    if (message.role == "assistant") {
      std::string text;
      for (const ModelPart& part : message.parts) text += part.text;
      one["content"] = text;
    } else {
      one["content"] = ResponsesContent(message);
    }
    out["input"].push_back(std::move(one));
  }
  out["max_output_tokens"] = provider.output_tokens_max;
  // What was asked is nobody's to keep.
  out["store"] = false;
  if (!request.schema.empty() && provider.json_schema) {
    out["text"]["format"] = {{"type", "json_schema"},
                             {"name", request.schema_name},
                             {"schema", SchemaOf(request)},
                             {"strict", true}};
  }
  if (provider.stream) out["stream"] = true;
  return out;
}

Json Chat(const ProviderSpec& provider, const ModelRequest& request) {
  Json out;
  out["model"] = provider.model;
  out["messages"] = Json::array();
  const std::string system = SystemOf(provider, request);
  if (!system.empty()) out["messages"].push_back({{"role", "system"}, {"content", system}});
  for (const ModelMessage& message : request.messages) {
    out["messages"].push_back({{"role", message.role}, {"content", ChatContent(message)}});
  }
  // The vendor's own name is newer than most other servers of this API.
  out[provider.url.empty() ? "max_completion_tokens" : "max_tokens"] = provider.output_tokens_max;
  if (!request.schema.empty() && provider.json_schema) {
    out["response_format"] = {
        {"type", "json_schema"},
        {"json_schema",
         {{"name", request.schema_name}, {"schema", SchemaOf(request)}, {"strict", true}}}};
  }
  if (provider.stream) {
    out["stream"] = true;
    out["stream_options"]["include_usage"] = true;
  }
  return out;
}

Json Anthropic(const ProviderSpec& provider, const ModelRequest& request) {
  Json out;
  out["model"] = provider.model;
  out["max_tokens"] = provider.output_tokens_max;
  const std::string system = SystemOf(provider, request);
  if (!system.empty()) out["system"] = system;
  out["messages"] = Json::array();
  for (const ModelMessage& message : request.messages) {
    out["messages"].push_back({{"role", message.role}, {"content", AnthropicContent(message)}});
  }
  if (!request.schema.empty() && provider.json_schema) {
    out["output_config"]["format"] = {{"type", "json_schema"}, {"schema", SchemaOf(request)}};
  }
  if (provider.stream) out["stream"] = true;
  return out;
}

}  // namespace

void ModelRequest::Say(std::string role, std::string text) {
  ModelMessage message;
  message.role = std::move(role);
  ModelPart part;
  part.text = std::move(text);
  message.parts.push_back(std::move(part));
  messages.push_back(std::move(message));
}

std::string ApiUrl(const ProviderSpec& provider) {
  std::string base = provider.url;
  if (base.empty()) base = provider.api == ModelApi::kAnthropic ? kAnthropic : kOpenAi;
  while (base.ends_with("/")) base.pop_back();
  switch (provider.api) {
    case ModelApi::kResponses:
      return base + "/responses";
    case ModelApi::kChat:
      return base + "/chat/completions";
    case ModelApi::kAnthropic:
      return base + (base.ends_with("/v1") ? "/messages" : "/v1/messages");
  }
  return base;
}

std::vector<std::pair<std::string, std::string>> ApiHeaders(const ProviderSpec& provider) {
  std::vector<std::pair<std::string, std::string>> out = {{"Content-Type", "application/json"}};
  if (provider.api == ModelApi::kAnthropic) {
    out.emplace_back("anthropic-version", kAnthropicVersion);
    if (!provider.key.empty()) out.emplace_back("x-api-key", provider.key);
  } else if (!provider.key.empty()) {
    out.emplace_back("Authorization", StrCat("Bearer ", provider.key));
  }
  out.emplace_back("Accept", provider.stream ? "text/event-stream" : "application/json");
  return out;
}

std::string EncodeRequest(const ProviderSpec& provider, const ModelRequest& request) {
  switch (provider.api) {
    case ModelApi::kResponses:
      return json::DumpJson(Responses(provider, request));
    case ModelApi::kChat:
      return json::DumpJson(Chat(provider, request));
    case ModelApi::kAnthropic:
      return json::DumpJson(Anthropic(provider, request));
  }
  return "{}";
}

}  // namespace metamcp::ai
