#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp::ai {

// A piece of what a model is told. Images and audio are passed through as they are.
struct ModelPart {
  enum class Kind { kText, kImage, kAudio };
  Kind kind = Kind::kText;
  std::string text;
  std::string mime;    // of an image or a sound
  std::string base64;  // its bytes
};

struct ModelMessage {
  std::string role;  // user or assistant
  std::vector<ModelPart> parts;
};

// What a model is asked, whatever API it speaks.
struct ModelRequest {
  std::string system;
  std::vector<ModelMessage> messages;
  // JSON Schema that the answer must follow; empty: any text.
  std::string schema;
  std::string schema_name = "answer";

  void Say(std::string role, std::string text);
};

struct ModelUsage {
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
};

struct ModelReply {
  std::string text;
  ModelUsage usage;
  std::string model;  // as the API names it
  std::string provider;
  int64_t cost_micros = 0;  // millionths of the currency of the prices
};

enum class ModelApi { kResponses, kChat, kAnthropic };

// How one model of one vendor is reached.
struct ProviderSpec {
  ProviderSpec() = default;
  std::string name;
  ModelApi api = ModelApi::kChat;
  std::string url;  // empty: the vendor's own
  std::string model;
  std::string key;  // secret
  int64_t timeout_ms = 20'000;
  int64_t output_tokens_max = 4096;
  bool stream = true;
  bool json_schema = true;
  bool allow_plain_http = false;
  int64_t requests_per_minute = 0;
  int64_t tokens_per_day = 0;
  int64_t input_cents = 0;
  int64_t output_cents = 0;
};

// The call of the API: path below the URL, headers and body.
std::string ApiUrl(const ProviderSpec& provider);
std::vector<std::pair<std::string, std::string>> ApiHeaders(const ProviderSpec& provider);
std::string EncodeRequest(const ProviderSpec& provider, const ModelRequest& request);

// Reads a whole answer. Errors: AI_REFUSED, AI_ANSWER_INVALID (cut short, or not of the API's
// shape), AI_PROVIDER_FAILED (an error in the answer).
absl::StatusOr<ModelReply> DecodeReply(ModelApi api, std::string_view body);

// Puts an answer together from the events of a stream.
class StreamReader {
 public:
  virtual ~StreamReader() = default;
  // One event. Errors: as DecodeReply.
  virtual absl::Status Take(std::string_view event, std::string_view data) = 0;
  // True when the API has said that this is all.
  virtual bool done() const = 0;
  // Errors: as DecodeReply, and AI_PROVIDER_FAILED where the stream ended before its end.
  virtual absl::StatusOr<ModelReply> Finish() = 0;
};
std::unique_ptr<StreamReader> NewStreamReader(ModelApi api);

}  // namespace metamcp::ai
