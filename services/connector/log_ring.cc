#include "services/connector/log_ring.h"

#include <algorithm>

#include "common/base/ids.h"

namespace metamcp::connector {

void LogRing::Add(std::string_view text, bool ours) {
  if (text.size() > kLineBytesMax) text = text.substr(0, kLineBytesMax);
  while (!text.empty() && (text.back() == '\r' || text.back() == '\n')) text.remove_suffix(1);
  Line line;
  line.time_us = NowMicros();
  line.ours = ours;
  line.text = std::string(text);
  // Terminals and log viewers must not obey what an upstream prints.
  for (char& c : line.text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) c = '?';
  }
  lines_.push_back(std::move(line));
  if (lines_.size() > lines_max_) lines_.pop_front();
}

std::vector<LogRing::Line> LogRing::Newest(size_t limit) const {
  const size_t count = std::min(limit, lines_.size());
  return std::vector<Line>(lines_.end() - static_cast<long>(count), lines_.end());
}

}  // namespace metamcp::connector
