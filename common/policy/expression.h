#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/policy/facts.h"

namespace metamcp::policy {

enum class Attribute : uint8_t {
  kSubject,
  kRole,
  kTeam,
  kScope,
  kPrincipal,
  kVirtualServer,
  kUpstream,
  kItem,
  kTool,
  kResource,
  kPrompt,
  kKind,
  kReadOnly,
  kDestructive,
  kIdempotent,
  kOpenWorld,
  kSaysDestructive,
  kAnonymous,
  // From here on what only a call knows.
  kArgument,
  kSize,
  kBytes,
  kTime,
  kDay,
  kClient
};
constexpr bool IsOfCall(Attribute a) { return a >= Attribute::kArgument; }

enum class Operator : uint8_t {
  kEqual,  // one of the operands
  kGlob,   // one of the globs
  kLess,
  kLessEqual,
  kMore,
  kMoreEqual,
  kWithin,  // the path is one of these folders, or below
  kBetween  // time and day
};

// One step into the arguments: a member, an element, or (neither) every element.
struct PathStep {
  std::string key;
  std::optional<size_t> index;
  bool every = false;
};

struct Operand {
  std::string text;
  std::optional<double> number;
  bool quoted = false;
};

struct Node {
  enum class Kind : uint8_t { kAnd, kOr, kNot, kFlag, kHas, kCompare };
  Kind kind = Kind::kFlag;
  std::vector<std::unique_ptr<Node>> children;
  Attribute attribute = Attribute::kItem;
  Operator op = Operator::kEqual;
  std::vector<Operand> operands;
  std::vector<PathStep> path;
  // Minutes of the day, or days from Monday (0); both ends included, the last minute not.
  int from = 0;
  int to = 0;
  std::vector<int> days;
  absl::TimeZone zone = absl::UTCTimeZone();
};

// A value of the arguments as rules compare it.
struct Found {
  std::string_view raw;
  std::string text;  // unquoted where it is a string
  bool is_text = false;
};

// Reads the arguments of one call, and keeps what it cannot trust: a text that is no JSON object,
// or one in which a key occurs twice on the way to what a rule asks for, which the upstream may
// read otherwise.
class Arguments {
 public:
  explicit Arguments(std::string_view raw) : raw_(raw) {}
  std::vector<Found> Find(const std::vector<PathStep>& path);
  bool ambiguous() const { return ambiguous_; }

 private:
  std::string_view raw_;
  bool ambiguous_ = false;
};

// Attributes that are not known, one bit each.
using Attributes = uint32_t;
constexpr Attributes BitOf(Attribute a) { return Attributes{1} << static_cast<unsigned>(a); }
constexpr Attributes kAllArguments =
    BitOf(Attribute::kArgument) | BitOf(Attribute::kSize) | BitOf(Attribute::kBytes);

// Evaluates an expression. `moment` and `arguments` are null where only principal and item are
// known; what is about a call is unknown then, and so are the attributes of `unknown`.
struct Scope {
  const Principal& who;
  const Item& item;
  const Moment* moment = nullptr;
  Arguments* arguments = nullptr;
  Attributes unknown = 0;
};
Truth Evaluate(const Node& node, const Scope& scope);

// An absolute path without ".", ".." and doubled slashes; nothing where it is not absolute. Purely
// by its text: links are not followed.
std::optional<std::string> CleanPath(std::string_view path);

}  // namespace metamcp::policy
