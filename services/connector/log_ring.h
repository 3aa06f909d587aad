#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace metamcp::connector {

// The newest lines that concern one upstream: its stderr and our own remarks. Bounded in lines and
// in bytes per line; control characters are replaced. Single-threaded.
class LogRing {
 public:
  struct Line {
    int64_t time_us;
    bool ours;
    std::string text;
  };
  static constexpr size_t kLineBytesMax = 4096;

  explicit LogRing(size_t lines_max = 1000) : lines_max_(lines_max) {}

  // Adds a line of the upstream itself, or a remark of ours.
  void AddOutput(std::string_view text) { Add(text, false); }
  void AddRemark(std::string_view text) { Add(text, true); }

  // Returns the newest `limit` lines, oldest first.
  std::vector<Line> Newest(size_t limit) const;

 private:
  void Add(std::string_view text, bool ours);
  size_t lines_max_;
  std::deque<Line> lines_;
};

}  // namespace metamcp::connector
