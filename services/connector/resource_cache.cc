#include "services/connector/resource_cache.h"

#include <algorithm>
#include <utility>

#include "common/base/ids.h"
#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::connector {
namespace {

using std::chrono::milliseconds;

// How long the server says that its result lasts; zero: it says nothing, or that it does not last.
milliseconds TtlOf(const json::ObjectView& result) {
  return milliseconds(std::max<int64_t>(0, json::RawInt64(result.Raw("ttlMs")).value_or(0)));
}

}  // namespace

ResourceCache::ResourceCache(cache::Cache& store, TaskGroup& tasks, Options options)
    : store_(store), tasks_(tasks), options_(std::move(options)) {}

uint64_t ResourceCache::ChangesOf(const std::string& upstream_id) const {
  const auto found = changes_.find(upstream_id);
  return found == changes_.end() ? 0 : found->second;
}

std::optional<ResourceCache::Place> ResourceCache::PlaceOf(const CallContext& ctx,
                                                           const pb::CallRequest& request,
                                                           std::string_view slug) const {
  if (request.method() != "resources/read" || request.has_request_state() ||
      !request.input_responses().empty() || request.abandon()) {
    return std::nullopt;
  }
  const auto params = json::ScanObject(request.params());
  if (!params.ok()) return std::nullopt;
  for (const json::Member& member : params->members()) {
    if (member.key != "uri" && member.key != "_meta") return std::nullopt;
  }
  Place place;
  for (const Rule& rule : options_.rules) {
    if (!GlobMatch(rule.server, slug)) continue;
    place.ttl = std::min(rule.ttl, options_.ttl_max);
    break;
  }
  // What a server shows may depend on what its client can do.
  const std::string what = StrCat(request.target(), "\n", request.client_capabilities());
  const std::string who =
      StrCat(ctx.tenant(), "\n", ctx.principal ? ctx.principal->subject : "", "\n");
  const std::string& group = request.upstream_id();
  place.shared = cache::Key{group, Sha256Hex(StrCat("all\n", what))};
  place.own = cache::Key{group, Sha256Hex(StrCat("own\n", who, what))};
  place.changes = ChangesOf(group);
  return place;
}

Awaitable<std::optional<std::string>> ResourceCache::Find(Place place) {
  auto looking = store_.Get(place.own);
  std::optional<cache::Hit> hit = co_await std::move(looking);
  if (!hit) {
    auto looking_further = store_.Get(place.shared);
    hit = co_await std::move(looking_further);
  }
  if (!hit) {
    ++misses_;
    co_return std::nullopt;
  }
  ++hits_;
  const auto view = json::ScanObject(hit->value);
  if (!view.ok()) co_return std::nullopt;
  if (TtlOf(*view) == milliseconds(0)) co_return std::move(hit->value);
  json::Splicer splicer(*view);
  splicer.Set("ttlMs", std::to_string(std::min(hit->left, TtlOf(*view)).count()));
  co_return splicer.Build();
}

void ResourceCache::Keep(Place place, std::string json) {
  const auto view = json::ScanObject(json);
  if (!view.ok()) return;
  const milliseconds said = TtlOf(*view);
  const milliseconds ttl = said > milliseconds(0) ? std::min(said, options_.ttl_max) : place.ttl;
  if (ttl <= milliseconds(0) || place.changes != ChangesOf(place.own.group)) return;
  const bool shared = said > milliseconds(0) && view->String("cacheScope") == "public";
  cache::Key key = shared ? place.shared : place.own;
  tasks_.Spawn("resource-cache", Put(std::move(place), std::move(key), std::move(json), ttl));
}

Awaitable<void> ResourceCache::Put(Place place, cache::Key key, std::string json,
                                   milliseconds ttl) {
  auto putting = store_.Put(key, std::move(json), ttl);
  co_await std::move(putting);
  // It may have been forgotten while this was written.
  if (place.changes == ChangesOf(key.group)) co_return;
  auto dropping = store_.Drop(key.group);
  co_await std::move(dropping);
}

void ResourceCache::Forget(const std::string& upstream_id) {
  ++changes_[upstream_id];
  // A server that tells of changes all the time is forgotten once at a time.
  if (dropping_.insert(upstream_id).second) tasks_.Spawn("resource-cache", DropAll(upstream_id));
}

Awaitable<void> ResourceCache::DropAll(std::string upstream_id) {
  uint64_t dropped = 0;
  while (dropped != ChangesOf(upstream_id)) {
    dropped = ChangesOf(upstream_id);
    auto dropping = store_.Drop(upstream_id);
    co_await std::move(dropping);
  }
  dropping_.erase(upstream_id);
}

}  // namespace metamcp::connector
