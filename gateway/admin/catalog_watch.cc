#include "gateway/admin/catalog_watch.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/sse.h"
#include "common/json/splice.h"
#include "gateway/admin/transcoder.h"

namespace metamcp::gateway::admin {
namespace {

namespace asio = boost::asio;
using catalog::v1::ITEM_KIND_PROMPT;
using catalog::v1::ITEM_KIND_RESOURCE;
using catalog::v1::ITEM_KIND_TEMPLATE;
using catalog::v1::ITEM_KIND_TOOL;

UpstreamRow MakeRow(const catalog::v1::Upstream& upstream) {
  const auto& status = upstream.status();
  UpstreamRow row;
  row.name = upstream.meta().name();
  row.state = status.state();
  row.enabled = upstream.enabled();
  row.reachable = status.reachable();
  json::ObjectWriter out;
  out.AddString("id", upstream.meta().id()).AddString("name", row.name);
  out.AddBool("enabled", row.enabled).AddString("state", row.state);
  out.AddBool("reachable", row.reachable).AddString("detail", status.detail());
  out.AddInt("tools", status.tools()).AddInt("resources", status.resources());
  out.AddInt("templates", status.templates()).AddInt("prompts", status.prompts());
  out.AddInt("sinceUs", status.since_us());
  row.json = std::move(out).Build();
  row.ownership.owner = upstream.meta().owner();
  row.ownership.team = upstream.meta().team();
  row.ownership.visibility = upstream.meta().visibility();
  return row;
}

// Who sees one of them and not the other.
std::function<bool(const Principal&)> SeesOnly(const auth::Ownership& one,
                                               const auth::Ownership& other) {
  return [&one, &other](const Principal& who) {
    return auth::MaySee(who, one) && !auth::MaySee(who, other);
  };
}

int64_t Count(const ServerView& view, ItemKind kind) {
  return static_cast<int64_t>(view.Entries(kind).size());
}

}  // namespace

void CatalogWatch::Apply(const catalog::v1::WatchCatalogResponse& message,
                         std::shared_ptr<const Snapshot> snapshot) {
  if (message.begin()) next_.clear();
  for (const auto& upstream : message.upstreams()) {
    next_[upstream.meta().id()] = MakeRow(upstream);
  }
  for (const auto& id : message.removed_upstream_ids()) next_.erase(id);
  if (!message.end()) return;
  snapshot_ = std::move(snapshot);
  const std::map<std::string, UpstreamRow> before = std::move(rows_);
  rows_ = next_;
  PublishChanges(before);
  PublishLists();
}

void CatalogWatch::PublishChanges(const std::map<std::string, UpstreamRow>& before) {
  for (const auto& [id, row] : rows_) {
    const auto old = before.find(id);
    const auth::Ownership& now = row.ownership;
    const auto sees = [&now](const Principal& who) { return auth::MaySee(who, now); };
    const bool moved = old != before.end() && old->second.ownership != now;
    if (moved) PublishRemoved(id, old->second, SeesOnly(old->second.ownership, now));
    if (old == before.end() || old->second.json != row.json) {
      Publish("upstream", row.json, sees);
    } else if (moved) {
      Publish("upstream", row.json, SeesOnly(now, old->second.ownership));
    }
  }
  for (const auto& [id, row] : before) {
    if (rows_.count(id) > 0) continue;
    const auth::Ownership& was = row.ownership;
    PublishRemoved(id, row, [&was](const Principal& who) { return auth::MaySee(who, was); });
  }
}

void CatalogWatch::PublishRemoved(const std::string& id, const UpstreamRow& row, const Sees& sees) {
  json::ObjectWriter data;
  data.AddString("id", id).AddString("name", row.name);
  Publish("upstream_removed", std::move(data).Build(), sees);
}

void CatalogWatch::PublishLists() {
  const auto removed = [this](const std::string& name, const Sees& sees) {
    json::ObjectWriter data;
    data.AddString("name", name);
    Publish("virtual_server_removed", std::move(data).Build(), sees);
  };
  std::map<std::string, Lists> lists;
  for (const auto& [name, view] : snapshot_->views) {
    Lists& now = lists[name];
    now.hashes = {view->ListHash(ITEM_KIND_TOOL), view->ListHash(ITEM_KIND_RESOURCE),
                  view->ListHash(ITEM_KIND_TEMPLATE), view->ListHash(ITEM_KIND_PROMPT)};
    now.ownership = view->ownership();
    const auto old = lists_.find(name);
    if (old != lists_.end() && old->second.ownership != now.ownership) {
      removed(name, SeesOnly(old->second.ownership, now.ownership));
    } else if (old != lists_.end() && old->second.hashes == now.hashes) {
      continue;
    }
    const Hashes was = old == lists_.end() ? Hashes{} : old->second.hashes;
    json::ObjectWriter data;
    data.AddString("virtualServer", name).AddBool("tools", was[0] != now.hashes[0]);
    data.AddBool("resources", was[1] != now.hashes[1] || was[2] != now.hashes[2]);
    data.AddBool("prompts", was[3] != now.hashes[3]);
    Publish("list_changed", std::move(data).Build(),
            [&now](const Principal& who) { return auth::MaySee(who, now.ownership); });
  }
  for (const auto& [name, was] : lists_) {
    if (lists.count(name) > 0) continue;
    removed(name, [&was](const Principal& who) { return auth::MaySee(who, was.ownership); });
  }
  lists_ = std::move(lists);
}

void CatalogWatch::Publish(std::string_view event, std::string_view data, const Sees& sees) {
  if (subscribers_.empty()) return;
  const std::string text = http::SseEvent(data, event, StrCat(snapshot_->revision));
  for (const auto& subscriber : subscribers_) {
    if (subscriber->behind || !sees(*subscriber->principal)) continue;
    if (subscriber->queue.size() >= options_.queue_max) {
      subscriber->queue.clear();
      subscriber->behind = true;
    } else {
      subscriber->queue.push_back(text);
    }
    subscriber->wake.cancel();
  }
}

std::string CatalogWatch::UpstreamsJson(const Principal& who) const {
  std::vector<std::string> rows;
  for (const auto& [id, row] : rows_) {
    if (auth::MaySee(who, row.ownership)) rows.push_back(row.json);
  }
  return json::JoinArray(rows);
}

std::string CatalogWatch::VirtualServersJson(const Principal& who) const {
  std::vector<std::string> rows;
  for (const auto& [name, view] : snapshot_->views) {
    if (!auth::MaySee(who, view->ownership())) continue;
    json::ObjectWriter row;
    row.AddString("name", name).AddString("title", view->title());
    row.AddBool("active", view->active()).AddInt("tools", Count(*view, ITEM_KIND_TOOL));
    row.AddInt("resources", Count(*view, ITEM_KIND_RESOURCE));
    row.AddInt("templates", Count(*view, ITEM_KIND_TEMPLATE));
    row.AddInt("prompts", Count(*view, ITEM_KIND_PROMPT));
    rows.push_back(std::move(row).Build());
  }
  return json::JoinArray(rows);
}

std::string CatalogWatch::SnapshotEvent(const Principal& who) const {
  json::ObjectWriter data;
  data.AddInt("revision", snapshot_->revision).Add("upstreams", UpstreamsJson(who));
  data.Add("virtualServers", VirtualServersJson(who));
  return http::SseEvent(std::move(data).Build(), "snapshot", StrCat(snapshot_->revision));
}

Awaitable<void> CatalogWatch::Pump(Subscriber& subscriber, http::HttpResponder& responder) {
  absl::Status status;
  while (status.ok() && !closed_ && !subscriber.gone && !subscriber.revoked) {
    std::string text;
    if (subscriber.behind) {
      subscriber.behind = false;
      text = SnapshotEvent(*subscriber.principal);
    } else if (!subscriber.queue.empty()) {
      for (const std::string& event : subscriber.queue) text += event;
      subscriber.queue.clear();
    } else {
      subscriber.wake.expires_after(options_.keep_alive);
      const auto [ec] = co_await subscriber.wake.async_wait(asio::as_tuple(asio::use_awaitable));
      if (!ec) text = http::kSseKeepAlive;
      if (subscriber.revoked) co_return;
      const auto cancelled = co_await asio::this_coro::cancellation_state;
      if (cancelled.cancelled() != asio::cancellation_type::none) co_return;
    }
    status = co_await responder.Write(text);
  }
}

Awaitable<void> CatalogWatch::Serve(http::HttpResponder& responder,
                                    std::shared_ptr<const Principal> principal) {
  if (closed_ || subscribers_.size() >= options_.subscribers_max) {
    absl::Status status = MakeError(closed_ ? "SHUTTING_DOWN" : "QUEUE_FULL", "gateway",
                                    "no further event stream can be opened");
    co_return co_await SendProblem(responder, std::move(status));
  }
  // Removes the subscriber however the stream ends, cancellation included.
  struct Membership {
    Membership(std::set<std::shared_ptr<Subscriber>>& set, std::shared_ptr<Subscriber> one)
        : set_(set), one_(std::move(one)) {
      set_.insert(one_);
    }
    ~Membership() { set_.erase(one_); }
    std::set<std::shared_ptr<Subscriber>>& set_;
    std::shared_ptr<Subscriber> one_;
  };
  const auto subscriber = std::make_shared<Subscriber>(executor_, std::move(principal));
  const Membership membership(subscribers_, subscriber);
  http::HttpHeaders headers;
  headers.Set("Content-Type", "text/event-stream");
  headers.Set("Cache-Control", "no-cache, no-transform");
  headers.Set("X-Accel-Buffering", "no");
  responder.OnDisconnect([subscriber] {
    subscriber->gone = true;
    subscriber->wake.cancel();
  });
  const absl::Status opened = co_await responder.StartStream(200, std::move(headers));
  if (opened.ok()) co_await Pump(*subscriber, responder);
  if (!subscriber->gone) (void)co_await responder.Finish();
}

void CatalogWatch::CloseWhere(const std::function<bool(const Principal&)>& who) {
  for (const auto& subscriber : subscribers_) {
    if (!who(*subscriber->principal)) continue;
    subscriber->revoked = true;
    subscriber->wake.cancel();
  }
}

void CatalogWatch::Close() {
  closed_ = true;
  for (const auto& subscriber : subscribers_) subscriber->wake.cancel();
}

}  // namespace metamcp::gateway::admin
