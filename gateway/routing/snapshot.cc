#include "gateway/routing/snapshot.h"

#include <algorithm>

#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"

namespace metamcp::gateway {
namespace {

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
  // An exposed name wins over another item's qualified name.
  for (const EntryPtr& entry : parts_.entries) {
    index_.emplace(IndexKey(entry->kind, entry->qualified_name), entry);
  }
}

EntryPtr ServerView::Find(ItemKind kind, std::string_view name) const {
  const auto it = index_.find(IndexKey(kind, name));
  return it == index_.end() ? nullptr : it->second;
}

std::optional<ServerView::ResourceRoute> ServerView::RouteResource(std::string_view uri) const {
  ResourceRoute route;
  route.entry = Find(catalog::v1::ITEM_KIND_RESOURCE, uri);
  if (route.entry == nullptr) {
    size_t best = 0;
    for (const auto& [uri_template, entry] : templates_) {
      if (uri_template.literal_size() + 1 > best && uri_template.Matches(uri)) {
        best = uri_template.literal_size() + 1;
        route.entry = entry;
      }
    }
  }
  if (route.entry != nullptr) {
    route.routes = route.entry->routes;
    return route;
  }
  // Resources need not be listed to be readable (MCP Apps): a guess that can hit one only.
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
  if (candidates.size() != 1) return std::nullopt;
  catalog::v1::Route guess;
  guess.set_upstream_id(*candidates.begin());
  guess.set_original_name(std::string(uri));
  route.routes.push_back(std::move(guess));
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
    out += converted.ok() ? *converted : entries[i]->definition;
  }
  out.push_back(']');
  return pages_.emplace(key, std::move(out)).first->second;
}

}  // namespace metamcp::gateway
