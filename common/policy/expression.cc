#include "common/policy/expression.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "common/base/names.h"
#include "common/json/scan.h"

namespace metamcp::policy {
namespace {

Truth Of(bool value) { return value ? Truth::kTrue : Truth::kFalse; }

Truth Negate(Truth value) {
  return value == Truth::kTrue    ? Truth::kFalse
         : value == Truth::kFalse ? Truth::kTrue
                                  : Truth::kUnknown;
}

std::optional<double> NumberOf(std::string_view text) {
  double out = 0;
  if (text.empty() || !absl::SimpleAtod({text.data(), text.size()}, &out)) return std::nullopt;
  return out;
}

bool Ordered(Operator op, double left, double right) {
  switch (op) {
    case Operator::kLess:
      return left < right;
    case Operator::kLessEqual:
      return left <= right;
    case Operator::kMore:
      return left > right;
    default:
      return left >= right;
  }
}

bool IsWithin(std::string_view text, std::string_view folder) {
  const auto path = CleanPath(text);
  if (!path) return false;
  if (folder == "/") return true;
  return path->compare(0, folder.size(), folder) == 0 &&
         (path->size() == folder.size() || (*path)[folder.size()] == '/');
}

bool HoldsForText(const Node& node, std::string_view text) {
  return std::any_of(node.operands.begin(), node.operands.end(), [&](const Operand& operand) {
    switch (node.op) {
      case Operator::kEqual:
        return text == operand.text;
      case Operator::kGlob:
        return GlobMatch(operand.text, text);
      case Operator::kWithin:
        return IsWithin(text, operand.text);
      default: {
        const auto number = NumberOf(text);
        return number && operand.number && Ordered(node.op, *number, *operand.number);
      }
    }
  });
}

template <typename Range>
bool HoldsForAny(const Node& node, const Range& texts) {
  return std::any_of(texts.begin(), texts.end(),
                     [&](const std::string& text) { return HoldsForText(node, text); });
}

bool HoldsForNumber(const Node& node, double value) {
  return std::any_of(node.operands.begin(), node.operands.end(), [&](const Operand& operand) {
    if (!operand.number) return false;
    return node.op == Operator::kEqual ? value == *operand.number
                                       : Ordered(node.op, value, *operand.number);
  });
}

bool HoldsForValue(const Node& node, const Found& found) {
  if (found.is_text) return HoldsForText(node, found.text);
  // A number is what it counts, however it is written: 1e2 is 100.
  if (const auto number = NumberOf(found.raw); number && node.op != Operator::kGlob) {
    return HoldsForNumber(node, *number);
  }
  return HoldsForText(node, found.raw);
}

double SizeOf(const Found& found, bool bytes) {
  if (bytes) return static_cast<double>(found.raw.size());
  if (found.is_text) return static_cast<double>(found.text.size());
  if (const auto list = json::ScanArray(found.raw); list.ok()) {
    return static_cast<double>(list->size());
  }
  if (const auto object = json::ScanObject(found.raw); object.ok()) {
    return static_cast<double>(object->members().size());
  }
  return static_cast<double>(found.raw.size());
}

Truth CompareOfCall(const Node& node, const Scope& scope) {
  if (scope.moment == nullptr) return Truth::kUnknown;
  if (node.attribute == Attribute::kClient) {
    return Of(HoldsForText(node, scope.moment->client));
  }
  if (node.attribute == Attribute::kTime || node.attribute == Attribute::kDay) {
    const absl::CivilSecond now =
        absl::ToCivilSecond(absl::FromUnixMicros(scope.moment->now_us), node.zone);
    if (node.attribute == Attribute::kDay) {
      const int day = static_cast<int>(absl::GetWeekday(absl::CivilDay(now)));
      return Of(std::find(node.days.begin(), node.days.end(), day) != node.days.end());
    }
    const int minute = now.hour() * 60 + now.minute();
    // Over midnight where it ends before it begins.
    return Of(node.from <= node.to ? minute >= node.from && minute < node.to
                                   : minute >= node.from || minute < node.to);
  }
  for (const Found& found : scope.arguments->Find(node.path)) {
    if (node.kind == Node::Kind::kHas) return Truth::kTrue;
    const bool holds =
        node.attribute == Attribute::kArgument
            ? HoldsForValue(node, found)
            : HoldsForNumber(node, SizeOf(found, node.attribute == Attribute::kBytes));
    if (holds) return Truth::kTrue;
  }
  return Truth::kFalse;
}

Truth Compare(const Node& node, const Scope& scope) {
  const auto one = [&](std::string_view text) { return Of(HoldsForText(node, text)); };
  const auto item = [&](std::string_view kind) {
    return Of((kind.empty() || scope.item.kind == kind) && HoldsForAny(node, scope.item.names));
  };
  switch (node.attribute) {
    case Attribute::kSubject:
      return one(scope.who.subject);
    case Attribute::kRole:
      return Of(HoldsForAny(node, scope.who.roles));
    case Attribute::kTeam:
      return Of(HoldsForAny(node, scope.who.teams));
    case Attribute::kScope:
      return Of(HoldsForAny(node, scope.who.scopes));
    case Attribute::kPrincipal:
      return one(scope.who.kind);
    case Attribute::kVirtualServer:
      return one(scope.item.virtual_server);
    case Attribute::kUpstream:
      return Of(HoldsForAny(node, scope.item.upstreams));
    case Attribute::kItem:
      return item("");
    case Attribute::kTool:
      return item("tool");
    case Attribute::kResource:
      return item("resource");
    case Attribute::kPrompt:
      return item("prompt");
    case Attribute::kKind:
      return one(scope.item.kind);
    default:
      return CompareOfCall(node, scope);
  }
}

Truth Flag(const Node& node, const Scope& scope) {
  if (node.attribute == Attribute::kAnonymous) return Of(IsAnonymous(scope.who));
  if (scope.item.kind != "tool") return Truth::kFalse;
  const Hints& hints = scope.item.hints;
  switch (node.attribute) {
    case Attribute::kReadOnly:
      return Of(hints.read_only);
    case Attribute::kDestructive:
      return Of(hints.destructive);
    case Attribute::kIdempotent:
      return Of(hints.idempotent);
    case Attribute::kSaysDestructive:
      return Of(hints.says_destructive);
    default:
      return Of(hints.open_world);
  }
}

}  // namespace

bool IsAnonymous(const Principal& who) {
  return who.method == "loopback" || who.method == "socket";
}

Hints HintsOf(std::string_view definition) {
  Hints out;
  const auto view = json::ScanObject(definition);
  if (!view.ok()) return out;
  const auto hints = json::ScanObject(view->Raw("annotations"));
  if (!hints.ok()) return out;
  const auto read = [&](std::string_view name, bool otherwise) {
    const std::string_view raw = hints->Raw(name);
    return raw == "true" ? true : raw == "false" ? false : otherwise;
  };
  out.read_only = read("readOnlyHint", false);
  out.destructive = !out.read_only && read("destructiveHint", true);
  out.says_destructive = !out.read_only && read("destructiveHint", false);
  out.idempotent = out.read_only || read("idempotentHint", false);
  out.open_world = read("openWorldHint", true);
  return out;
}

std::vector<Found> Arguments::Find(const std::vector<PathStep>& path) {
  std::vector<std::string_view> values{raw_.empty() ? std::string_view("{}") : raw_};
  for (const PathStep& step : path) {
    std::vector<std::string_view> next;
    for (const std::string_view value : values) {
      if (!step.every && !step.index) {
        if (value.empty() || value.front() != '{') continue;
        const auto object = json::ScanObject(value);
        if (!object.ok()) {
          ambiguous_ = true;
        } else if (object->Has(step.key)) {
          next.push_back(object->Raw(step.key));
        }
        continue;
      }
      const auto list = json::ScanArray(value);
      if (!list.ok()) continue;
      for (size_t i = 0; i < list->size(); ++i) {
        if (step.every || *step.index == i) next.push_back((*list)[i].raw);
      }
    }
    values = std::move(next);
  }
  std::vector<Found> out;
  for (const std::string_view value : values) {
    Found found;
    found.raw = value;
    if (auto text = json::JsonUnquote(value); value.starts_with('"') && text.ok()) {
      found.text = *std::move(text);
      found.is_text = true;
    }
    out.push_back(std::move(found));
  }
  return out;
}

Truth Evaluate(const Node& node, const Scope& scope) {
  switch (node.kind) {
    case Node::Kind::kNot:
      return Negate(Evaluate(*node.children[0], scope));
    case Node::Kind::kAnd: {
      Truth out = Truth::kTrue;
      for (const auto& child : node.children) {
        out = std::min(out, Evaluate(*child, scope));
        if (out == Truth::kFalse) break;
      }
      return out;
    }
    case Node::Kind::kOr: {
      Truth out = Truth::kFalse;
      for (const auto& child : node.children) {
        out = std::max(out, Evaluate(*child, scope));
        if (out == Truth::kTrue) break;
      }
      return out;
    }
    case Node::Kind::kFlag:
      return Flag(node, scope);
    case Node::Kind::kHas:
    case Node::Kind::kCompare:
      if ((scope.unknown & BitOf(node.attribute)) != 0) return Truth::kUnknown;
      return Compare(node, scope);
  }
  return Truth::kFalse;
}

std::optional<std::string> CleanPath(std::string_view path) {
  if (path.empty() || path.front() != '/' || path.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    path.remove_prefix(end);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string out;
  for (const std::string_view part : parts) {
    out.push_back('/');
    out += part;
  }
  return out.empty() ? std::string("/") : out;
}

}  // namespace metamcp::policy
