#include "common/policy/operands.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "common/base/names.h"
#include "common/base/strings.h"

namespace metamcp::policy {
namespace {

constexpr std::string_view kDays[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr std::string_view kKinds[] = {"tool", "resource", "prompt", "task", "extension", "model"};
constexpr std::string_view kPrincipals[] = {"user", "service", "run", "peer"};

std::optional<int> DayOf(std::string_view text) {
  for (int i = 0; i < 7; ++i) {
    if (text == kDays[i]) return i;
  }
  return std::nullopt;
}

// Minutes since midnight of HH:MM; 24:00 is the end of the day.
std::optional<int> MinuteOf(std::string_view text) {
  const auto digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4)) {
    return std::nullopt;
  }
  const int hour = (text[0] - '0') * 10 + (text[1] - '0');
  const int minute = (text[3] - '0') * 10 + (text[4] - '0');
  if (minute > 59 || hour > 24 || (hour == 24 && minute > 0)) return std::nullopt;
  return hour * 60 + minute;
}

// The ends of "a..b".
std::optional<std::pair<std::string_view, std::string_view>> Ends(std::string_view text) {
  const size_t dots = text.find("..");
  if (dots == std::string_view::npos) return std::nullopt;
  return std::pair(text.substr(0, dots), text.substr(dots + 2));
}

std::string CheckDays(Node& node) {
  for (const Operand& operand : node.operands) {
    if (const auto day = DayOf(operand.text)) {
      node.days.push_back(*day);
      continue;
    }
    const auto ends = Ends(operand.text);
    const auto first = ends ? DayOf(ends->first) : std::nullopt;
    const auto last = ends ? DayOf(ends->second) : std::nullopt;
    if (!first || !last) {
      return StrCat("found the day \"", operand.text, "\"; write mon to sun, or mon..fri");
    }
    for (int day = *first;; day = (day + 1) % 7) {
      node.days.push_back(day);
      if (day == *last) break;
    }
  }
  return "";
}

std::string CheckTime(Node& node) {
  const auto ends = Ends(node.operands[0].text);
  const auto from = ends ? MinuteOf(ends->first) : std::nullopt;
  const auto to = ends ? MinuteOf(ends->second) : std::nullopt;
  if (!from || !to || *from == *to || node.operands.size() != 1) {
    return StrCat("found the time \"", node.operands[0].text,
                  "\"; write one range such as 08:00..18:00");
  }
  node.from = *from;
  node.to = *to;
  return "";
}

std::string CheckMoment(Node& node, bool many, const std::string& zone) {
  if (!many && node.op != Operator::kEqual) {
    return "found a comparison that times do not have; write \"in\"";
  }
  if (!zone.empty() && !absl::LoadTimeZone(zone, &node.zone)) {
    return StrCat("found the unknown time zone \"", zone, "\"; write one such as Europe/Berlin");
  }
  node.op = Operator::kBetween;
  return node.attribute == Attribute::kDay ? CheckDays(node) : CheckTime(node);
}

template <size_t N>
std::string CheckWords(const Node& node, const std::string_view (&known)[N]) {
  if (node.op != Operator::kEqual) return "found another comparison; compare it with =, != or in";
  for (const Operand& operand : node.operands) {
    if (std::find(std::begin(known), std::end(known), operand.text) != std::end(known)) continue;
    std::string all;
    for (const std::string_view word : known) all += StrCat(all.empty() ? "" : ", ", word);
    return StrCat("found the unknown word \"", operand.text, "\"; it is one of ", all);
  }
  return "";
}

bool NeedsNumber(const Node& node) {
  const bool counts = node.attribute == Attribute::kSize || node.attribute == Attribute::kBytes;
  return counts || (node.op >= Operator::kLess && node.op <= Operator::kMoreEqual);
}

}  // namespace

std::optional<std::vector<PathStep>> ParseArgumentPath(std::string_view text) {
  if (!text.starts_with("args")) return std::nullopt;
  text.remove_prefix(4);
  std::vector<PathStep> out;
  while (!text.empty()) {
    PathStep step;
    if (text.front() == '.') {
      const size_t end = std::min(text.find_first_of(".[", 1), text.size());
      step.key = std::string(text.substr(1, end - 1));
      if (step.key.empty()) return std::nullopt;
      text.remove_prefix(end);
    } else {
      const size_t end = text.find(']');
      if (text.front() != '[' || end == std::string_view::npos) return std::nullopt;
      const std::string_view inside = text.substr(1, end - 1);
      uint32_t index = 0;
      step.every = inside == "*";
      if (!step.every) {
        if (!absl::SimpleAtoi(Av(inside), &index)) return std::nullopt;
        step.index = index;
      }
      text.remove_prefix(end + 1);
    }
    out.push_back(std::move(step));
  }
  return out;
}

std::string CheckOperands(Node& node, bool many, const std::string& zone) {
  const bool timed = node.attribute == Attribute::kTime || node.attribute == Attribute::kDay;
  if (timed) return CheckMoment(node, many, zone);
  if (node.attribute == Attribute::kKind) return CheckWords(node, kKinds);
  if (node.attribute == Attribute::kPrincipal) return CheckWords(node, kPrincipals);
  const bool counts = node.attribute == Attribute::kSize || node.attribute == Attribute::kBytes;
  if (counts && (node.op == Operator::kGlob || node.op == Operator::kWithin)) {
    return "found a comparison of texts with a size; compare sizes with numbers";
  }
  if (node.op >= Operator::kLess && node.op <= Operator::kMoreEqual && !counts &&
      node.attribute != Attribute::kArgument) {
    return "found an order of texts; only arguments and sizes are more or less";
  }
  if (node.op == Operator::kWithin && node.attribute != Attribute::kArgument) {
    return "found within for what is no argument; write args.NAME within \"/folder\"";
  }
  for (Operand& operand : node.operands) {
    double number = 0;
    const bool is_number = !operand.quoted && absl::SimpleAtod(operand.text, &number);
    if (is_number) operand.number = number;
    if (NeedsNumber(node) && !is_number) {
      return StrCat("found \"", operand.text, "\"; a number is needed here");
    }
    if (node.op == Operator::kWithin) {
      const auto clean = CleanPath(operand.text);
      if (!clean) return StrCat("found \"", operand.text, "\"; write an absolute path");
      operand.text = *clean;
    }
    const bool looks_glob = operand.text.find('*') != std::string::npos;
    if (node.op == Operator::kEqual && looks_glob && !operand.quoted) {
      return StrCat("found the glob \"", operand.text,
                    "\" after =; write ~ to match it, or quote it to mean the star itself");
    }
  }
  return "";
}

}  // namespace metamcp::policy
