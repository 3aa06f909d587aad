#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/work.h"
#include "tests/fixtures/event_loop.h"

namespace metamcp::load {

// Where the lanes report. Single-threaded.
class LaneEvents {
 public:
  virtual ~LaneEvents() = default;
  // The first bytes of an answer have come.
  virtual void OnFirstByte(size_t lane) = 0;
  // The lane may send its next request.
  virtual void OnFree(size_t lane) = 0;
  // `problem` is empty for the right answer.
  virtual void OnAnswer(size_t lane, std::string problem) = 0;
  // The lane is lost for good.
  virtual void OnLost(size_t lane, std::string why) = 0;
};

// A number of lanes to one server, each with at most one request on its way.
class Lanes {
 public:
  virtual ~Lanes() = default;
  // Only on a free lane.
  virtual void Send(size_t lane, Request request) = 0;
};

struct HttpTarget {
  uint16_t port = 0;
  std::string host;  // of the URL, with its port
  std::string path;
  std::string key;  // sent as a bearer token; may be empty
};
// Only http://127.0.0.1:PORT/PATH.
bool ParseTarget(const std::string& url, HttpTarget* target);

enum class HttpUse {
  kCalls,    // POST each request; legacy lanes have a session each
  kGet,      // GET `path`, whatever the request says; 200 is the right answer
  kStreams,  // open one stream and keep it (listen, or the legacy GET)
};
// The lanes go to `targets` in turn.
std::unique_ptr<Lanes> ConnectHttp(fixtures::EventLoop& loop, LaneEvents& events, Work& work,
                                   std::vector<HttpTarget> targets, HttpUse use, size_t count);

// Starts `command` and sends all lanes' requests over its pipes.
std::unique_ptr<Lanes> StartStdio(fixtures::EventLoop& loop, LaneEvents& events, Work& work,
                                  std::vector<std::string> command, size_t count);

}  // namespace metamcp::load
