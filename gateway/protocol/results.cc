#include "gateway/protocol/results.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "common/mcp/meta.h"

namespace metamcp::gateway {
namespace {

// Lists may differ between principals once policy filters them, and change by notification; a
// minute is what a client without a listen stream sees late (mcp-digest 11.2).
constexpr int kListTtlMs = 60000;

std::string Capabilities(const ServerView& view, mcp::Revision revision) {
  json::ObjectWriter out;
  if (mcp::HasCompletionsCapability(revision)) out.Add("completions", "{}");
  std::string extensions = view.extensions();
  if (view.tasks() && mcp::IsModern(revision)) {
    const auto object = json::ScanObject(extensions.empty() ? std::string_view("{}")
                                                            : std::string_view(extensions));
    json::Splicer splicer(*object);
    splicer.Set(mcp::kTasksExtension, "{}");
    std::string with = splicer.Build();
    extensions = std::move(with);
  }
  if (!extensions.empty()) out.Add("extensions", extensions);
  out.Add("logging", "{}");
  out.Add("prompts", R"({"listChanged":true})");
  out.Add("resources", R"({"listChanged":true,"subscribe":true})");
  if (view.tasks() && mcp::HasCoreTasks(revision)) {
    out.Add("tasks", R"({"list":{},"cancel":{},"requests":{"tools":{"call":{}}}})");
  }
  out.Add("tools", R"({"listChanged":true})");
  return std::move(out).Build();
}

std::string CursorContext(const ServerView& view, ItemKind kind, std::string_view owner) {
  return StrCat("list|", view.name(), "|", static_cast<int>(kind), "|", owner);
}

absl::StatusOr<size_t> FirstOf(const ServerView& view, ItemKind kind, std::string_view cursor,
                               const KeyRing& keys, std::string_view owner) {
  const auto plain = keys.Open(SealPurpose::kCursor, cursor, CursorContext(view, kind, owner));
  const size_t colon = plain ? plain->find(':') : std::string::npos;
  if (!plain || colon == std::string::npos) {
    return MakeError("CURSOR_INVALID", "gateway", "this cursor was not made by this list");
  }
  const std::string name = plain->substr(colon + 1);
  const auto& entries = view.Entries(kind);
  const auto it = std::find_if(entries.begin(), entries.end(),
                               [&](const EntryPtr& e) { return e->name == name; });
  if (it != entries.end()) return static_cast<size_t>(it - entries.begin()) + 1;
  // The entry is gone: go on where it stood.
  const auto index = json::RawInt64(plain->substr(0, colon));
  return std::min(entries.size(), static_cast<size_t>(std::max<int64_t>(0, index.value_or(0))));
}

}  // namespace

std::string DiscoverResult(const ServerView& view) {
  json::ObjectWriter meta;
  meta.Add(mcp::kMetaServerInfo, view.server_info());
  json::ObjectWriter result;
  result.AddString("resultType", "complete");
  result.Add("supportedVersions", R"(["2026-07-28"])");
  result.Add("capabilities", Capabilities(view, mcp::kLatestModern));
  if (!view.instructions().empty()) result.AddString("instructions", view.instructions());
  result.AddInt("ttlMs", kListTtlMs);
  result.AddString("cacheScope", "private");
  result.Add("_meta", std::move(meta).Build());
  return std::move(result).Build();
}

std::string InitializeResult(const ServerView& view, mcp::Revision revision) {
  json::ObjectWriter result;
  result.AddString("protocolVersion", mcp::RevisionName(revision));
  result.Add("capabilities", Capabilities(view, revision));
  result.Add("serverInfo", view.server_info());
  if (!view.instructions().empty()) result.AddString("instructions", view.instructions());
  return std::move(result).Build();
}

absl::StatusOr<std::string> ListResult(const ServerView& view, ItemKind kind,
                                       mcp::Revision revision, std::string_view cursor,
                                       bool has_cursor, size_t page_size, const KeyRing& keys,
                                       std::string_view owner) {
  size_t first = 0;
  if (has_cursor) {
    METAMCP_ASSIGN_OR_RETURN(first, FirstOf(view, kind, cursor, keys, owner));
  }
  const auto& entries = view.Entries(kind);
  const size_t end = std::min(entries.size(), first + page_size);
  std::string out = "{";
  out += view.ListPage(kind, revision, first, page_size);
  if (end < entries.size()) {
    out += StrCat(",\"nextCursor\":\"",
                  keys.Seal(SealPurpose::kCursor, StrCat(end, ":", entries[end - 1]->name),
                            CursorContext(view, kind, owner)),
                  "\"");
  }
  if (mcp::IsModern(revision)) {
    out += StrCat(R"(,"resultType":"complete","ttlMs":)", kListTtlMs,
                  R"(,"cacheScope":"private","_meta":{")", mcp::kMetaServerInfo,
                  "\":", view.server_info(), "}");
  }
  out += "}";
  return out;
}

std::string WithServerInfo(const ServerView& view, std::string result) {
  auto object = json::ScanObject(result);
  if (!object.ok()) return result;
  json::ObjectView meta;
  if (const json::Member* given = object->Find("_meta")) {
    auto scanned = json::ScanObject(given->value.raw);
    if (scanned.ok()) meta = *std::move(scanned);
  }
  json::Splicer meta_splicer(meta);
  meta_splicer.Set(mcp::kMetaServerInfo, view.server_info());
  json::Splicer splicer(*object);
  splicer.Set("_meta", meta_splicer.Build());
  return splicer.Build();
}

}  // namespace metamcp::gateway
