#include "common/mcp/validate.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/json/unescape.h"
#include "common/mcp/convert_internal.h"
#include "common/mcp/meta.h"
#include "common/mcp/methods.h"

namespace metamcp::mcp {
namespace {

using json::Cursor;
using json::Kind;
using json::Value;

struct Member {
  std::string_view key;
  bool required;
  std::uint16_t node;
};

// Node 0 is "any JSON".
struct Node {
  std::uint8_t types;  // bits: null, boolean, integer, number, string, array, object
  std::uint16_t member_first;
  std::uint16_t member_count;
  std::uint16_t items;
  std::uint16_t extra;  // values of members that are not listed
  std::uint16_t alternative_first;
  std::uint16_t alternative_count;  // one of them must hold
  std::uint16_t string_first;
  std::uint16_t string_count;  // the strings that are allowed, sorted
};

struct Entry {
  std::string_view method;
  Revision revision;
  Part part;
  bool required;
  std::uint16_t node;
};

#include "common/mcp/shapes.inc"

constexpr unsigned kIntegerBit = 4;
constexpr unsigned kNumberBit = 8;

unsigned TypeBit(Kind kind) {
  constexpr unsigned kBits[] = {1, 2, kNumberBit, 16, 32, 64};
  return kBits[static_cast<std::size_t>(kind)];
}

const Entry* FindEntry(Revision revision, std::string_view method, Part part) {
  const auto before = [](const Entry& e, std::string_view m) { return e.method < m; };
  const Entry* it = std::lower_bound(std::begin(kEntries), std::end(kEntries), method, before);
  for (; it != std::end(kEntries) && it->method == method; ++it) {
    if (it->revision == revision && it->part == part) return it;
  }
  return nullptr;
}

// 1.0 is an integer to JSON Schema.
bool IsIntegral(const Value& value) {
  double number = 0;
  return value.is_integer() ||
         (absl::SimpleAtod(Av(value.raw), &number) && std::trunc(number) == number);
}

// Whether null may stand for an optional member that is absent.
enum class Nulls : std::uint8_t { kAreValues, kAreAbsent };

// Walks a text and the table together. The recursion is bounded by the table, which has no cycles.
class Walker {
 public:
  Walker(std::string_view text, Nulls nulls) : cursor_(text), nulls_(nulls) {}

  bool Run(std::uint16_t node) { return Check(node) && cursor_.Finish(); }
  // Where and why it failed.
  std::string Reason() const {
    std::string out;
    for (const std::string& step : path_) out += step;
    if (!cursor_.ok()) return std::string(cursor_.status().message());
    return StrCat(out.empty() ? "the value" : out, " ", fault_);
  }

 private:
  bool Fault(std::string_view why) {
    fault_ = why;
    return false;
  }

  bool Check(std::uint16_t index) {
    Value value;
    if (index == 0) return cursor_.Skip(&value);
    const Node& node = kNodes[index];
    if (node.alternative_count > 0) return CheckAlternatives(node);
    Kind kind;
    if (!cursor_.Peek(&kind)) return false;
    const unsigned bit = TypeBit(kind);
    const bool maybe_integer = kind == Kind::kNumber && (node.types & kIntegerBit) != 0;
    if ((node.types & bit) == 0 && !maybe_integer) return Fault("has the wrong JSON type");
    if (kind == Kind::kObject && (node.member_count > 0 || node.extra != 0)) {
      return CheckObject(node);
    }
    if (kind == Kind::kArray && node.items != 0) return CheckArray(node);
    if (!cursor_.Skip(&value)) return false;
    if (maybe_integer && (node.types & kNumberBit) == 0 && !IsIntegral(value)) {
      return Fault("must be an integer");
    }
    return kind != Kind::kString || node.string_count == 0 || CheckString(node, value);
  }

  bool AtNull() {
    Kind kind;
    return nulls_ == Nulls::kAreAbsent && cursor_.Peek(&kind) && kind == Kind::kNull;
  }

