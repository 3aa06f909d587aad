#include "common/http/sse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/base/strings.h"

namespace metamcp::http {
namespace {

struct Case {
  const char* name;
  std::string text;
  std::vector<std::string> events;  // "event|data|id"
};

std::vector<std::string> Parse(SseParser& parser, std::string_view text, size_t step) {
  std::vector<std::string> out;
  const auto on_event = [&](SseMessage& m) {
    out.push_back(StrCat(m.event, "|", m.data, "|", m.id));
  };
  for (size_t i = 0; i < text.size(); i += step) {
    EXPECT_TRUE(parser.Feed(text.substr(i, step), on_event).ok());
  }
  return out;
}

TEST(SseParserTest, FollowsTheStandard) {
  RecordProperty("req", "M02-TR-3.2 M02-DEP-4");
  const std::vector<Case> cases = {
      {"one event", "data: hello\n\n", {"message|hello|"}},
      {"lines join", "data: YHOO\ndata: +2\ndata: 10\n\n", {"message|YHOO\n+2\n10|"}},
      {"comments, ids and their reset",
       ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third "
       "event\n\n",
       {"message|first event|1", "message|second event|", "message| third event|"}},
      {"empty data dispatches", "data\n\ndata\ndata\n\ndata:", {"message||", "message|\n|"}},
      {"one space is dropped", "data:test\n\ndata: test\n\n", {"message|test|", "message|test|"}},
      {"named event", "event: ping\ndata: x\n\ndata: y\n\n", {"ping|x|", "message|y|"}},
      {"event without data is nothing", "event: ping\n\ndata: y\n\n", {"message|y|"}},
      {"CR ends lines", "data: a\rdata: b\r\rdata: c\r\r", {"message|a\nb|", "message|c|"}},
      {"CRLF ends lines", "data: a\r\ndata: b\r\n\r\n", {"message|a\nb|"}},
      {"mixed ends", "data: a\r\ndata: b\rdata: c\n\r\n", {"message|a\nb\nc|"}},
      {"BOM",
       "\xEF\xBB\xBF"
       "data: a\n\n",
       {"message|a|"}},
      {"BOM only at the start",
       "data: a\n\n\xEF\xBB\xBF"
       "data: b\n\n",
       {"message|a|"}},
      {"id with NUL is ignored", std::string("id: 1\nid: 2\0\ndata: x\n\n", 22), {"message|x|1"}},
      {"unknown fields", "foo: bar\ndata: x\nDATA: y\n\n", {"message|x|"}},
      {"priming event", "id: 7\ndata:\n\n", {"message||7"}},
      {"unfinished event is dropped", "data: x\n", {}},
  };
  for (const Case& c : cases) {
    for (size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{1000}}) {
      SCOPED_TRACE(StrCat(c.name, " in steps of ", step));
      SseParser parser;
      EXPECT_EQ(Parse(parser, c.text, step), c.events);
    }
  }
}

TEST(SseParserTest, KeepsIdAndRetryForReconnecting) {
  SseParser parser;
  EXPECT_TRUE(Parse(parser, "id: a\nretry: 250\n\n", 100).empty());
  EXPECT_EQ(parser.last_event_id(), "a");
  EXPECT_EQ(parser.retry_ms(), 250);
  Parse(parser, "retry: -1\nretry: 2x\nretry:\nretry: 99999999999999999999\n\n", 100);
  EXPECT_EQ(parser.retry_ms(), 250);
}

TEST(SseParserTest, BoundsLinesAndEvents) {
  const auto none = [](SseMessage&) {};
  SseParser line(SseParser::Limits(10, 1000));
  EXPECT_TRUE(line.Feed("data: 1234\n\n", none).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(line.Feed("data: 12345", none)));
  EXPECT_FALSE(line.Feed("\n\n", none).ok());
  // The line break between two lines counts.
  SseParser event(SseParser::Limits(100, 9));
  EXPECT_TRUE(event.Feed("data: 1234\ndata: 5678\n\n", none).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(event.Feed("data: 1234\ndata: 56789\n\n", none)));
}

TEST(SseWriterTest, WhatIsWrittenIsReadBack) {
  for (const std::string data : {"", "x", "a\nb", "a\n", "\n", " lead", "{\"a\":1}"}) {
    SseParser parser;
    const auto got = Parse(parser, SseEvent(data, "note", "id-1", 5), 1);
    ASSERT_EQ(got.size(), 1u) << data;
    EXPECT_EQ(got[0], StrCat("note|", data, "|id-1"));
    EXPECT_EQ(parser.retry_ms(), 5);
  }
  EXPECT_EQ(SseEvent("a\r\nb\rc"), "data: a\ndata: b\ndata: c\n\n");
  EXPECT_EQ(SseEvent("x", "e\nid: evil", "1\r\n2"), "event: eid: evil\nid: 12\ndata: x\n\n");
}

}  // namespace
}  // namespace metamcp::http
