#include "gateway/tool_search.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::gateway {
namespace {

constexpr int kFoundDefault = 10;
constexpr int64_t kFoundMax = 50;
constexpr size_t kDescriptionMax = 300;
constexpr std::chrono::seconds kSuggestTimeout(10);

absl::Status Invalid(std::string_view why) { return MakeError("INVALID_PARAMS", "gateway", why); }

// At most so many bytes, at a character's border.
std::string Shortened(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  while (bytes_max > 0 && (static_cast<unsigned char>(text[bytes_max]) & 0xC0) == 0x80) --bytes_max;
  return StrCat(text.substr(0, bytes_max), "…");
}

// "path: string, head?: number"
std::string Arguments(const json::ObjectView& definition) {
  const auto schema = json::ScanObject(definition.Raw("inputSchema"));
  if (!schema.ok()) return "";
  const auto properties = json::ScanObject(schema->Raw("properties"));
  if (!properties.ok()) return "";
  std::set<std::string> required;
  if (const auto list = json::ScanArray(schema->Raw("required")); list.ok()) {
    for (const json::Value& one : *list) {
      if (auto text = json::JsonUnquote(one.raw); text.ok()) required.insert(*text);
    }
  }
  std::string out;
  for (const json::Member& member : properties->members()) {
    const auto property = json::ScanObject(member.value.raw);
    const std::string type = property.ok() ? property->String("type").value_or("any") : "any";
    const bool must = required.count(std::string(member.key)) > 0;
    out += StrCat(out.empty() ? "" : ", ", member.key, must ? ": " : "?: ", type);
  }
  return out;
}

std::string FoundJson(const catalog::v1::ItemSummary& item) {
  json::ObjectWriter out;
  out.AddString("name", item.name());
  out.AddString("server", item.upstream());
  if (!item.title().empty()) out.AddString("title", item.title());
  out.AddString("description", Shortened(item.description(), kDescriptionMax));
  if (const auto definition = json::ScanObject(item.definition()); definition.ok()) {
    out.AddString("arguments", Arguments(*definition));
    const auto hints = json::ScanObject(definition->Raw("annotations"));
    if (hints.ok() && hints->Raw("readOnlyHint") == "true") out.AddBool("readOnly", true);
  }
  return std::move(out).Build();
}

// Where nothing is found: which servers there are, with how many tools.
std::string Overview(const ServerView& view) {
  json::ObjectWriter out;
  for (const auto& upstream : view.upstreams()) {
    if (upstream->enabled) out.AddString(upstream->name, upstream->state);
  }
  return std::move(out).Build();
}

}  // namespace

Awaitable<absl::StatusOr<std::string>> ToolSearch::Answer(const CallContext& ctx,
                                                          const ServerView& view,
                                                          BuiltinCall call) {
  if (!json::ScanObject(call.arguments).ok()) {
    co_return Invalid("params.arguments must be an object");
  }
  if (call.name == "search_tools") {
    auto searching = Search(ctx, view, std::move(call.arguments));
    co_return co_await std::move(searching);
  }
  if (call.name == "describe_tool") {
    auto describing = Describe(ctx, view, std::move(call.arguments));
    co_return co_await std::move(describing);
  }
  if (call.name == kFillTool) {
    auto filling = Fill(ctx, std::move(call.arguments));
    co_return co_await std::move(filling);
  }
  auto suggesting = Suggest(ctx, view, std::move(call.arguments));
  co_return co_await std::move(suggesting);
}

