#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Deterministic detectors of what must not pass: pure functions of the text, in time linear in its
// length, without regular expressions. What they find and miss is measured (docs/security.md).
namespace metamcp::detect {

enum class Kind : uint8_t {
  kHiddenUnicode,  // tags, directions of writing, zero width: what nobody sees
  kInstructions,   // text that speaks to the model
  kExfiltration,   // addresses that carry data away
  kSecrets,        // keys, tokens, passwords
  kPersonalData,   // mail addresses, telephone numbers, cards, bank accounts
};
inline constexpr size_t kKinds = 5;
inline constexpr Kind kAllKinds[] = {Kind::kHiddenUnicode, Kind::kInstructions, Kind::kExfiltration,
                                     Kind::kSecrets, Kind::kPersonalData};
// "hiddenUnicode", "instructions", ...: as the settings call them.
std::string_view KindName(Kind kind);

// A set of kinds.
class Kinds {
 public:
  constexpr Kinds() = default;
  constexpr Kinds(Kind kind) : bits_(Bit(kind)) {}  // NOLINT: a kind is a set of one
  constexpr bool Has(Kind kind) const { return (bits_ & Bit(kind)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr Kinds operator|(Kinds other) const { return Kinds(bits_ | other.bits_, 0); }
  constexpr Kinds operator&(Kinds other) const { return Kinds(bits_ & other.bits_, 0); }
  constexpr bool operator==(const Kinds&) const = default;

 private:
  constexpr Kinds(unsigned bits, int) : bits_(bits) {}
  static constexpr unsigned Bit(Kind kind) { return 1u << static_cast<unsigned>(kind); }
  unsigned bits_ = 0;
};

struct Finding {
  Kind kind{};
  std::string_view rule;  // for example "github-token"; lives for ever
  size_t begin = 0;       // in the text, bytes
  size_t size = 0;
};

// Findings of one text, at most.
inline constexpr size_t kFindingsMax = 100;

// What of `kinds` is in `text`, which should be UTF-8, in the order of their places; of findings
// that overlap the first counts.
std::vector<Finding> Scan(std::string_view text, Kinds kinds);

// The text with what was found put out of sight: hidden characters are removed, the rest becomes
// "[masked: rule]".
std::string Mask(std::string_view text, const std::vector<Finding>& findings);

// The strings inside a JSON text, member names left out.
struct JsonScan {
  std::vector<std::pair<Kind, std::string_view>> found;  // kind and rule, at most kFindingsMax
  Kinds kinds;                                           // of them
  std::string masked;  // the whole JSON with the strings masked; empty where nothing was
};
// Looks for `look` in every string value of a valid JSON text, and masks what of it is in `mask`.
// Texts that are no JSON give an unspecified result, but a safe one.
JsonScan ScanJson(std::string_view json, Kinds look, Kinds mask);

}  // namespace metamcp::detect
