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

// Walks a text and the table together. The recursion is bounded by the table, which has no cycles.
class Walker {
 public:
  explicit Walker(std::string_view text) : cursor_(text) {}

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
      Walker inner(value.raw);
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
        child = members[i].node;
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
  std::vector<std::string> path_;
  std::string fault_;
};

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
  Walker walker(params);
  if (walker.Run(entry->node)) return absl::OkStatus();
  return MakeError("INVALID_PARAMS", "mcp", StrCat(method, ": params", walker.Reason()));
}

absl::Status ValidateResult(Revision revision, std::string_view method, std::string_view result) {
  const Entry* entry = FindEntry(revision, method, Part::kResult);
  if (entry == nullptr) return absl::OkStatus();
  Walker walker(result);
  if (walker.Run(entry->node)) return absl::OkStatus();
  return MakeError("UPSTREAM_PROTOCOL", "upstream",
                   StrCat("The answer to ", method, " is malformed: result", walker.Reason()));
}

absl::StatusOr<std::string> RepairResult(Revision revision, std::string_view method,
                                         std::string_view result) {
  const absl::StatusOr<json::ObjectView> view = json::ScanObject(result);
  if (!view.ok()) {
    return MakeError("UPSTREAM_PROTOCOL", "upstream",
                     StrCat("The answer to ", method, " is malformed: ", view.status().message()));
  }
  json::Splicer splicer(*view);
  const bool modern = IsModern(revision);
  if (modern) splicer.SetIfAbsent("resultType", R"("complete")");
  const bool complete = !view->Has("resultType") || view->String("resultType") == "complete";
  // A 2025-11-25 answer may be a task instead of content.
  if (method == "tools/call" && complete && !view->Has("task")) {
    splicer.SetIfAbsent("content", "[]");
  }
  const MethodInfo* info = FindMethod(method);
  if (modern && complete && info != nullptr && info->cacheable) {
    const std::string_view ttl = view->Raw("ttlMs");
    if (ttl.empty() || ttl.front() == '-') splicer.Set("ttlMs", "0");
    splicer.SetIfAbsent("cacheScope", R"("private")");
  }
  std::string repaired = splicer.Build();
  METAMCP_RETURN_IF_ERROR(ValidateResult(revision, method, repaired));
  return repaired;
}

}  // namespace metamcp::mcp
