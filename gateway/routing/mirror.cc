#include "gateway/routing/mirror.h"

#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"

namespace metamcp::gateway {
namespace {

// Instructions of all upstreams together; longer texts cost every client's context window.
constexpr size_t kInstructionsBytesMax = 16 * 1024;

// Returns the definition with its name, URI or template member set to what is exposed.
std::string WithExposedName(ItemKind kind, const std::string& definition, std::string_view name) {
  auto view = json::ScanObject(definition);
  if (!view.ok()) return definition;
  json::Splicer splicer(*view);
  const std::string_view member = kind == catalog::v1::ITEM_KIND_RESOURCE   ? "uri"
                                  : kind == catalog::v1::ITEM_KIND_TEMPLATE ? "uriTemplate"
                                                                            : "name";
  if (view->String(member) == name) return definition;
  splicer.SetString(member, name);
  return splicer.Build();
}

std::vector<mcp::ParamHeader> HeadersOf(const std::string& definition) {
  if (definition.find("x-mcp-header") == std::string::npos) return {};
  auto view = json::ScanObject(definition);
  if (!view.ok()) return {};
  auto headers = mcp::ExtractParamHeaders(view->Raw("inputSchema"));
  return headers.ok() ? *std::move(headers) : std::vector<mcp::ParamHeader>();
}

bool HasPath(std::string_view text, std::span<const std::string_view> path) {
  for (const std::string_view key : path) {
    const auto view = json::ScanObject(text);
    if (!view.ok() || !view->Has(key)) return false;
    text = view->Raw(key);
  }
  return true;
}

// The URI of the UI resource that a tool names (MCP Apps; the older spelling, too).
std::string UiUri(const std::string& definition) {
  if (definition.find("resourceUri") == std::string::npos) return "";
  const auto tool = json::ScanObject(definition);
  if (!tool.ok()) return "";
  const auto meta = json::ScanObject(tool->Raw("_meta"));
  if (!meta.ok()) return "";
  const auto ui = json::ScanObject(meta->Raw("ui"));
  if (ui.ok() && ui->Has("resourceUri")) return ui->String("resourceUri").value_or("");
  return meta->String("ui/resourceUri").value_or("");
}

// The tool's definition with another URI in both places.
std::string WithUiUri(const std::string& definition, std::string_view uri) {
  std::string out = definition;
  const std::string_view paths[][3] = {{"_meta", "ui", "resourceUri"}, {"_meta", "ui/resourceUri"}};
  const size_t lengths[] = {3, 2};
  for (size_t i = 0; i < 2; ++i) {
    const std::span<const std::string_view> path(paths[i], lengths[i]);
    if (!HasPath(out, path)) continue;
    auto changed = json::SetAtPath(out, path, json::JsonQuote(uri));
    if (changed.ok()) out = *std::move(changed);
  }
  return out;
}

std::shared_ptr<const UpstreamInfo> MakeUpstream(const catalog::v1::Upstream& upstream,
                                                 const UpstreamInfo* before) {
  auto info = std::make_shared<UpstreamInfo>();
  info->id = upstream.meta().id();
  info->name = upstream.meta().name();
  info->ownership.owner = upstream.meta().owner();
  info->ownership.team = upstream.meta().team();
  info->ownership.visibility = upstream.meta().visibility();
  info->state = upstream.status().state();
  info->detail = upstream.status().detail();
  info->enabled = upstream.enabled();
  info->reachable = upstream.status().reachable();
  const auto& status = upstream.status();
  info->has_items = status.tools() + status.resources() + status.templates() + status.prompts() > 0;
  info->trusted = !upstream.spec().untrusted();
  info->exchanges = upstream.spec().auth().grant() == "token_exchange";
  info->listed = upstream.status().listed();
  info->attempts = upstream.status().attempts();
  info->seen_at = before ? before->seen_at : std::chrono::steady_clock::now();
  info->provider = upstream.status().provider();
  info->service = upstream.spec().service();
  info->timeout_ms = upstream.spec().timeout_ms();
  for (const auto& [tool, ms] : upstream.spec().tool_timeouts_ms()) {
    info->tool_timeouts_ms[tool] = ms;
  }
  if (auto view = json::ScanObject(upstream.status().capabilities()); view.ok()) {
    info->has_completions = view->Has("completions");
    info->extensions = std::string(view->Raw("extensions"));
    info->tasks = mcp::ClientHasTasks(upstream.status().capabilities());
    if (auto resources = json::ScanObject(view->Raw("resources")); resources.ok()) {
      info->has_subscribe = resources->Raw("subscribe") == "true";
    }
  }
  return info;
}

}  // namespace

CatalogMirror::CatalogMirror() : snapshot_(std::make_shared<Snapshot>()) {}

void CatalogMirror::StartOver() { batch_views_.clear(); }

int64_t CatalogMirror::resume_revision() const { return full_ ? 0 : snapshot_->revision; }

void CatalogMirror::Apply(const catalog::v1::WatchCatalogResponse& message) {
  if (message.begin()) {
    batch_views_.clear();
    upstreams_.clear();
    instructions_.clear();
    items_.clear();
    views_.clear();
    full_ = true;
  }
  for (const auto& upstream : message.upstreams()) {
    auto& held = upstreams_[upstream.meta().id()];
    held = MakeUpstream(upstream, held.get());
    instructions_[upstream.meta().id()] = upstream.status().instructions();
    dirty_upstreams_.insert(upstream.meta().id());
  }
  for (const auto& id : message.removed_upstream_ids()) {
    upstreams_.erase(id);
    instructions_.erase(id);
    dirty_upstreams_.insert(id);
  }
  for (const auto& item : message.items()) {
    items_[item.id()] = item;
    dirty_items_.insert(item.id());
  }
  for (const auto& id : message.removed_item_ids()) {
    items_.erase(id);
    dirty_items_.insert(id);
  }
  for (const auto& view : message.views()) {
    auto& held = views_[view.name()];
    if (batch_views_.insert(view.name()).second) {
      held = view;
    } else {
      held.mutable_items()->MergeFrom(view.items());
    }
    dirty_views_.insert(view.name());
  }
  for (const auto& name : message.removed_views()) {
    views_.erase(name);
    dirty_views_.insert(name);
  }
  if (!message.end()) return;
  batch_views_.clear();
  Rebuild(message.revision());
}

void CatalogMirror::InspectAgain() {
  // While a batch is under way its end does it.
  const bool between = batch_views_.empty() && ready_ && !full_;
  full_ = full_ || between;
  if (between) Rebuild(snapshot_->revision);
}

EntryPtr CatalogMirror::MakeEntry(const catalog::v1::ExposedItem& exposed, std::string* why) const {
  const auto item = items_.find(exposed.item_id());
  if (item == items_.end() || exposed.routes().empty()) return nullptr;
  auto entry = std::make_shared<ExposedEntry>();
  entry->kind = exposed.kind();
  entry->name = exposed.name();
  entry->qualified_name = exposed.qualified_name();
  entry->routes.assign(exposed.routes().begin(), exposed.routes().end());
  std::string base =
      exposed.definition().empty() ? item->second.definition() : exposed.definition();
  if (inspector_) {
    Inspected verdict = inspector_(exposed.qualified_name(), base);
    *why = std::move(verdict.blocked);
    if (!why->empty()) return nullptr;
    if (!verdict.masked.empty()) base = std::move(verdict.masked);
  }
  entry->definition = WithExposedName(exposed.kind(), base, exposed.name());
  for (const auto& [name, rule] : exposed.arguments()) entry->arguments[name] = rule;
  if (exposed.kind() == catalog::v1::ITEM_KIND_TOOL) {
    entry->wraps_output = mcp::NeedsOutputWrapping(entry->definition);
    entry->ui_uri = entry->ui_exposed = UiUri(entry->definition);
    entry->front_headers = HeadersOf(entry->definition);
    entry->back_headers = HeadersOf(item->second.definition());
  }
  return entry;
}

// A tool names its UI resource by the URI under which clients find it. Resources that are listed
// have one; of several upstreams' unlisted ones with the same URI, the first tool's keeps it.
void CatalogMirror::ExposeUi(ServerView::Parts& parts) const {
  std::map<std::pair<std::string, std::string>, std::string> listed;  // (upstream, original)
  std::map<std::string, std::string> owners;                          // upstream by exposed URI
  for (const EntryPtr& entry : parts.entries) {
    if (entry->kind != catalog::v1::ITEM_KIND_RESOURCE) continue;
    const catalog::v1::Route& route = entry->routes[0];
    listed[{route.upstream_id(), route.original_name()}] = entry->name;
    owners[entry->name] = route.upstream_id();
  }
  for (EntryPtr& entry : parts.entries) {
    if (entry->ui_uri.empty()) continue;
    const std::string& upstream = entry->routes[0].upstream_id();
    std::string exposed = entry->ui_uri;
    if (const auto at = listed.find({upstream, entry->ui_uri}); at != listed.end()) {
      exposed = at->second;
    } else if (owners.emplace(exposed, upstream).first->second != upstream) {
      const auto info = upstreams_.find(upstream);
      const std::string_view scheme = "ui://";
      if (info == upstreams_.end() || exposed.compare(0, scheme.size(), scheme) != 0) continue;
      exposed = StrCat(scheme, info->second->name, "+", exposed.substr(scheme.size()));
    }
    if (exposed == entry->ui_uri) continue;
    auto changed = std::make_shared<ExposedEntry>(*entry);
    changed->ui_exposed = exposed;
    changed->definition = WithUiUri(entry->definition, exposed);
    entry = std::move(changed);
  }
}

std::shared_ptr<const ServerView> CatalogMirror::MakeView(
    const catalog::v1::VirtualServerView& view) const {
  ServerView::Parts parts;
  parts.name = view.name();
  parts.title = view.title();
  parts.ownership.owner = view.owner();
  parts.ownership.team = view.team();
  parts.ownership.visibility = view.visibility();
  parts.active = view.active();
  parts.metrics_label = view.metrics_label().empty() ? view.name() : view.metrics_label();
  parts.instructions = view.instructions();
  parts.search = view.mode() == "search";
  parts.suggest = view.suggest();
  parts.max_output = static_cast<size_t>(view.max_output());
  parts.resources_include.assign(view.resources().include().begin(),
                                 view.resources().include().end());
  parts.resources_exclude.assign(view.resources().exclude().begin(),
                                 view.resources().exclude().end());
  parts.disabled_items.insert(view.disabled_items().begin(), view.disabled_items().end());
  for (const auto& hidden : view.quarantined()) {
    const std::string why =
        StrCat(hidden.detail(), "; 'meta-mcp tool diff ", hidden.qualified_name(),
               "' shows it, 'meta-mcp tool approve ", hidden.qualified_name(), "' lets it through");
    parts.quarantined[hidden.qualified_name()] = why;
    parts.quarantined[hidden.name()] = why;
  }
  for (const auto& id : view.upstream_ids()) {
    const auto it = upstreams_.find(id);
    if (it == upstreams_.end()) continue;
    parts.upstreams.push_back(it->second);
    const std::string& text = instructions_.at(id);
    if (!view.instructions().empty() || text.empty()) continue;
    if (parts.instructions.size() + text.size() > kInstructionsBytesMax) continue;
    parts.instructions +=
        StrCat(parts.instructions.empty() ? "" : "\n\n", "## ", it->second->name, "\n", text);
  }
  // An entry that did not change is shared with the snapshot before.
  const auto old = snapshot_->Find(view.name());
  for (const auto& exposed : view.items()) {
    EntryPtr kept = old && !full_ && dirty_items_.count(exposed.item_id()) == 0 &&
                            exposed.definition().empty() && exposed.arguments().empty()
                        ? old->Find(exposed.kind(), exposed.name())
                        : nullptr;
    const bool same_routes =
        kept && kept->name == exposed.name() &&
        kept->routes.size() == static_cast<size_t>(exposed.routes_size()) &&
        kept->arguments.empty() && kept->qualified_name == exposed.qualified_name() &&
        std::equal(kept->routes.begin(), kept->routes.end(), exposed.routes().begin(),
                   [](const auto& a, const auto& b) {
                     return a.item_id() == b.item_id() && a.fallback() == b.fallback();
                   });
    std::string why;
    if (!same_routes || !kept->ui_uri.empty()) kept = MakeEntry(exposed, &why);
    if (!why.empty()) {
      parts.quarantined[exposed.name()] = why;
      parts.quarantined[exposed.qualified_name()] = why;
    }
    if (kept) parts.entries.push_back(std::move(kept));
  }
  ExposeUi(parts);
  return std::make_shared<ServerView>(std::move(parts));
}

void CatalogMirror::Rebuild(int64_t revision) {
  auto next = std::make_shared<Snapshot>();
  next->revision = revision;
  std::vector<SnapshotChange> changes;
  for (const auto& [name, view] : views_) {
    const auto old = snapshot_->Find(name);
    bool dirty = full_ || !old || dirty_views_.count(name) > 0;
    for (const auto& id : view.upstream_ids()) dirty = dirty || dirty_upstreams_.count(id) > 0;
    for (int i = 0; !dirty && i < view.items_size() && !dirty_items_.empty(); ++i) {
      dirty = dirty_items_.count(view.items(i).item_id()) > 0;
    }
    const auto made = dirty ? MakeView(view) : old;
    next->views[name] = made;
    if (!old || !dirty) continue;
    using catalog::v1::ITEM_KIND_PROMPT;
    using catalog::v1::ITEM_KIND_RESOURCE;
    using catalog::v1::ITEM_KIND_TEMPLATE;
    using catalog::v1::ITEM_KIND_TOOL;
    const auto differs = [&](ItemKind kind) { return made->ListHash(kind) != old->ListHash(kind); };
    SnapshotChange change;
    change.virtual_server = name;
    change.tools = differs(ITEM_KIND_TOOL);
    change.resources = differs(ITEM_KIND_RESOURCE) || differs(ITEM_KIND_TEMPLATE);
    change.prompts = differs(ITEM_KIND_PROMPT);
    if (change.tools || change.resources || change.prompts) changes.push_back(std::move(change));
  }
  snapshot_ = std::move(next);
  ready_ = true;
  full_ = false;
  dirty_views_.clear();
  dirty_upstreams_.clear();
  dirty_items_.clear();
  if (listener_ && !changes.empty()) listener_(changes);
}

}  // namespace metamcp::gateway
