#include "common/telemetry/span_ring.h"

#include <atomic>

namespace metamcp::trace {
namespace {

std::atomic<const SpanRing*> g_kept{nullptr};

}  // namespace

SpanRing::~SpanRing() {
  const SpanRing* self = this;
  g_kept.compare_exchange_strong(self, nullptr);
}

absl::Status SpanRing::Export(std::vector<SpanData> spans) {
  {
    const std::lock_guard lock(mu_);
    if (next_ == nullptr) {
      for (SpanData& span : spans) spans_.push_back(std::move(span));
    } else {
      spans_.insert(spans_.end(), spans.begin(), spans.end());
    }
    while (spans_.size() > spans_max_) spans_.pop_front();
  }
  return next_ == nullptr ? absl::OkStatus() : next_->Export(std::move(spans));
}

std::vector<SpanData> SpanRing::All() const {
  const std::lock_guard lock(mu_);
  return std::vector<SpanData>(spans_.begin(), spans_.end());
}

void SpanRing::Publish() { g_kept = this; }
const SpanRing* SpanRing::Kept() { return g_kept; }

}  // namespace metamcp::trace
