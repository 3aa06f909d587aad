#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

// Chains of calls that recur. No clock, no database, no catalog.
namespace metamcp::ai {

// One call that worked, as the audit has it.
struct PastCall {
  int64_t time_us = 0;
  std::string client;               // what made it; chains do not cross clients
  std::string tool;                 // exposed name
  std::string virtual_server;       // where; chains do not cross them either
  std::set<std::string> arguments;  // names
};

// Tools that were called one after the other, several times.
struct Chain {
  std::vector<std::string> tools;
  std::string virtual_server;
  // Of each tool: the arguments that every one of its calls had.
  std::vector<std::set<std::string>> arguments;
  int64_t occurrences = 0;
  int64_t last_us = 0;
};

// Chains of two to six calls, each at most ten minutes after the one before, that were made at
// least `occurrences` times without sharing a call. A tool that is called several times in a row
// counts once: as often as there was something to do. A chain within a longer one that was made as
// often is left out. The longest and most frequent first, at most `most`. Takes time and memory in
// proportion to the calls.
std::vector<Chain> FindChains(std::vector<PastCall> calls, int64_t occurrences, size_t most);

}  // namespace metamcp::ai
