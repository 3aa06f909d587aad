#include "common/http/sse.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::http {
namespace {

constexpr std::string_view kBom = "\xEF\xBB\xBF";

absl::Status TooLarge(std::string_view what, size_t limit) {
  return MakeError("UPSTREAM_RESULT_TOO_LARGE", "http",
                   StrCat("an event stream ", what, " exceeds ", limit, " bytes"));
}

// Appends one field per line of `data`; CR, LF and CRLF all end a line.
void AppendData(std::string_view data, std::string& out) {
  for (;;) {
    const size_t end = std::min(data.find_first_of("\r\n"), data.size());
    out.append("data: ").append(data.substr(0, end)).push_back('\n');
    if (end == data.size()) return;
    const bool crlf = data[end] == '\r' && end + 1 < data.size() && data[end + 1] == '\n';
    data.remove_prefix(end + (crlf ? 2 : 1));
  }
}

void AppendField(std::string_view name, std::string_view value, std::string& out) {
  out.append(name).append(": ");
  for (char c : value) {
    const auto u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u != 0x7f) out += c;
  }
  out += '\n';
}

}  // namespace

absl::Status SseParser::Feed(std::string_view bytes,
                             absl::FunctionRef<void(SseMessage&)> on_event) {
  if (failed_) return absl::FailedPreconditionError("the event stream has already failed");
  while (!bytes.empty()) {
    if (after_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);
    after_cr_ = false;
    const size_t end = bytes.find_first_of("\r\n");
    absl::Status status = Append(bytes.substr(0, end));
    if (status.ok() && end != std::string_view::npos) {
      after_cr_ = bytes[end] == '\r';
      status = EndLine(on_event);
    }
    if (!status.ok()) {
      failed_ = true;
      return status;
    }
    if (end == std::string_view::npos) break;
    bytes.remove_prefix(end + 1);
  }
  return absl::OkStatus();
}

absl::Status SseParser::Append(std::string_view piece) {
  if (piece.size() > limits_.line_bytes_max - std::min(limits_.line_bytes_max, line_.size())) {
    return TooLarge("line", limits_.line_bytes_max);
  }
  line_.append(piece);
  return absl::OkStatus();
}

absl::Status SseParser::EndLine(absl::FunctionRef<void(SseMessage&)> on_event) {
  std::string_view line = line_;
  if (first_line_ && line.substr(0, kBom.size()) == kBom) line.remove_prefix(kBom.size());
  first_line_ = false;
  if (line.empty()) {
    if (has_data_) {
      if (message_.event.empty()) message_.event = "message";
      message_.id = last_id_;
      on_event(message_);
    }
    message_ = SseMessage();
    has_data_ = false;
    line_.clear();
    return absl::OkStatus();
  }
  absl::Status status;
  if (line.front() != ':') {
    const size_t colon = std::min(line.find(':'), line.size());
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    status = Field(line.substr(0, colon), value);
  }
  line_.clear();
  return status;
}

absl::Status SseParser::Field(std::string_view name, std::string_view value) {
  if (name == "data") {
    if (message_.data.size() + value.size() + (has_data_ ? 1 : 0) > limits_.event_bytes_max) {
      return TooLarge("event", limits_.event_bytes_max);
    }
    if (has_data_) message_.data += '\n';
    message_.data.append(value);
    has_data_ = true;
  } else if (name == "event") {
    message_.event.assign(value);
  } else if (name == "id") {
    if (value.find('\0') == std::string_view::npos) last_id_.assign(value);
  } else if (name == "retry") {
    const bool digits = !value.empty() && value.size() <= 15 &&
                        value.find_first_not_of("0123456789") == std::string_view::npos;
    if (digits) message_.retry_ms = retry_ms_ = std::stoll(std::string(value));
  }
  return absl::OkStatus();
}

void AppendSseEvent(std::string_view data, std::string_view event, std::string_view id,
                    std::string& out) {
  if (!event.empty()) AppendField("event", event, out);
  if (!id.empty()) AppendField("id", id, out);
  AppendData(data, out);
  out += '\n';
}

std::string SseEvent(std::string_view data, std::string_view event, std::string_view id,
                     std::optional<int64_t> retry_ms) {
  std::string out;
  out.reserve(data.size() + event.size() + id.size() + 48);
  if (retry_ms) out.append("retry: ").append(std::to_string(*retry_ms)).push_back('\n');
  AppendSseEvent(data, event, id, out);
  return out;
}

}  // namespace metamcp::http
