#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/policy/expression.h"
#include "common/policy/lexer.h"

namespace metamcp::policy {

enum class Effect : uint8_t { kAllow, kConsent, kDeny };
std::string_view EffectName(Effect effect);

struct Rule {
  Effect effect = Effect::kDeny;
  std::string name;
  std::string reason;
  std::unique_ptr<Node> condition;  // null: always
  Place at;
  size_t order = 0;  // in its file
};

inline constexpr size_t kRulesMax = 10'000;

// The rules of a text, in its order. The grammar is in docs/adr/0013. Errors: CONFIG_INVALID that
// begins with file:line:column and says how to mend it.
absl::StatusOr<std::vector<std::unique_ptr<Rule>>> ParseRules(std::string_view text,
                                                              std::string_view file);

}  // namespace metamcp::policy
