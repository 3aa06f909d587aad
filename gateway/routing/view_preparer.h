#pragma once

#include <memory>

#include "common/async/sink.h"
#include "common/base/principal.h"
#include "gateway/routing/snapshot.h"

namespace metamcp::gateway {

// Finds out ahead what a principal is shown of a virtual server, a piece at a time, so that others
// have their turns between; ViewFilter::Seen then answers from memory. What changes meanwhile is
// left to Seen. Thread: the io thread.
class ViewPreparer {
 public:
  virtual ~ViewPreparer() = default;
  virtual Awaitable<void> Prepare(std::shared_ptr<const ServerView> view,
                                  std::shared_ptr<const Principal> who) = 0;
};

}  // namespace metamcp::gateway
