#define PCRE2_CODE_UNIT_WIDTH 8
#include "common/json/schema_pattern.h"

#include <pcre2.h>
#include <re2/re2.h>

#include <cstdint>
#include <utility>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::json {
namespace {

constexpr std::int64_t kRe2Bytes = 1 << 20;
constexpr std::uint32_t kMatchSteps = 200'000;
constexpr std::uint32_t kHeapKib = 1024;
constexpr std::size_t kPatternBytesMax = 4096;

class Re2Pattern final : public Pattern {
 public:
  explicit Re2Pattern(std::unique_ptr<re2::RE2> re) : re_(std::move(re)) {}
  Match Find(std::string_view text) const override {
    const re2::StringPiece piece(text.data(), text.size());
    return re2::RE2::PartialMatch(piece, *re_) ? Match::kYes : Match::kNo;
  }

 private:
  std::unique_ptr<re2::RE2> re_;
};

class PcrePattern final : public Pattern {
 public:
  explicit PcrePattern(pcre2_code* code) : code_(code) {}
  ~PcrePattern() override { pcre2_code_free(code_); }
  PcrePattern(const PcrePattern&) = delete;
  PcrePattern& operator=(const PcrePattern&) = delete;

  Match Find(std::string_view text) const override {
    pcre2_match_data* data = pcre2_match_data_create_from_pattern(code_, nullptr);
    pcre2_match_context* context = pcre2_match_context_create(nullptr);
    pcre2_set_match_limit(context, kMatchSteps);
    pcre2_set_depth_limit(context, kMatchSteps);
    pcre2_set_heap_limit(context, kHeapKib);
    const int rc = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                               data, context);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    if (rc >= 0) return Match::kYes;
    return rc == PCRE2_ERROR_NOMATCH ? Match::kNo : Match::kLimit;
  }

 private:
  pcre2_code* code_;
};

bool IsHex4(std::string_view text) {
  return text.size() >= 4 &&
         text.substr(0, 4).find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

// What ECMAScript writes differently from RE2 and PCRE2: \uXXXX, \cX and long property names.
std::string Translate(std::string_view ecma) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"{Letter}", "{L}"}, {"{Number}", "{N}"}, {"{digit}", "{Nd}"}, {"{Punctuation}", "{P}"}};
  std::string out;
  for (std::size_t i = 0; i < ecma.size(); ++i) {
    if (ecma[i] != '\\' || i + 1 >= ecma.size()) {
      out.push_back(ecma[i]);
      continue;
    }
    const char c = ecma[++i];
    const std::string_view rest = ecma.substr(i + 1);
    if (c == 'u' && IsHex4(rest)) {
      out += StrCat("\\x{", rest.substr(0, 4), "}");
      i += 4;
    } else if (c == 'c' && !rest.empty()) {
      constexpr char kHex[] = "0123456789abcdef";
      const unsigned control = static_cast<unsigned char>(rest[0]) & 0x1F;
      out += StrCat("\\x", std::string(1, kHex[control >> 4]), std::string(1, kHex[control & 15]));
      ++i;
    } else {
      out.push_back('\\');
      out.push_back(c);
      if (c != 'p' && c != 'P') continue;
      for (const auto& [name, shorter] : kNames) {
        if (!rest.starts_with(name)) continue;
        out += shorter;
        i += name.size();
        break;
      }
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Pattern>> CompilePattern(std::string_view ecma) {
  if (ecma.size() > kPatternBytesMax) {
    return MakeError("INVALID_PARAMS", "json", "A pattern is too long");
  }
  const std::string text = Translate(ecma);
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kRe2Bytes);
  auto re = std::make_unique<re2::RE2>(text, options);
  if (re->ok()) return std::make_unique<const Re2Pattern>(std::move(re));
  int error = 0;
  PCRE2_SIZE where = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                   PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C,
                                   &error, &where, nullptr);
  if (code != nullptr) return std::make_unique<const PcrePattern>(code);
  return MakeError("INVALID_PARAMS", "json",
                   StrCat("The pattern ", ecma.substr(0, 100), " is not understood"));
}

}  // namespace metamcp::json
