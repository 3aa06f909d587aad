#include "gateway/access/call_facts.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "gateway/routing/argument_map.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

void Add(std::string text, std::vector<std::string>& to) {
  if (!text.empty() && std::find(to.begin(), to.end(), text) == to.end()) {
    to.push_back(std::move(text));
  }
}

void AddRoutes(const ServerView& view, std::span<const catalog::v1::Route> routes,
               policy::Item& item) {
  for (const auto& route : routes) {
    const auto upstream = view.FindUpstream(route.upstream_id());
    if (upstream == nullptr) continue;
    Add(upstream->name, item.upstreams);
    if (!route.original_name().empty() && item.kind != "task") {
      Add(QualifiedName(upstream->name, route.original_name()), item.names);
    }
  }
}

}  // namespace

std::string_view KindOf(ItemKind kind) {
  switch (kind) {
    case catalog::v1::ITEM_KIND_TOOL:
      return "tool";
    case catalog::v1::ITEM_KIND_PROMPT:
      return "prompt";
    default:
      return "resource";
  }
}

policy::Item ItemOf(const ServerView& view, const ExposedEntry& entry) {
  policy::Item item;
  item.kind = KindOf(entry.kind);
  item.virtual_server = view.name();
  item.names = {entry.name};
  Add(entry.qualified_name, item.names);
  AddRoutes(view, entry.routes, item);
  if (entry.kind == catalog::v1::ITEM_KIND_TOOL) item.hints = policy::HintsOf(entry.definition);
  return item;
}

policy::Item ItemOf(const StageCall& call) {
  const std::string& method = call.spec.method;
  policy::Item item;
  item.kind = call.entry != nullptr          ? KindOf(call.entry->kind)
              : method.starts_with("tasks/") ? "task"
              : method == "resources/read" || method == "completion/complete" ? "resource"
                                                                              : "extension";
  item.virtual_server = call.spec.view->name();
  item.names = {item.kind == "extension" ? method : std::string(call.name)};
  if (call.entry != nullptr) {
    Add(call.entry->name, item.names);
    Add(call.entry->qualified_name, item.names);
  }
  AddRoutes(*call.spec.view, call.routes, item);
  // A URI is known as the template's upstream knows it, too.
  if (item.kind == "resource") {
    for (const std::string& upstream : std::vector<std::string>(item.upstreams)) {
      Add(QualifiedName(upstream, call.name), item.names);
    }
  }
  return item;
}

absl::StatusOr<std::string_view> ArgumentsOf(const StageCall& call, std::string& held) {
  if (call.spec.method != "tools/call" && call.spec.method != "prompts/get") return "";
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView params, json::ScanObject(call.spec.params));
  const std::string_view raw = params.Raw("arguments");
  if (call.entry == nullptr || call.entry->arguments.empty()) return raw;
  METAMCP_ASSIGN_OR_RETURN(held, MapArguments(call.entry->arguments, std::string(raw)));
  return std::string_view(held);
}

std::string ClientOf(const CallSpec& spec) {
  if (spec.client_info.empty()) return "";
  const auto info = json::ScanObject(spec.client_info);
  return info.ok() ? info->String("name").value_or("") : "";
}

bool MaySeeRoutes(const ServerView& view, std::span<const catalog::v1::Route> routes,
                  const Principal& who) {
  return std::all_of(routes.begin(), routes.end(), [&](const catalog::v1::Route& route) {
    const auto upstream = view.FindUpstream(route.upstream_id());
    return upstream == nullptr || auth::MaySee(who, upstream->ownership);
  });
}

std::unordered_map<const ExposedEntry*, auth::Ownership> OwnedItems(const ServerView& view) {
  std::unordered_map<const ExposedEntry*, auth::Ownership> out;
  std::vector<std::string_view> ours;
  for (const auto& upstream : view.upstreams()) {
    if (!upstream->service.empty()) ours.push_back(upstream->id);
  }
  if (ours.empty()) return out;
  for (const EntryPtr& entry : view.AllEntries(catalog::v1::ITEM_KIND_TOOL)) {
    const bool own = std::any_of(
        entry->routes.begin(), entry->routes.end(), [&ours](const catalog::v1::Route& route) {
          return std::find(ours.begin(), ours.end(), route.upstream_id()) != ours.end();
        });
    if (!own) continue;
    const auto definition = json::ScanObject(entry->definition);
    if (!definition.ok()) continue;
    const auto meta = json::ScanObject(definition->Raw("_meta"));
    if (!meta.ok()) continue;
    const auto sharing = json::ScanObject(meta->Raw("meta-mcp/sharing"));
    if (!sharing.ok()) continue;
    auth::Ownership& whose = out[entry.get()];
    whose.owner = sharing->String("owner").value_or("");
    whose.team = sharing->String("team").value_or("");
    whose.visibility = sharing->String("visibility").value_or("private");
  }
  return out;
}

absl::Status NotThere(const ServerView& view, std::string_view kind, std::string_view name) {
  const std::string what = StrCat("no ", kind, " \"", name, "\" on \"", view.name(), "\"");
  if (kind == "tool") return MakeError("TOOL_NOT_FOUND", "gateway", what);
  if (kind == "prompt") return MakeError("PROMPT_NOT_FOUND", "gateway", what);
  return MakeError("RESOURCE_NOT_FOUND", "gateway", what, {{"uri", std::string(name)}});
}

}  // namespace metamcp::gateway
