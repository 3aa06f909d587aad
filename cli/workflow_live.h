#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/context.h"

namespace metamcp::cli {

// What a terminal shows of a run that is under way: its state, and its latest steps. Lines end with
// a line feed and are at most `columns` wide.
std::string LiveFrame(const nlohmann::json& run, size_t columns, size_t lines_max, int64_t now_us,
                      bool color);

// Draws frames over each other on a terminal; nothing elsewhere, with --plain or --output json.
class LiveView {
 public:
  explicit LiveView(CommandContext& ctx);
  bool on() const { return on_; }
  // Draws `run` where that shows something new.
  void Show(const nlohmann::json& run);

 private:
  CommandContext& ctx_;
  const bool on_;
  std::string shown_;
};

}  // namespace metamcp::cli
