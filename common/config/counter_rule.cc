#include "common/config/counter_rule.h"

#include <vector>

#include "absl/strings/str_split.h"
#include "common/base/strings.h"

namespace metamcp::config {
namespace {

constexpr size_t kNameMax = 64;
constexpr std::string_view kFields = "item, upstream, virtual_server, method, outcome";

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kNameMax && text[0] >= 'a' && text[0] <= 'z' &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<CounterRule> ParseCounterRule(std::string_view text) {
  const std::vector<std::string> words =
      absl::StrSplit(absl::string_view(text.data(), text.size()), ' ', absl::SkipEmpty());
  CounterRule rule;
  if (words.empty() || !IsName(words[0])) {
    return absl::InvalidArgumentError("it must begin with a name of a-z, 0-9 and _");
  }
  rule.name = words[0];
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    const std::string field = words[i].substr(0, equals);
    std::string* to = field == "item"             ? &rule.item
                      : field == "upstream"       ? &rule.upstream
                      : field == "virtual_server" ? &rule.virtual_server
                      : field == "method"         ? &rule.method
                      : field == "outcome"        ? &rule.outcome
                                                  : nullptr;
    if (equals == std::string::npos || to == nullptr || equals + 1 == words[i].size()) {
      return absl::InvalidArgumentError(
          StrCat("\"", words[i], "\" is no FIELD=GLOB with one of ", kFields));
    }
    if (!to->empty()) return absl::InvalidArgumentError(StrCat(field, " is there twice"));
    *to = words[i].substr(equals + 1);
  }
  return rule;
}

}  // namespace metamcp::config
