#include "gateway/audit/shape.h"

#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::gateway {
namespace {

constexpr int kDepthMax = 4;
constexpr size_t kMembersMax = 32;
constexpr size_t kKeyBytesMax = 64;

std::string Shape(const json::Value& value, int depth);

// Recursion is as deep as kDepthMax.
std::string ObjectShape(std::string_view raw, int depth) {
  const auto view = json::ScanObject(raw);
  if (!view.ok()) return "\"invalid\"";
  json::ObjectWriter out;
  size_t count = 0;
  for (const json::Member& member : view->members()) {
    if (++count > kMembersMax) {
      out.AddString("\xE2\x80\xA6", "more");
      break;
    }
    out.Add(member.key.substr(0, kKeyBytesMax), Shape(member.value, depth + 1));
  }
  return std::move(out).Build();
}

std::string Shape(const json::Value& value, int depth) {
  if (value.is_object() && depth < kDepthMax) return ObjectShape(value.raw, depth);
  if (value.is_array() && depth < kDepthMax) {
    const auto items = json::ScanArray(value.raw);
    if (!items.ok()) return "\"invalid\"";
    return items->empty() ? "[]" : "[" + Shape(items->front(), depth + 1) + "]";
  }
  return json::JsonQuote(json::KindName(value.kind));
}

}  // namespace

std::string ShapeOf(std::string_view raw) {
  const auto value = json::ScanValue(raw);
  return value.ok() ? Shape(*value, 0) : "\"invalid\"";
}

}  // namespace metamcp::gateway
