#include "services/connector/discovery.h"

#include <boost/asio/post.hpp>
#include <set>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/validate.h"

namespace metamcp::connector {
namespace {

namespace catalog = ::metamcp::catalog::v1;

// Checking this many definitions takes about a millisecond; then others get their turn.
constexpr size_t kTurnItems = 50;
constexpr size_t kDefinitionBytesMax = 1u << 20;
constexpr size_t kNameBytesMax = 2048;

absl::Status Invalid(std::string_view why) { return MakeError("INVALID_PARAMS", "connector", why); }

mcp::ItemKind ModelKind(catalog::ItemKind kind) {
  if (kind == catalog::ITEM_KIND_RESOURCE) return mcp::ItemKind::kResource;
  if (kind == catalog::ITEM_KIND_TEMPLATE) return mcp::ItemKind::kTemplate;
  return kind == catalog::ITEM_KIND_PROMPT ? mcp::ItemKind::kPrompt : mcp::ItemKind::kTool;
}

std::string_view KeyMember(catalog::ItemKind kind) {
  if (kind == catalog::ITEM_KIND_RESOURCE) return "uri";
  if (kind == catalog::ITEM_KIND_TEMPLATE) return "uriTemplate";
  return "name";
}

void NoteTaskSupport(std::string_view definition, const std::string& name, DiscoveredList& out) {
  if (out.kind != catalog::ITEM_KIND_TOOL ||
      definition.find("taskSupport") == std::string_view::npos) {
    return;
  }
  const auto tool = json::ScanObject(definition);
  if (!tool.ok()) return;
  const auto execution = json::ScanObject(tool->Raw("execution"));
  if (!execution.ok()) return;
  const std::string support = execution->String("taskSupport").value_or("");
  if (support == "optional" || support == "required") out.tasks[name] = support == "required";
}

// Reads one page into `out`. Returns the cursor of the next, if any.
absl::StatusOr<std::optional<std::string>> ReadPage(std::string_view result,
                                                    std::string_view upstream_id,
                                                    DiscoveredList& out,
                                                    std::set<std::string>& seen) {
  const auto page = json::ScanObject(result);
  const std::string_view member = ListMember(out.kind);
  if (!page.ok() || !page->Has(member)) {
    return MakeError("UPSTREAM_PROTOCOL", "connector",
                     StrCat("the answer to ", ListMethod(out.kind), " has no ", member));
  }
  const auto elements = json::ScanArray(page->Raw(member));
  if (!elements.ok()) {
    return MakeError("UPSTREAM_PROTOCOL", "connector", StrCat(member, " is not a list"));
  }
  if (const auto ttl = json::RawInt64(page->Raw("ttlMs"))) out.ttl_ms = std::max<int64_t>(0, *ttl);
  for (const json::Value& element : *elements) {
    auto item = CanonicalItem(out.kind, upstream_id, element.raw);
    if (!item.ok()) {
      out.dropped.push_back(StrCat(element.raw.substr(0, 80), ": ", item.status().message()));
      continue;
    }
    if (!seen.insert(item->original_name()).second) {
      out.dropped.push_back(StrCat(item->original_name(), ": listed twice"));
      continue;
    }
    if (!item->problem().empty()) {
      out.dropped.push_back(StrCat(item->original_name().substr(0, 80), ": ", item->problem()));
    }
    NoteTaskSupport(element.raw, item->original_name(), out);
    out.items.push_back(std::move(*item));
  }
  return page->String("nextCursor");
}

}  // namespace

std::string_view ListMethod(catalog::ItemKind kind) {
  switch (kind) {
    case catalog::ITEM_KIND_RESOURCE:
      return "resources/list";
    case catalog::ITEM_KIND_TEMPLATE:
      return "resources/templates/list";
    case catalog::ITEM_KIND_PROMPT:
      return "prompts/list";
    default:
      return "tools/list";
  }
}

std::string_view ListMember(catalog::ItemKind kind) {
  switch (kind) {
    case catalog::ITEM_KIND_RESOURCE:
      return "resources";
    case catalog::ITEM_KIND_TEMPLATE:
      return "resourceTemplates";
    case catalog::ITEM_KIND_PROMPT:
      return "prompts";
    default:
      return "tools";
  }
}

absl::StatusOr<catalog::Item> CanonicalItem(catalog::ItemKind kind, std::string_view upstream_id,
                                            std::string_view definition) {
  if (definition.size() > kDefinitionBytesMax) return Invalid("the definition is too large");
  const auto view = json::ScanObject(definition);
  if (!view.ok()) return Invalid("the definition is not an object");
  const std::string_view key = KeyMember(kind);
  const std::string name = view->String(key).value_or("");
  if (name.empty()) return Invalid(StrCat("it has no ", key));
  if (name.size() > kNameBytesMax) return Invalid(StrCat("its ", key, " is too long"));
  catalog::Item item;
  item.set_upstream_id(std::string(upstream_id));
  item.set_kind(kind);
  item.set_original_name(name);
  METAMCP_ASSIGN_OR_RETURN(std::string canonical, mcp::ItemToModern(ModelKind(kind), definition));
  const absl::Status valid = mcp::ValidateItem(mcp::kLatestModern, ModelKind(kind), canonical);
  if (!valid.ok()) item.set_problem(std::string(valid.message()));
  item.set_definition(std::move(canonical));
  return item;
}

Awaitable<absl::StatusOr<DiscoveredList>> Discover(std::shared_ptr<Session> session,
                                                   std::string upstream_id, catalog::ItemKind kind,
                                                   DiscoveryLimits limits) {
  DiscoveredList out;
  out.kind = kind;
  std::set<std::string> seen;
  std::set<std::string> cursors;
  std::string params;
  for (size_t page = 0;; ++page) {
    if (page >= limits.pages_max) {
      co_return MakeError("UPSTREAM_PROTOCOL", "connector",
                          StrCat(ListMethod(kind), " has more than ", limits.pages_max, " pages"));
    }
    RequestSpec spec(std::string(ListMethod(kind)), params);
    auto asking = session->Ask(std::move(spec), limits.timeout);
    auto answer = co_await std::move(asking);
    if (!answer.ok()) co_return answer.status();
    if (answer->error) {
      // Templates came with resources, but servers leave them out; that is an empty list.
      if (answer->error->code == -32601) co_return out;
      co_return MakeError("UPSTREAM_ERROR", "connector",
                          StrCat(ListMethod(kind), " failed: ", answer->error->code, " ",
                                 answer->error->message.substr(0, 200)));
    }
    auto next = ReadPage(answer->result, upstream_id, out, seen);
    if (!next.ok()) co_return next.status();
    if (out.items.size() > limits.items_max) {
      co_return MakeError("UPSTREAM_PROTOCOL", "connector",
                          StrCat(ListMethod(kind), " has more than ", limits.items_max, " items"));
    }
    if (!next->has_value()) co_return out;
    if (!cursors.insert(**next).second) {
      co_return MakeError("UPSTREAM_PROTOCOL", "connector",
                          StrCat(ListMethod(kind), " goes round in a circle"));
    }
    params = StrCat("{\"cursor\":", json::JsonQuote(**next), "}");
    if (seen.size() >= kTurnItems) {
      co_await boost::asio::post(co_await boost::asio::this_coro::executor,
                                 boost::asio::use_awaitable);
    }
  }
}

}  // namespace metamcp::connector
