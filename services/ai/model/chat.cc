#include "services/ai/model/chat.h"

#include <algorithm>
#include <set>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::ai {
namespace {

constexpr size_t kEventMax = 8u << 20;

absl::Status Invalid(std::string_view why) { return MakeError("ARGUMENT_INVALID", "ai", why); }

// The end of the first event in `text` (behind its blank line), which is not before `from`; npos
// where it is not whole.
size_t EventEnd(std::string_view text, size_t from) {
  for (size_t at = text.find('\n', from); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    if (at + 1 < text.size() && text[at + 1] == '\n') return at + 2;
    if (at + 2 < text.size() && text[at + 1] == '\r' && text[at + 2] == '\n') return at + 3;
  }
  return std::string_view::npos;
}

// The text of an event's data fields.
std::string DataOf(std::string_view event) {
  std::string out;
  for (size_t begin = 0; begin < event.size();) {
    const size_t end = std::min(event.find('\n', begin), event.size());
    std::string_view line = event.substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.starts_with("data:")) continue;
    line.remove_prefix(5);
    if (line.starts_with(' ')) line.remove_prefix(1);
    out += line;
  }
  return out;
}

bool ReadUsage(const json::ObjectView& object, ModelUsage* usage) {
  const auto told = json::ScanObject(object.Raw("usage"));
  if (!told.ok()) return false;
  usage->input_tokens = json::RawInt64(told->Raw("prompt_tokens")).value_or(0);
  usage->output_tokens = json::RawInt64(told->Raw("completion_tokens")).value_or(0);
  return true;
}

}  // namespace

absl::StatusOr<ChatShape> ReadChatShape(std::string_view body) {
  const auto object = json::ScanObject(body);
  if (!object.ok()) return Invalid("the request is not a JSON object");
  std::set<std::string_view> seen;
  for (const json::Member& member : object->members()) {
    if (!seen.insert(member.key).second) {
      return Invalid(StrCat("the request has the member \"", member.key.substr(0, 64), "\" twice"));
    }
  }
  ChatShape out;
  const auto model = object->String("model");
  if (!model || model->empty()) return Invalid("model must be a text");
  if (!json::ScanArray(object->Raw("messages")).ok()) return Invalid("messages must be a list");
  const std::string_view stream = object->Raw("stream");
  if (!stream.empty() && stream != "true" && stream != "false" && stream != "null") {
    return Invalid("stream must be true or false");
  }
  out.model = *model;
  out.stream = stream == "true";
  if (const auto options = json::ScanObject(object->Raw("stream_options")); options.ok()) {
    out.wants_usage = options->Raw("include_usage") == "true";
  }
  return out;
}

std::string ChatBodyFor(const ProviderSpec& provider, std::string_view body,
                        const ChatShape& shape) {
  const auto object = json::ScanObject(body);
  if (!object.ok()) return std::string(body);
  json::Splicer splicer(*object);
  if (shape.model != provider.model) splicer.SetString("model", provider.model);
  if (shape.stream && !shape.wants_usage) {
    const auto options = json::ScanObject(object->Raw("stream_options"));
    if (options.ok()) {
      json::Splicer inner(*options);
      inner.Set("include_usage", "true");
      splicer.Set("stream_options", inner.Build());
    } else {
      splicer.Set("stream_options", R"({"include_usage":true})");
    }
  }
  return splicer.Build();
}

bool ReadChatUsage(std::string_view body, ModelUsage* usage) {
  const auto object = json::ScanObject(body);
  return object.ok() && ReadUsage(*object, usage);
}

// Whether an event is passed on. Only those that may say something of interest are looked into.
bool ChatStream::Keeps(std::string_view event) {
  const std::string data = DataOf(event);
  if (data.empty()) return true;
  if (data == "[DONE]") {
    ended_ = true;
    return true;
  }
  ++chunks_;
  const bool usage = data.find("\"usage\"") != std::string::npos;
  const bool reason = data.find("\"finish_reason\"") != std::string::npos;
  if (!usage && !reason) return true;
  const auto object = json::ScanObject(data);
  if (!object.ok()) return true;
  const auto choices = json::ScanArray(object->Raw("choices"));
  const bool bare = choices.ok() && choices->empty();
  if (reason && choices.ok() && !bare) {
    const auto choice = json::ScanObject(choices->front().raw);
    if (choice.ok() && choice->String("finish_reason").has_value()) ended_ = true;
  }
  if (!usage || !ReadUsage(*object, &usage_)) return true;
  told_ = true;
  return keep_usage_ || !bare;
}

absl::StatusOr<std::string> ChatStream::Take(std::string_view bytes) {
  buffer_ += bytes;
  std::string out;
  size_t begin = 0;
  for (;;) {
    const std::string_view left = std::string_view(buffer_).substr(begin);
    const size_t end = EventEnd(left, looked_);
    looked_ = 0;
    if (end == std::string_view::npos) {
      // A blank line may be cut in two.
      looked_ = left.size() - std::min<size_t>(left.size(), 2);
      break;
    }
    if (Keeps(left.substr(0, end))) out += left.substr(0, end);
    begin += end;
  }
  buffer_.erase(0, begin);
  if (buffer_.size() > kEventMax) {
    return MakeError("AI_PROVIDER_FAILED", "ai", "an event of the provider is longer than 8 MiB");
  }
  return out;
}

std::string ChatStream::Rest() {
  std::string rest = std::move(buffer_);
  buffer_.clear();
  if (!rest.empty() && !Keeps(rest)) rest.clear();
  return rest;
}

}  // namespace metamcp::ai
