// However a stream is cut into pieces, the parser tells the same events; limits hold; and what the
// writer makes of an event reads back as that event.
#include "common/http/sse.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/check.h"

namespace {

using metamcp::http::SseMessage;
using metamcp::http::SseParser;

constexpr std::size_t kLineBytesMax = 64;
constexpr std::size_t kEventBytesMax = 96;

struct Outcome {
  std::vector<SseMessage> events;
  std::string last_id;
  std::optional<std::int64_t> retry_ms;
  bool failed = false;
};

Outcome Parse(SseParser::Limits limits, std::string_view text, std::size_t piece) {
  Outcome out;
  SseParser parser(limits);
  const auto take = [&](SseMessage& message) { out.events.push_back(message); };
  while (!text.empty() && !out.failed) {
    out.failed = !parser.Feed(text.substr(0, piece), take).ok();
    text.remove_prefix(std::min(piece, text.size()));
  }
  if (out.failed) METAMCP_CHECK(!parser.Feed("data: more\n\n", take).ok());
  out.last_id = parser.last_event_id();
  out.retry_ms = parser.retry_ms();
  return out;
}

bool Same(const Outcome& a, const Outcome& b) {
  const auto same = [](const SseMessage& x, const SseMessage& y) {
    return x.event == y.event && x.data == y.data && x.id == y.id && x.retry_ms == y.retry_ms;
  };
  return a.failed == b.failed && a.last_id == b.last_id && a.retry_ms == b.retry_ms &&
         std::equal(a.events.begin(), a.events.end(), b.events.begin(), b.events.end(), same);
}

void CheckWrittenBack(const SseMessage& message) {
  const std::string text =
      metamcp::http::SseEvent(message.data, message.event, message.id, message.retry_ms);
  const Outcome again = Parse(SseParser::Limits(), text, text.size());
  METAMCP_CHECK(!again.failed && again.events.size() == 1);
  METAMCP_CHECK(again.events[0].data == message.data);
  METAMCP_CHECK(again.events[0].retry_ms == message.retry_ms);
}

}  // namespace

// The first byte says how long the pieces are.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = 1 + data[0] % 16;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = Parse(SseParser::Limits(), text, std::max<std::size_t>(text.size(), 1));
  METAMCP_CHECK(Same(whole, Parse(SseParser::Limits(), text, piece)));
  for (const SseMessage& message : whole.events) CheckWrittenBack(message);

  const SseParser::Limits small(kLineBytesMax, kEventBytesMax);
  const Outcome bounded = Parse(small, text, std::max<std::size_t>(text.size(), 1));
  METAMCP_CHECK(Same(bounded, Parse(small, text, piece)));
  for (const SseMessage& message : bounded.events) {
    METAMCP_CHECK(message.data.size() <= kEventBytesMax && message.event.size() <= kLineBytesMax);
  }
  return 0;
}
