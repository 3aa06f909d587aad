#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "services/ai/model/model.h"

// Requests of OpenAI's Chat Completions that are passed on: what must be known of them, and their
// answers on the way. Bytes stay as they are wherever nothing must be changed.
namespace metamcp::ai {

struct ChatShape {
  std::string model;
  bool stream = false;
  bool wants_usage = false;  // stream_options.include_usage
};
// Errors: ARGUMENT_INVALID: no JSON object, no model, no messages, or a member that stands twice.
absl::StatusOr<ChatShape> ReadChatShape(std::string_view body);

// The request for one provider: its own name of the model, and a stream that ends with the usage.
std::string ChatBodyFor(const ProviderSpec& provider, std::string_view body,
                        const ChatShape& shape);

// What came of a request.
struct ChatEnd {
  bool began = false;  // something was passed on
  std::string provider;
  ModelUsage usage;
  int64_t cost_micros = 0;
};

// Where an answer goes. Errors of it end the request.
class ChatOut {
 public:
  virtual ~ChatOut() = default;
  // Once, before the data.
  virtual Awaitable<absl::Status> Begin(int status, std::string content_type,
                                        std::string provider) = 0;
  virtual Awaitable<absl::Status> Data(std::string bytes) = 0;
};

// The events of a stream of chunks on their way: reads the usage, and leaves the chunk out that
// only has it where nobody asked for it. Single-threaded.
class ChatStream {
 public:
  explicit ChatStream(bool keep_usage) : keep_usage_(keep_usage) {}

  // The next bytes; returns those that are to be passed on, which are whole events. Errors:
  // AI_PROVIDER_FAILED for an event of more than 8 MiB.
  absl::StatusOr<std::string> Take(std::string_view bytes);
  // What is left at the end of the stream.
  std::string Rest();

  bool ended() const { return ended_; }  // by [DONE], or by a choice that has finished
  bool told() const { return told_; }    // the usage was there
  int64_t chunks() const { return chunks_; }
  const ModelUsage& usage() const { return usage_; }

 private:
  bool Keeps(std::string_view event);

  const bool keep_usage_;
  std::string buffer_;
  size_t looked_ = 0;  // at so much of it
  bool ended_ = false;
  bool told_ = false;
  int64_t chunks_ = 0;
  ModelUsage usage_;
};

// The usage of a whole answer; false where it says none.
bool ReadChatUsage(std::string_view body, ModelUsage* usage);

}  // namespace metamcp::ai
