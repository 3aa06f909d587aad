#include "common/detect/detector.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/base/strings.h"
#include "common/detect/rules.h"
#include "common/json/scan.h"

namespace metamcp::detect {

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kHiddenUnicode:
      return "hiddenUnicode";
    case Kind::kInstructions:
      return "instructions";
    case Kind::kExfiltration:
      return "exfiltration";
    case Kind::kSecrets:
      return "secrets";
    case Kind::kPersonalData:
      return "personalData";
  }
  return "";
}

double Entropy(std::string_view text) {
  std::array<int, 256> counts{};
  for (const char c : text) ++counts[static_cast<unsigned char>(c)];
  double bits = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    const double p = count / static_cast<double>(text.size());
    bits -= p * std::log2(p);
  }
  return bits;
}

std::vector<Finding> Scan(std::string_view text, Kinds kinds) {
  std::vector<Finding> found;
  const auto look = [&](Kind kind, auto* find) {
    std::vector<Finding> some;
    if (kinds.Has(kind)) find(text, some);
    found.insert(found.end(), some.begin(), some.end());
  };
  look(Kind::kHiddenUnicode, FindHidden);
  look(Kind::kInstructions, FindInstructions);
  look(Kind::kExfiltration, FindExfiltration);
  look(Kind::kSecrets, FindSecrets);
  look(Kind::kPersonalData, FindPersonal);
  std::stable_sort(found.begin(), found.end(),
                   [](const Finding& a, const Finding& b) { return a.begin < b.begin; });
  std::vector<Finding> out;
  for (const Finding& finding : found) {
    const bool overlaps = !out.empty() && finding.begin < out.back().begin + out.back().size;
    if (!overlaps && out.size() < kFindingsMax) out.push_back(finding);
  }
  return out;
}

std::string Mask(std::string_view text, const std::vector<Finding>& findings) {
  std::string out;
  size_t at = 0;
  for (const Finding& finding : findings) {
    out.append(text.substr(at, finding.begin - at));
    if (finding.kind != Kind::kHiddenUnicode) out += StrCat("[masked: ", finding.rule, "]");
    at = finding.begin + finding.size;
  }
  out.append(text.substr(std::min(at, text.size())));
  return out;
}

namespace {

// The end of the string literal that begins at `at`, behind its closing quote.
size_t EndOfString(std::string_view json, size_t at, bool* escaped) {
  *escaped = false;
  for (size_t i = at + 1; i < json.size(); ++i) {
    if (json[i] == '"') return i + 1;
    if (json[i] != '\\') continue;
    *escaped = true;
    ++i;
  }
  return json.size();
}

bool IsName(std::string_view json, size_t end) {
  while (end < json.size() &&
         (json[end] == ' ' || json[end] == '\n' || json[end] == '\t' || json[end] == '\r')) {
    ++end;
  }
  return end < json.size() && json[end] == ':';
}

// Findings beyond the most that are kept still have to be masked.
std::vector<Finding> ScanAll(std::string_view text, Kinds look) {
  std::vector<Finding> found = Scan(text, look);
  if (found.size() < kFindingsMax) return found;
  // So many that everything behind the last of them is taken for more of it.
  found.back().size = text.size() - found.back().begin;
  return found;
}

}  // namespace

JsonScan ScanJson(std::string_view json, Kinds look, Kinds mask) {
  JsonScan out;
  if (look.empty()) return out;
  size_t copied = 0;  // of the JSON into `masked`
  size_t at = json.find('"');
  while (at != std::string_view::npos) {
    bool escaped = false;
    const size_t end = EndOfString(json, at, &escaped);
    const std::string_view raw = json.substr(at, end - at);
    if (raw.size() > 4 && !IsName(json, end)) {
      std::string owned;
      std::string_view text = raw.substr(1, raw.size() - 2);
      if (escaped) {
        auto unquoted = json::JsonUnquote(raw);
        if (unquoted.ok()) owned = *std::move(unquoted);
        text = owned;
      }
      const std::vector<Finding> found = ScanAll(text, look);
      std::vector<Finding> hide;
      for (const Finding& finding : found) {
        out.kinds = out.kinds | finding.kind;
        if (out.found.size() < kFindingsMax) out.found.emplace_back(finding.kind, finding.rule);
        if (mask.Has(finding.kind)) hide.push_back(finding);
      }
      if (!hide.empty()) {
        out.masked.append(json.substr(copied, at - copied));
        json::AppendJsonQuoted(Mask(text, hide), &out.masked);
        copied = end;
      }
    }
    at = json.find('"', end);
  }
  if (copied > 0) out.masked.append(json.substr(copied));
  return out;
}

}  // namespace metamcp::detect
