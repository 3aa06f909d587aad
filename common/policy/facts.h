#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/principal.h"

namespace metamcp::policy {

// What MCP's tool annotations say, with MCP's defaults where they say nothing (2026-07-28,
// ToolAnnotations).
struct Hints {
  bool read_only = false;
  bool destructive = true;
  bool idempotent = false;
  bool open_world = true;
  bool says_destructive = false;  // in so many words, not by default
};
// Of a tool's definition. A tool that only reads destroys nothing and may be repeated.
Hints HintsOf(std::string_view definition);

// Nothing was shown: whoever uses this machine, over loopback or the unix socket.
bool IsAnonymous(const Principal& who);

// What is asked for. Several names and upstreams where the item has several: a comparison holds if
// it holds for one of them.
struct Item {
  std::string kind;  // tool, resource, prompt, task, extension or model
  std::vector<std::string> names;
  std::vector<std::string> upstreams;
  std::string virtual_server;
  Hints hints;
};

// What differs from call to call.
struct Moment {
  std::string_view arguments;  // raw JSON object, or empty
  std::string_view client;     // as the client names itself: a claim
  int64_t now_us = 0;          // since the epoch
};

// Three-valued: a list cannot know what a call's arguments will be.
enum class Truth : uint8_t { kFalse, kUnknown, kTrue };

}  // namespace metamcp::policy
