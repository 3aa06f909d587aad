#include <functional>
#include <vector>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "common/mcp/convert_internal.h"

namespace metamcp::mcp {

using json::ObjectView;
using json::ObjectWriter;

namespace {

std::string TextBlock(std::string_view text) {
  ObjectWriter w;
  w.AddString("type", "text").AddString("text", text);
  return std::move(w).Build();
}

std::string LinkAsText(const ObjectView& block) {
  const std::string uri = block.String("uri").value_or("");
  const std::string name = block.String("name").value_or("");
  std::string text = name.empty() ? uri : StrCat(name, ": ", uri);
  if (const auto description = block.String("description")) text += StrCat("\n", *description);
  return TextBlock(text);
}

std::string AudioAsResource(const ObjectView& block, std::size_t index) {
  ObjectWriter resource;
  resource.AddString("uri", StrCat("audio://content/", index));
  resource.AddString("mimeType", block.String("mimeType").value_or("application/octet-stream"));
  const std::string_view data = block.Raw("data");
  resource.Add("blob", data.empty() ? "\"\"" : data);
  ObjectWriter w;
  w.AddString("type", "resource").Add("resource", std::move(resource).Build());
  if (block.Has("annotations")) w.Add("annotations", block.Raw("annotations"));
  return std::move(w).Build();
}

}  // namespace

absl::StatusOr<std::string> ContentToRevision(std::string_view block, Revision to,
                                              std::size_t index) {
  if (HasResourceLink(to)) return std::string(block);
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(block));
  const std::string type = view.String("type").value_or("");
  if (type == "resource_link") return LinkAsText(view);
  if (type == "audio" && !HasAudio(to)) return AudioAsResource(view, index);
  return std::string(block);
}

absl::StatusOr<std::string> MapArray(
    std::string_view array,
    const std::function<absl::StatusOr<std::string>(std::string_view, std::size_t)>& map) {
  METAMCP_ASSIGN_OR_RETURN(const std::vector<json::Value> values, json::ScanArray(array));
  std::vector<std::string> out;
  out.reserve(values.size());
  for (const json::Value& v : values) {
    METAMCP_ASSIGN_OR_RETURN(std::string mapped, map(v.raw, out.size()));
    out.push_back(std::move(mapped));
  }
  return json::JoinArray(out);
}

std::optional<std::string> MetaWithout(const ObjectView& object,
                                       std::initializer_list<std::string_view> keys) {
  const json::Member* meta = object.Find("_meta");
  if (meta == nullptr || !meta->value.is_object()) return std::nullopt;
  const absl::StatusOr<ObjectView> view = json::ScanObject(meta->value.raw);
  if (!view.ok()) return std::nullopt;
  std::size_t hits = 0;
  json::Splicer splicer(*view);
  for (const std::string_view key : keys) {
    if (!view->Has(key)) continue;
    splicer.Remove(key);
    ++hits;
  }
  if (hits == 0) return std::nullopt;
  return hits == view->members().size() ? std::string() : splicer.Build();
}

void DropMetaKeys(const ObjectView& object, std::initializer_list<std::string_view> keys,
                  json::Splicer* splicer) {
  const std::optional<std::string> meta = MetaWithout(object, keys);
  if (!meta.has_value()) return;
  if (meta->empty()) {
    splicer->Remove("_meta");
  } else {
    splicer->Set("_meta", *meta);
  }
}

}  // namespace metamcp::mcp
