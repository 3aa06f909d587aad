#include <vector>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "common/mcp/convert_internal.h"
#include "common/mcp/meta.h"
#include "common/mcp/methods.h"

namespace metamcp::mcp {
namespace {

using json::Member;
using json::ObjectView;
using json::Splicer;

bool HasTextBlock(std::string_view content) {
  const auto blocks = json::ScanArray(content);
  if (!blocks.ok()) return false;
  for (const json::Value& b : *blocks) {
    const auto view = json::ScanObject(b.raw);
    if (view.ok() && view->String("type") == "text") return true;
  }
  return false;
}

std::string TextBlockOf(std::string_view raw_json) {
  json::ObjectWriter w;
  w.AddString("type", "text").AddString("text", raw_json);
  return std::move(w).Build();
}

// `content` with one more text block: clients that ignore structuredContent read it there.
absl::StatusOr<std::string> WithTextCopy(std::string_view content, std::string_view structured) {
  std::vector<std::string> blocks;
  if (!content.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const std::vector<json::Value> old, json::ScanArray(content));
    for (const json::Value& b : old) blocks.emplace_back(b.raw);
  }
  blocks.push_back(TextBlockOf(structured));
  return json::JoinArray(blocks);
}

absl::StatusOr<std::string> ContentArray(std::string_view content, Revision to) {
  return MapArray(content, [to](std::string_view block, std::size_t index) {
    return ContentToRevision(block, to, index);
  });
}

absl::Status CallToLegacy(const ObjectView& view, Revision to, std::optional<bool> wrapped,
                          Splicer* splicer) {
  std::string content(view.Raw("content"));
  bool content_changed = false;
  if (const Member* structured = view.Find("structuredContent")) {
    const std::string_view raw = structured->value.raw;
    if (!HasTextBlock(content)) {
      METAMCP_ASSIGN_OR_RETURN(content, WithTextCopy(content, raw));
      content_changed = true;
    }
    if (!HasStructuredContent(to)) {
      splicer->Remove("structuredContent");
    } else if (wrapped.value_or(!structured->value.is_object())) {
      json::ObjectWriter wrapper;
      wrapper.Add("result", raw);
      splicer->Set("structuredContent", std::move(wrapper).Build());
    }
  }
  if (!HasResourceLink(to) && !content.empty()) {
    METAMCP_ASSIGN_OR_RETURN(content, ContentArray(content, to));
    content_changed = true;
  }
  if (content_changed) splicer->Set("content", content);
  return absl::OkStatus();
}

absl::Status PromptToLegacy(const ObjectView& view, Revision to, Splicer* splicer) {
  const Member* messages = view.Find("messages");
  if (HasResourceLink(to) || messages == nullptr) return absl::OkStatus();
  const auto map = [to](std::string_view raw, std::size_t index) -> absl::StatusOr<std::string> {
    METAMCP_ASSIGN_OR_RETURN(const ObjectView message, json::ScanObject(raw));
    const Member* content = message.Find("content");
    if (content == nullptr || !content->value.is_object()) return std::string(raw);
    METAMCP_ASSIGN_OR_RETURN(const std::string block,
                             ContentToRevision(content->value.raw, to, index));
    Splicer inner(message);
    inner.Set("content", block);
    return inner.Build();
  };
  METAMCP_ASSIGN_OR_RETURN(const std::string mapped, MapArray(messages->value.raw, map));
  splicer->Set("messages", mapped);
  return absl::OkStatus();
}

absl::Status ToolsTo(const ObjectView& view, Revision to, Splicer* splicer) {
  const Member* tools = view.Find("tools");
  if (tools == nullptr) return absl::OkStatus();
  const auto map = [to](std::string_view raw, std::size_t) {
    return IsModern(to) ? ItemToModern(ItemKind::kTool, raw)
                        : ItemToRevision(ItemKind::kTool, raw, to);
  };
  METAMCP_ASSIGN_OR_RETURN(const std::string mapped, MapArray(tools->value.raw, map));
  splicer->Set("tools", mapped);
  return absl::OkStatus();
}

absl::Status DowngradeBody(std::string_view method, const ObjectView& view, Revision to,
                           std::optional<bool> wrapped, Splicer* splicer) {
  if (method == "tools/call") return CallToLegacy(view, to, wrapped, splicer);
  if (method == "prompts/get") return PromptToLegacy(view, to, splicer);
  if (method == "tools/list") return ToolsTo(view, to, splicer);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ResultToLegacy(std::string_view method, std::string_view result,
                                           Revision to, std::optional<bool> output_wrapped) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(result));
  if (view.Has("resultType") && view.String("resultType") != "complete") {
    return MakeError("UPSTREAM_PROTOCOL", "mcp",
                     StrCat("A result of type ", view.Raw("resultType"), " has no legacy form"));
  }
  Splicer splicer(view);
  splicer.Remove("resultType");
  splicer.Remove("ttlMs");
  splicer.Remove("cacheScope");
  DropMetaKeys(view, {kMetaServerInfo}, &splicer);
  METAMCP_RETURN_IF_ERROR(DowngradeBody(method, view, to, output_wrapped, &splicer));
  return splicer.Build();
}

