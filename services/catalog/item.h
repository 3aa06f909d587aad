#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metamcp/catalog/v1/catalog.pb.h"

namespace metamcp::catalog {

namespace pb = ::metamcp::catalog::v1;

// Definitions and names beyond these sizes are refused (reason invalid-definition), so that one
// upstream cannot fill every gateway's memory. Real definitions are 0.2 to 20 KiB.
inline constexpr size_t kDefinitionBytesMax = 256 << 10;
inline constexpr size_t kNameBytesMax = 1024;
inline constexpr size_t kUriBytesMax = 8192;
// Items of one kind that one upstream may offer; what comes later in its list is left out.
inline constexpr size_t kItemsPerListMax = 20'000;
inline constexpr size_t kDefinitionDepthMax = 64;
inline constexpr int kKinds = 5;  // ItemKind values, UNSPECIFIED included

// What the catalog needs of a definition without parsing it again.
struct ItemFacts {
  // Tool annotations, absent ones with MCP's defaults (MCP 2025-11-25, ToolAnnotations).
  bool read_only = false;
  bool destructive = true;
  bool idempotent = false;
  bool open_world = true;
  // The annotations object as JSON; empty when there is none.
  std::string annotations;
  // First 64 bits of the SHA-256 of the canonical input schema; 0 for other kinds than tools.
  uint64_t schema_hash = 0;
};

// One item of one upstream. Immutable once it is in the model; shared by views and watchers.
struct ItemEntry {
  pb::Item item;  // last_seen_us is kept per list, in the upstream
  ItemFacts facts;
  // Why the definition is refused; empty when it is fine. Such an item keeps no definition.
  std::string invalid;
};
using ItemPtr = std::shared_ptr<const ItemEntry>;

// The searchable words of one item with their weights.
using SearchDoc = std::vector<std::pair<std::string, float>>;

struct AnalyzedItem {
  std::shared_ptr<ItemEntry> entry;
  SearchDoc doc;
};

// A text that every store and wire can hold: valid UTF-8 without control characters, cut at
// `bytes_max`. What is not becomes U+FFFD or '?'.
std::string StorableText(std::string_view text, size_t bytes_max);
// An original name in that form, under which the item is kept.
std::string StorableName(std::string_view name);

// UUIDv5 of (upstream, kind, original name).
std::string ItemId(std::string_view upstream_id, pb::ItemKind kind, std::string_view original_name);

// Checks a definition and derives id, fingerprint, facts and search words. Never fails: what is
// wrong is in `invalid`, first of all the `problem` that the provider found already. Version,
// first_seen_us and breaking_change are left for the caller. Thread: any.
AnalyzedItem AnalyzeItem(std::string_view upstream_id, std::string_view slug, pb::ItemKind kind,
                         std::string_view original_name, std::string_view definition,
                         std::string_view problem = {});

// "tool", "resource", "template", "prompt".
std::string_view KindName(pb::ItemKind kind);

struct ItemText {
  std::string title;
  std::string description;
};
// Title and description out of a valid definition.
ItemText ReadItemText(std::string_view definition);

}  // namespace metamcp::catalog
