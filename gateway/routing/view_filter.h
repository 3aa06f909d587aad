#pragma once

#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "common/base/principal.h"
#include "gateway/routing/snapshot.h"

namespace metamcp::gateway {

// What a principal is shown of virtual servers. Thread: the io thread.
class ViewFilter {
 public:
  virtual ~ViewFilter() = default;
  // Whether the virtual server is there for `who`.
  virtual bool MayUse(const ServerView& view, const Principal& who) = 0;
  // The view as lists show it: without what no call of `who` could reach. The view itself where
  // that is everything. Not for calls, which are told why they may not.
  virtual std::shared_ptr<const ServerView> Seen(const std::shared_ptr<const ServerView>& view,
                                                 const Principal& who) = 0;
  // Whether `who` may hear of changes of a resource. Errors: RESOURCE_NOT_FOUND,
  // PERMISSION_DENIED.
  virtual absl::Status MayWatch(const std::shared_ptr<const ServerView>& view, const Principal& who,
                                std::string_view uri) = 0;
};

// Without a filter everything is seen.
inline std::shared_ptr<const ServerView> SeenBy(ViewFilter* filter,
                                                const std::shared_ptr<const ServerView>& view,
                                                const std::shared_ptr<const Principal>& who) {
  return filter == nullptr || who == nullptr ? view : filter->Seen(view, *who);
}

}  // namespace metamcp::gateway