  bool CheckString(const Node& node, const Value& value) {
    const std::string text = json::UnescapeTrusted(value.raw.substr(1, value.raw.size() - 2));
    const std::span<const std::string_view> allowed(kStrings + node.string_first,
                                                    node.string_count);
    return std::find(allowed.begin(), allowed.end(), text) != allowed.end() ||
           Fault("is not one of the allowed strings");
  }

  bool CheckAlternatives(const Node& node) {
    Value value;
    if (!cursor_.Skip(&value)) return false;
    std::string best;
    std::vector<std::string> best_path;
    for (std::uint16_t i = 0; i < node.alternative_count; ++i) {
      Walker inner(value.raw, nulls_);
      if (inner.Run(kAlternatives[node.alternative_first + i])) return true;
      // The alternative that got furthest explains the fault best.
      if (i == 0 || inner.path_.size() > best_path.size()) {
        best = inner.fault_;
        best_path = inner.path_;
      }
    }
    path_.insert(path_.end(), best_path.begin(), best_path.end());
    return Fault(best.empty() ? "matches none of the allowed forms" : best);
  }

  bool CheckObject(const Node& node) {
    const std::span<const Member> members(kMembers + node.member_first, node.member_count);
    std::uint64_t seen = 0;  // the generator admits at most 64 members
    if (!cursor_.Enter(Kind::kObject)) return false;
    std::string_view raw_key;
    while (cursor_.NextKey(&raw_key)) {
      std::string unescaped;
      std::string_view key = raw_key;
      if (raw_key.find('\\') != std::string_view::npos) {
        unescaped = json::UnescapeTrusted(raw_key);
        key = unescaped;
      }
      std::uint16_t child = node.extra;
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (members[i].key != key) continue;
        seen |= std::uint64_t{1} << i;
        child = members[i].required || !AtNull() ? members[i].node : std::uint16_t{0};
      }
      path_.push_back(StrCat(".", key.substr(0, kKeyShownMax)));
      if (!Check(child)) return false;
      path_.pop_back();
    }
    if (!cursor_.ok()) return false;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (!members[i].required || ((seen >> i) & 1) != 0) continue;
      path_.push_back(StrCat(".", members[i].key));
      return Fault("is missing");
    }
    return true;
  }

  bool CheckArray(const Node& node) {
    if (!cursor_.Enter(Kind::kArray)) return false;
    for (std::size_t i = 0; cursor_.NextElement(); ++i) {
      path_.push_back(StrCat("[", i, "]"));
      if (!Check(node.items)) return false;
      path_.pop_back();
    }
    return cursor_.ok();
  }

  static constexpr std::size_t kKeyShownMax = 64;
  Cursor cursor_;
  const Nulls nulls_;
  std::vector<std::string> path_;
  std::string fault_;
};

absl::Status Malformed(std::string_view method, std::string_view why) {
  return MakeError("UPSTREAM_PROTOCOL", "upstream",
                   StrCat("The answer to ", method, " is malformed: ", why));
}

absl::Status ValidateAs(Part part, Revision revision, std::string_view method,
                        std::string_view result) {
  const Entry* entry = FindEntry(revision, method, part);
  if (entry == nullptr) return absl::OkStatus();
  Walker walker(result, Nulls::kAreAbsent);
  if (walker.Run(entry->node)) return absl::OkStatus();
  return Malformed(method, StrCat("result", walker.Reason()));
}

ResultType TypeOf(Revision from, std::string_view method, const json::ObjectView& view) {
  if (!IsModern(from)) {
    const bool task = method == "tools/call" && view.Has("task") && !view.Has("content");
    return task && HasCoreTasks(from) ? ResultType::kTask : ResultType::kComplete;
  }
  if (!view.Has("resultType")) return ResultType::kComplete;
  const std::string type = view.String("resultType").value_or("");
  if (type == "complete") return ResultType::kComplete;
  if (type == "input_required") return ResultType::kInputRequired;
  return type == "task" ? ResultType::kTask : ResultType::kOther;
}