Awaitable<absl::StatusOr<std::string>> ToolSearch::Search(const CallContext& ctx,
                                                          const ServerView& view,
                                                          std::string arguments) {
  const auto object = json::ScanObject(arguments);
  const auto query = object->String("query");
  if (!query || query->empty()) co_return Invalid("arguments.query must be a text");
  int64_t limit = kFoundDefault;
  if (object->Has("limit")) limit = json::RawInt64(object->Raw("limit")).value_or(0);
  if (limit < 1 || limit > kFoundMax) co_return Invalid("arguments.limit must be 1 to 50");
  catalog::v1::SearchItemsRequest request;
  request.set_query(*query);
  request.set_virtual_server(view.name());
  request.set_kind(catalog::v1::ITEM_KIND_TOOL);
  request.set_upstream(object->String("server").value_or(""));
  // More than asked for: the catalog does not know what this client may not see.
  request.set_limit(static_cast<int>(kFoundMax));
  auto searching = catalog_.SearchItems(ctx, std::move(request));
  const auto found = co_await std::move(searching);
  if (!found.ok()) co_return found.status();
  std::vector<std::string> tools;
  for (const auto& item : found->items()) {
    if (static_cast<int64_t>(tools.size()) == limit) break;
    if (view.Find(catalog::v1::ITEM_KIND_TOOL, item.name()) == nullptr) continue;
    tools.push_back(FoundJson(item));
  }
  json::ObjectWriter out;
  out.Add("tools", json::JoinArray(tools));
  if (tools.empty()) {
    out.Add("servers", Overview(view));
    out.AddString("hint", "No tool has these words; try others.");
  }
  const std::string structured = std::move(out).Build();
  co_return TextResult(structured, structured, false);
}

Awaitable<absl::StatusOr<std::string>> ToolSearch::Describe(const CallContext& ctx,
                                                            const ServerView& view,
                                                            std::string arguments) {
  const auto object = json::ScanObject(arguments);
  const auto name = object->String("name");
  if (!name) co_return Invalid("arguments.name must be a string");
  if (const EntryPtr entry = view.Find(catalog::v1::ITEM_KIND_TOOL, *name)) {
    co_return TextResult(entry->definition, entry->definition, false);
  }
  catalog::v1::SearchItemsRequest request;
  request.set_query(*name);
  request.set_virtual_server(view.name());
  request.set_kind(catalog::v1::ITEM_KIND_TOOL);
  request.set_limit(3);
  auto searching = catalog_.SearchItems(ctx, std::move(request));
  const auto found = co_await std::move(searching);
  std::string text = StrCat("There is no tool \"", *name, "\".");
  if (found.ok() && found->items_size() > 0) {
    std::string near;
    for (const auto& item : found->items()) {
      if (view.Find(catalog::v1::ITEM_KIND_TOOL, item.name()) == nullptr) continue;
      near += StrCat(" ", item.name());
    }
    if (!near.empty()) text += StrCat(" Is it one of these?", near);
  }
  co_return TextResult(text, "", true);
}

Awaitable<absl::StatusOr<std::string>> ToolSearch::Suggest(const CallContext& ctx,
                                                           const ServerView& view,
                                                           std::string arguments) {
  if (ai_ == nullptr) {
    co_return TextResult("This gateway runs without the ai service, which makes suggestions.", "",
                         true);
  }
  const auto object = json::ScanObject(arguments);
  const auto task = object->String("task");
  if (!task || task->empty()) co_return Invalid("arguments.task must be a text");
  ai::v1::SuggestRequest request;
  request.set_task(*task);
  request.set_virtual_server(view.name());
  if (const auto list = json::ScanArray(object->Raw("refinements")); list.ok()) {
    for (const json::Value& one : *list) {
      if (auto text = json::JsonUnquote(one.raw); text.ok()) request.add_refinements(*text);
    }
  }
  const CallContext capped = ctx.Capped(kSuggestTimeout);
  auto suggesting = ai_->Suggest(capped, std::move(request));
  const auto suggested = co_await std::move(suggesting);
  if (!suggested.ok()) co_return suggested.status();
  json::ObjectWriter out;
  out.AddBool("valid", suggested->valid());
  out.AddString("sure", suggested->sure());
  if (!suggested->workflow().empty()) out.Add("workflow", suggested->workflow());
  std::vector<std::string> steps, questions, notes;
  for (const auto& step : suggested->steps()) {
    json::ObjectWriter one;
    one.AddString("id", step.id());
    one.AddString("tool", step.exposed().empty() ? step.tool() : step.exposed());
    one.AddString("effect", step.effect());
    one.AddString("for", step.title());
    steps.push_back(std::move(one).Build());
  }
  for (const auto& gap : suggested->gaps()) questions.push_back(json::JsonQuote(gap.question()));
  for (const auto& note : suggested->notes()) notes.push_back(json::JsonQuote(note));
  out.Add("steps", json::JoinArray(steps));
  out.Add("questions", json::JoinArray(questions));
  out.Add("notes", json::JoinArray(notes));
  const std::string structured = std::move(out).Build();
  co_return TextResult(structured, structured, false);
}

}  // namespace metamcp::gateway
