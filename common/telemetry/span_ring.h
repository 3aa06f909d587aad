#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "common/telemetry/trace.h"

namespace metamcp::trace {

// Keeps the newest spans in memory, and passes them on. Export is called on the tracer's thread,
// Newest on any.
class SpanRing final : public Exporter {
 public:
  // `next` may be null: nobody else wants them.
  SpanRing(size_t spans_max, std::unique_ptr<Exporter> next)
      : spans_max_(spans_max), next_(std::move(next)) {}
  ~SpanRing() override;

  absl::Status Export(std::vector<SpanData> spans) override;
  // Newest last.
  std::vector<SpanData> All() const;

  // Makes it the ring of this process, which Kept finds.
  void Publish();
  // Null where spans are not kept. Valid until Stop.
  static const SpanRing* Kept();

 private:
  const size_t spans_max_;
  const std::unique_ptr<Exporter> next_;
  mutable std::mutex mu_;
  std::deque<SpanData> spans_;  // guarded by mu_
};

}  // namespace metamcp::trace
