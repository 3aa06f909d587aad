#include "gateway/routing/snapshot.h"

#include <algorithm>

#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "gateway/routing/builtin_tools.h"

namespace metamcp::gateway {
namespace {

// Steps of matching one URI against the templates of one upstream: well under a millisecond.
constexpr int kTemplateBudget = 100'000;
constexpr std::string_view kUiExtension = "io.modelcontextprotocol/ui";

std::string IndexKey(ItemKind kind, std::string_view name) {
  return StrCat(static_cast<int>(kind), ":", name);
}

// FNV-1a.
uint64_t Mix(uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return (hash ^ 0xff) * 1099511628211ULL;
}

std::string_view MemberName(ItemKind kind) {
  switch (kind) {
    case catalog::v1::ITEM_KIND_TOOL:
      return "tools";
    case catalog::v1::ITEM_KIND_RESOURCE:
      return "resources";
    case catalog::v1::ITEM_KIND_TEMPLATE:
      return "resourceTemplates";
    default:
      return "prompts";
  }
}

mcp::ItemKind ModelKind(ItemKind kind) {
  switch (kind) {
    case catalog::v1::ITEM_KIND_TOOL:
      return mcp::ItemKind::kTool;
    case catalog::v1::ITEM_KIND_RESOURCE:
      return mcp::ItemKind::kResource;
    case catalog::v1::ITEM_KIND_TEMPLATE:
      return mcp::ItemKind::kTemplate;
    default:
      return mcp::ItemKind::kPrompt;
  }
}

// Names, settings and flows of these concern our own legs.
bool EndsHere(std::string_view extension) {
  return extension == "io.modelcontextprotocol/tasks" ||
         extension == "io.modelcontextprotocol/oauth-client-credentials" ||
         extension == "io.modelcontextprotocol/enterprise-managed-authorization";
}

std::string ExtensionsOf(const std::vector<std::shared_ptr<const UpstreamInfo>>& upstreams) {
  std::map<std::string, std::string> chosen;
  for (const auto& upstream : upstreams) {
    const auto view =
        json::ScanObject(upstream->extensions.empty() ? std::string_view("{}")
                                                      : std::string_view(upstream->extensions));
    if (!view.ok()) continue;
    for (const json::Member& member : view->members()) {
      const bool shared = member.key == kUiExtension;
      if (EndsHere(member.key) || (!shared && upstreams.size() != 1)) continue;
      chosen.emplace(member.key, member.value.raw);
    }
  }
  if (chosen.empty()) return "";
  json::ObjectWriter out;
  for (const auto& [id, settings] : chosen) out.Add(id, settings);
  return std::move(out).Build();
}

// A tool that may be called as a task of 2025-11-25, and as well without.
std::string WithTaskSupport(const std::string& definition) {
  const auto view = json::ScanObject(definition);
  if (!view.ok()) return definition;
  json::Splicer splicer(*view);
  splicer.Set("execution", R"({"taskSupport":"optional"})");
  return splicer.Build();
}

std::string MakeServerInfo(const std::string& name, const std::string& title) {
  json::ObjectWriter info;
  info.AddString("name", "meta-mcp");
  if (!title.empty()) {
    info.AddString("title", title);
  } else {
    info.AddString("title", name == "default" ? "Meta-MCP" : StrCat("Meta-MCP: ", name));
  }
  info.AddString("version", kProgramVersion);
  return std::move(info).Build();
}

}  // namespace

ServerView::ServerView(Parts parts)
    : parts_(std::move(parts)), server_info_(MakeServerInfo(parts_.name, parts_.title)) {
  for (const EntryPtr& entry : parts_.entries) {
    by_kind_[entry->kind].push_back(entry);
    hashes_[entry->kind] = Mix(Mix(hashes_[entry->kind], entry->name), entry->definition);
    if (entry->kind == catalog::v1::ITEM_KIND_TEMPLATE) {
      templates_.emplace_back(UriTemplate(entry->name), entry);
    }
    index_[IndexKey(entry->kind, entry->name)] = entry;
  }
  for (const EntryPtr& entry : parts_.entries) {
    for (const auto& route : entry->routes) offering_.insert(route.upstream_id());
    if (entry->ui_exposed.empty()) continue;
    catalog::v1::Route route;
    route.set_upstream_id(entry->routes.at(0).upstream_id());
    route.set_original_name(entry->ui_uri);
    ui_routes_.emplace(entry->ui_exposed, std::move(route));
  }
  extensions_ = ExtensionsOf(parts_.upstreams);
  const auto passed = json::ScanObject(extensions_);
  passes_methods_ =
      parts_.upstreams.size() == 1 && passed.ok() &&
      std::any_of(passed->members().begin(), passed->members().end(),
                  [](const json::Member& member) { return member.key != kUiExtension; });
  tasks_ = std::any_of(parts_.upstreams.begin(), parts_.upstreams.end(),
                       [](const auto& upstream) { return upstream->tasks; });
  // An exposed name wins over another item's qualified name.
  for (const EntryPtr& entry : parts_.entries) {
    index_.emplace(IndexKey(entry->kind, entry->qualified_name), entry);
  }
  AddBuiltins();
}

void ServerView::AddBuiltins() {
  constexpr ItemKind kTool = catalog::v1::ITEM_KIND_TOOL;
  if (parts_.search) {
    by_kind_[kTool].clear();
    hashes_[kTool] = 0;
  }
  for (const EntryPtr& entry : BuiltinEntries(parts_.search, parts_.suggest)) {
    by_kind_[kTool].push_back(entry);
    hashes_[kTool] = Mix(Mix(hashes_[kTool], entry->name), entry->definition);
    index_[IndexKey(kTool, entry->name)] = entry;
  }
}

std::shared_ptr<const ServerView> ServerView::Filtered(
    const std::function<bool(const EntryPtr&)>& keep,
    const std::function<bool(const UpstreamInfo&)>& keep_upstream) const {
  Parts parts = parts_;
  std::erase_if(parts.entries, [&](const EntryPtr& entry) { return !keep(entry); });
  std::erase_if(parts.upstreams, [&](const auto& upstream) { return !keep_upstream(*upstream); });
  return std::make_shared<ServerView>(std::move(parts));
}

std::vector<EntryPtr> ServerView::AllEntries(ItemKind kind) const {
  std::vector<EntryPtr> out;
  for (const EntryPtr& entry : parts_.entries) {
    if (entry->kind == kind) out.push_back(entry);
  }
  return out;
}

EntryPtr ServerView::Find(ItemKind kind, std::string_view name) const {
  const auto it = index_.find(IndexKey(kind, name));
  return it == index_.end() ? nullptr : it->second;
}

// Whether the virtual server excludes that resource of that upstream, or switches it off.
bool ServerView::LeavesOut(const std::string& upstream_id, std::string_view original_uri) const {
  const auto upstream = FindUpstream(upstream_id);
  if (upstream == nullptr) return true;
  return MatchesAnyGlob(parts_.resources_exclude, upstream->name, original_uri) ||
         parts_.disabled_items.count(QualifiedName(upstream->name, original_uri)) > 0;
}

EntryPtr ServerView::MatchTemplate(std::string_view uri, std::string* original) const {
  EntryPtr found;
  size_t best = 0;
  // For each upstream, so that the templates of one cannot use up what others need.
  std::map<std::string_view, int> budgets;
  for (const auto& [uri_template, entry] : templates_) {
    const catalog::v1::Route& route = entry->routes.at(0);
    int& budget = budgets.emplace(route.upstream_id(), kTemplateBudget).first->second;
    if (uri_template.literal_size() < best || !uri_template.Matches(uri, budget)) continue;
    std::string asked(uri);
    // Less the prefix that a conflict added.
    if (entry->name != route.original_name() && entry->name.ends_with(route.original_name())) {
      const size_t added = entry->name.size() - route.original_name().size();
      asked.erase(0, std::min(added, asked.size()));
    }
    if (LeavesOut(route.upstream_id(), asked)) continue;
    best = uri_template.literal_size() + 1;
    found = entry;
    *original = std::move(asked);
  }
  return found;
}

// Resources need not be listed to be readable (MCP Apps): a guess that can hit one upstream only.
std::optional<catalog::v1::Route> ServerView::GuessRoute(std::string_view uri) const {
  std::set<std::string> candidates;
  const std::string scheme = UriScheme(uri);
  for (const ItemKind kind : {catalog::v1::ITEM_KIND_RESOURCE, catalog::v1::ITEM_KIND_TEMPLATE}) {
    for (const EntryPtr& entry : Entries(kind)) {
      if (UriScheme(entry->name) == scheme) candidates.insert(entry->routes.at(0).upstream_id());
    }
  }
  if (candidates.empty() && parts_.upstreams.size() == 1) {
    candidates.insert(parts_.upstreams[0]->id);
  }
  if (candidates.size() != 1 || LeavesOut(*candidates.begin(), uri)) return std::nullopt;
  if (!parts_.resources_include.empty() &&
      !MatchesAnyGlob(parts_.resources_include, FindUpstream(*candidates.begin())->name, uri)) {
    return std::nullopt;
  }
  catalog::v1::Route guess;
  guess.set_upstream_id(*candidates.begin());
  guess.set_original_name(std::string(uri));
  return guess;
}

std::optional<ServerView::ResourceRoute> ServerView::RouteResource(std::string_view uri) const {
  ResourceRoute route;
  route.entry = Find(catalog::v1::ITEM_KIND_RESOURCE, uri);
  if (route.entry != nullptr) {
    route.original_uri = route.entry->routes.at(0).original_name();
  } else {
    route.entry = MatchTemplate(uri, &route.original_uri);
  }
  if (route.entry != nullptr) {
    route.routes = route.entry->routes;
    return route;
  }
  // Resources of MCP Apps need not be listed: their tools name them.
  const auto ui = ui_routes_.find(uri);
  if (ui != ui_routes_.end() && !LeavesOut(ui->second.upstream_id(), ui->second.original_name())) {
    route.original_uri = ui->second.original_name();
    route.routes.push_back(ui->second);
    return route;
  }
  auto guess = GuessRoute(uri);
  if (!guess) return std::nullopt;
  route.original_uri = guess->original_name();
  route.routes.push_back(*std::move(guess));
  return route;
}

const std::vector<EntryPtr>& ServerView::Entries(ItemKind kind) const {
  static const std::vector<EntryPtr> kNone;
  const auto it = by_kind_.find(kind);
  return it == by_kind_.end() ? kNone : it->second;
}

std::shared_ptr<const UpstreamInfo> ServerView::FindUpstream(std::string_view id) const {
  for (const auto& upstream : parts_.upstreams) {
    if (upstream->id == id) return upstream;
  }
  return nullptr;
}

bool ServerView::AwaitsFirstLists(std::chrono::steady_clock::duration wait) const {
  const auto since = std::chrono::steady_clock::now() - wait;
  return std::any_of(parts_.upstreams.begin(), parts_.upstreams.end(), [&](const auto& upstream) {
    if (!upstream->enabled || upstream->listed || upstream->attempts > 0) return false;
    if (upstream->seen_at <= since || offering_.count(upstream->id) > 0) return false;
    const std::string& state = upstream->state;
    return state.empty() || state == "discovered" || state == "connecting" ||
           state == "initializing" || state == "ready";
  });
}

std::shared_ptr<const UpstreamInfo> ServerView::ExtensionUpstream(std::string_view method) const {
  // What MCP Apps call ui/* is between a client and its page (SEP-1865).
  if (!passes_methods_ || method.substr(0, 3) == "ui/") return nullptr;
  return parts_.upstreams[0];
}

const std::string& ServerView::ListPage(ItemKind kind, mcp::Revision revision, size_t first,
                                        size_t page_size) const {
  const auto key = std::make_tuple(static_cast<int>(kind), static_cast<int>(revision), first);
  const auto it = pages_.find(key);
  if (it != pages_.end()) return it->second;
  std::string out = StrCat("\"", MemberName(kind), "\":[");
  const auto& entries = Entries(kind);
  const size_t end = std::min(entries.size(), first + page_size);
  for (size_t i = first; i < end; ++i) {
    if (i != first) out.push_back(',');
    auto converted = mcp::ItemToRevision(ModelKind(kind), entries[i]->definition, revision);
    const std::string& text = converted.ok() ? *converted : entries[i]->definition;
    const auto upstream =
        entries[i]->routes.empty() ? nullptr : FindUpstream(entries[i]->routes[0].upstream_id());
    const bool as_task = kind == catalog::v1::ITEM_KIND_TOOL && mcp::HasCoreTasks(revision) &&
                         upstream != nullptr && upstream->tasks;
    out += as_task ? WithTaskSupport(text) : text;
  }
  out.push_back(']');
  return pages_.emplace(key, std::move(out)).first->second;
}

}  // namespace metamcp::gateway