// What a complete result of a legacy or sloppy upstream needs to be canonical.
void Repair(Revision from, std::string_view method, const json::ObjectView& view,
            json::Splicer& splicer) {
  if (IsModern(from)) {
    splicer.SetIfAbsent("resultType", R"("complete")");
  } else {
    // A legacy server's resultType is a member like any other that we do not know.
    splicer.Set("resultType", R"("complete")");
    DropMetaKeys(view, {kMetaRelatedTask, kMetaImmediateResponse}, &splicer);
    if (view.Raw("structuredContent") == "null") splicer.Remove("structuredContent");
  }
  if (method == "tools/call") {
    splicer.SetIfAbsent("content", "[]");
    if (view.Raw("content") == "null") splicer.Set("content", "[]");
  }
  const MethodInfo* info = FindMethod(method);
  if (info == nullptr || !info->cacheable) return;
  const std::string_view ttl = view.Raw("ttlMs");
  if (ttl.empty() || ttl.front() == '-') splicer.Set("ttlMs", "0");
  splicer.SetIfAbsent("cacheScope", R"("private")");
}

}  // namespace

bool ValidationKnown(Revision revision, std::string_view method, Part part) {
  return FindEntry(revision, method, part) != nullptr;
}

absl::Status ValidateParams(Revision revision, std::string_view method, std::string_view params) {
  const Entry* entry = FindEntry(revision, method, Part::kParams);
  if (entry == nullptr) return absl::OkStatus();
  if (params.empty()) {
    if (!entry->required) return absl::OkStatus();
    return MakeError("INVALID_PARAMS", "mcp", StrCat(method, ": params is missing"));
  }
  Walker walker(params, Nulls::kAreValues);
  if (walker.Run(entry->node)) return absl::OkStatus();
  return MakeError("INVALID_PARAMS", "mcp", StrCat(method, ": params", walker.Reason()));
}

absl::Status ValidateResult(Revision revision, std::string_view method, std::string_view result) {
  Part part = Part::kResult;
  const MethodInfo* info = FindMethod(method);
  if (IsModern(revision) && info != nullptr && info->may_require_input) {
    const absl::StatusOr<json::ObjectView> view = json::ScanObject(result);
    if (view.ok() && view->String("resultType") == "input_required") part = Part::kInputRequired;
  }
  return ValidateAs(part, revision, method, result);
}

absl::Status ValidateItem(Revision revision, ItemKind kind, std::string_view item) {
  constexpr std::string_view kNames[] = {"Tool", "Prompt", "Resource", "ResourceTemplate"};
  const Entry* entry = FindEntry(revision, kNames[static_cast<std::size_t>(kind)], Part::kItem);
  Walker walker(item, Nulls::kAreAbsent);
  if (walker.Run(entry->node)) return absl::OkStatus();
  return MakeError("UPSTREAM_PROTOCOL", "upstream", walker.Reason());
}

absl::StatusOr<CanonicalAnswer> CanonicalResult(Revision from, std::string_view method,
                                                std::string result) {
  const absl::StatusOr<json::ObjectView> view = json::ScanObject(result);
  if (!view.ok()) {
    return Malformed(method, Sv(view.status().message()));
  }
  CanonicalAnswer out;
  out.type = TypeOf(from, method, *view);
  json::Splicer splicer(*view);
  if (out.type == ResultType::kComplete) Repair(from, method, *view, splicer);
  out.json = splicer.changed() ? splicer.Build() : std::string();
  if (!splicer.changed()) out.json = std::move(result);
  if (out.type == ResultType::kComplete) {
    // Whatever the upstream's revision, the newest one admits all that older ones have.
    METAMCP_RETURN_IF_ERROR(ValidateAs(Part::kResult, kLatestModern, method, out.json));
  } else if (out.type == ResultType::kInputRequired) {
    METAMCP_RETURN_IF_ERROR(ValidateAs(Part::kInputRequired, kLatestModern, method, out.json));
  }
  return out;
}

}  // namespace metamcp::mcp
