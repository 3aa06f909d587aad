#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/async/call_context.h"
#include "common/async/task_group.h"
#include "common/cache/cache.h"
#include "metamcp/provider/v1/provider_service.pb.h"

namespace metamcp::connector {

namespace pb = ::metamcp::provider::v1;

// What servers answered to resources/read, given again while it is fresh: as long as the server
// says (ttlMs; MCP 2026-07-28, server/utilities/caching), or as the operator says for a server that
// says nothing. What the server calls public is for everybody, all else for the principal who
// asked. Whatever says that an upstream's resources changed forgets all that is kept of it; other
// connectors which keep in memory do not hear of it. All calls on the executor's one thread.
class ResourceCache {
 public:
  struct Rule {
    std::string server;  // a glob of slugs
    std::chrono::milliseconds ttl{0};
  };
  struct Options {
    Options() = default;
    std::chrono::milliseconds ttl_max{std::chrono::hours(1)};
    std::vector<Rule> rules;  // the first that fits
  };
  // Where the answer of a call is kept, should it be.
  struct Place {
    cache::Key own, shared;
    std::chrono::milliseconds ttl{0};  // where the server says none
    uint64_t changes = 0;              // of the upstream, when the call began
  };

  // `store` and `tasks` must outlive it.
  ResourceCache(cache::Cache& store, TaskGroup& tasks, Options options);

  // Nothing for a call whose answer depends on more than its URI and its caller.
  std::optional<Place> PlaceOf(const CallContext& ctx, const pb::CallRequest& request,
                               std::string_view slug) const;
  // The result as the server gave it, with the ttlMs that is left of its own.
  Awaitable<std::optional<std::string>> Find(Place place);
  // Returns at once. `json` is the whole result in the canonical form.
  void Keep(Place place, std::string json);
  void Forget(const std::string& upstream_id);

  size_t bytes() const { return store_.bytes(); }
  int64_t hits() const { return hits_; }
  int64_t misses() const { return misses_; }

 private:
  uint64_t ChangesOf(const std::string& upstream_id) const;
  Awaitable<void> DropAll(std::string upstream_id);
  Awaitable<void> Put(Place place, cache::Key key, std::string json, std::chrono::milliseconds ttl);

  cache::Cache& store_;
  TaskGroup& tasks_;
  const Options options_;
  std::map<std::string, uint64_t, std::less<>> changes_;  // by upstream
  std::set<std::string> dropping_;                        // upstreams that are being forgotten
  int64_t hits_ = 0;
  int64_t misses_ = 0;
};

}  // namespace metamcp::connector