absl::StatusOr<std::string> ResultToModern(std::string_view method, std::string_view result,
                                           const CacheHint& cache) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(result));
  Splicer splicer(view);
  splicer.Set("resultType", R"("complete")");
  DropMetaKeys(view, {kMetaRelatedTask, kMetaImmediateResponse}, &splicer);
  if (method == "tools/call") splicer.SetIfAbsent("content", "[]");
  if (method == "tools/list") METAMCP_RETURN_IF_ERROR(ToolsTo(view, kLatestModern, &splicer));
  const MethodInfo* info = FindMethod(method);
  if (info != nullptr && info->cacheable) {
    splicer.Set("ttlMs", std::to_string(cache.ttl_ms < 0 ? 0 : cache.ttl_ms));
    splicer.Set("cacheScope", cache.is_public ? R"("public")" : R"("private")");
  }
  return splicer.Build();
}

absl::StatusOr<std::string> ConvertResult(std::string_view method, std::string_view result,
                                          Revision from, Revision to, const CacheHint& cache,
                                          std::optional<bool> output_wrapped) {
  if (IsModern(to)) {
    if (!IsModern(from)) return ResultToModern(method, result, cache);
    METAMCP_RETURN_IF_ERROR(json::ScanObject(result).status());
    return std::string(result);
  }
  if (IsModern(from)) return ResultToLegacy(method, result, to, output_wrapped);
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(result));
  Splicer splicer(view);
  // An unknown resultType of a legacy server is its own business; only content is brought down.
  if (to < from) {
    METAMCP_RETURN_IF_ERROR(
        DowngradeBody(method, view, to, output_wrapped.value_or(false), &splicer));
  }
  return splicer.Build();
}

std::string ParamsToLegacy(std::string_view method, const ObjectView& params,
                           std::string_view raw_meta, Revision to) {
  Splicer splicer(params);
  splicer.Remove("inputResponses");
  splicer.Remove("requestState");
  // The completion context came with 2025-06-18.
  if (method == "completion/complete" && to < Revision::k20250618) splicer.Remove("context");
  if (raw_meta.empty()) {
    splicer.Remove("_meta");
  } else {
    splicer.Set("_meta", raw_meta);
  }
  return splicer.Build();
}

std::string ParamsToModern(std::string_view method, const ObjectView& params,
                           std::string_view raw_meta) {
  Splicer splicer(params);
  if (method == "tools/call") splicer.Remove("task");
  if (raw_meta.empty()) {
    splicer.Remove("_meta");
  } else {
    splicer.Set("_meta", raw_meta);
  }
  return splicer.Build();
}

absl::StatusOr<std::string> NotificationToRevision(std::string_view method, std::string_view params,
                                                   Revision to) {
  if (params.empty()) return std::string();
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(params));
  Splicer splicer(view);
  if (method == "notifications/progress" && !HasProgressMessage(to)) splicer.Remove("message");
  if (!IsModern(to)) DropMetaKeys(view, {kMetaSubscriptionId}, &splicer);
  if (IsModern(to)) DropMetaKeys(view, {kMetaRelatedTask}, &splicer);
  return splicer.Build();
}

jsonrpc::ErrorObject ErrorToModern(jsonrpc::ErrorObject error, std::string_view uri) {
  if (error.code != -32002) return error;
  error.code = jsonrpc::kInvalidParams;
  const absl::StatusOr<ObjectView> data =
      json::ScanObject(error.data.empty() ? std::string_view("{}") : error.data);
  if (uri.empty() || (data.ok() && data->Has("uri"))) return error;
  const ObjectView nothing;
  Splicer splicer(data.ok() ? *data : nothing);
  splicer.SetString("uri", uri);
  error.data = splicer.Build();
  return error;
}

jsonrpc::ErrorObject ErrorToLegacy(jsonrpc::ErrorObject error, std::string_view method) {
  if (error.code <= -32020 && error.code >= -32022) {
    // The other two speak of a leg that the client does not see; which capability is missing it may
    // want to know.
    if (error.code != -32021) error.data.clear();
    error.code = jsonrpc::kInternalError;
  } else if (error.code == jsonrpc::kInvalidParams && method == "resources/read" &&
             !error.data.empty()) {
    const absl::StatusOr<ObjectView> data = json::ScanObject(error.data);
    if (data.ok() && data->Has("uri")) error.code = -32002;
  }
  return error;
}

}  // namespace metamcp::mcp
