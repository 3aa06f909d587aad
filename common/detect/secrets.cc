// Keys and tokens by the prefixes that their makers gave them, and values of telling names that are
// too random for words.
#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <vector>

#include "common/detect/rules.h"

namespace metamcp::detect {
namespace {

enum class Set { kAlnum, kUpperDigits, kHex, kBase64Url };

bool In(Set set, char c) {
  switch (set) {
    case Set::kAlnum:
      return IsAlnum(c);
    case Set::kUpperDigits:
      return IsUpper(c) || IsDigit(c);
    case Set::kHex:
      return IsDigit(c) || (c >= 'a' && c <= 'f');
    case Set::kBase64Url:
      return IsAlnum(c) || c == '-' || c == '_';
  }
  return false;
}

struct Prefix {
  std::string_view text;
  Set set;
  size_t min;  // characters behind the prefix
  std::string_view rule;
};

// Longer ones before those that they begin with.
constexpr Prefix kPrefixes[] = {
    {"AKIA", Set::kUpperDigits, 16, "aws-access-key"},
    {"ASIA", Set::kUpperDigits, 16, "aws-access-key"},
    {"AIza", Set::kBase64Url, 35, "google-api-key"},
    {"GOCSPX-", Set::kBase64Url, 28, "google-client-secret"},
    {"SG.", Set::kBase64Url, 20, "sendgrid-key"},
    {"dckr_pat_", Set::kBase64Url, 27, "docker-token"},
    {"dop_v1_", Set::kHex, 64, "digitalocean-token"},
    {"ghp_", Set::kAlnum, 36, "github-token"},
    {"gho_", Set::kAlnum, 36, "github-token"},
    {"ghu_", Set::kAlnum, 36, "github-token"},
    {"ghs_", Set::kAlnum, 36, "github-token"},
    {"ghr_", Set::kAlnum, 36, "github-token"},
    {"github_pat_", Set::kBase64Url, 60, "github-token"},
    {"glpat-", Set::kBase64Url, 20, "gitlab-token"},
    {"hf_", Set::kAlnum, 34, "huggingface-token"},
    {"lin_api_", Set::kAlnum, 32, "linear-key"},
    {"npm_", Set::kAlnum, 36, "npm-token"},
    {"pypi-AgE", Set::kBase64Url, 50, "pypi-token"},
    {"rk_live_", Set::kAlnum, 20, "stripe-key"},
    {"sk-ant-", Set::kBase64Url, 40, "anthropic-key"},
    {"sk-proj-", Set::kBase64Url, 40, "openai-key"},
    {"sk-", Set::kAlnum, 40, "openai-key"},
    {"sk_live_", Set::kAlnum, 20, "stripe-key"},
    {"whsec_", Set::kAlnum, 24, "webhook-secret"},
    {"xapp-", Set::kBase64Url, 30, "slack-token"},
    {"xoxb-", Set::kBase64Url, 20, "slack-token"},
    {"xoxp-", Set::kBase64Url, 20, "slack-token"},
    {"xoxa-", Set::kBase64Url, 20, "slack-token"},
    {"xoxs-", Set::kBase64Url, 20, "slack-token"},
    {"ya29.", Set::kBase64Url, 20, "google-token"},
};

constexpr std::string_view kNames[] = {
    "password",     "passwd",    "passphrase",    "pwd",         "secret",       "client_secret",
    "clientsecret", "api_key",   "apikey",        "api-key",     "access_token", "accesstoken",
    "auth_token",   "authtoken", "refresh_token", "private_key", "secret_key",   "access_key",
    "secretkey",    "accesskey", "accountkey",    "token",       "credentials",  "encryption_key"};

// The members of a list by their first character, so that few are tried in each place.
class ByFirst {
 public:
  template <typename List, typename TextOf>
  ByFirst(const List& list, const TextOf& text_of) {
    for (size_t i = 0; i < std::size(list); ++i) {
      by_[static_cast<unsigned char>(text_of(list[i])[0])].push_back(static_cast<uint8_t>(i));
    }
  }
  const std::vector<uint8_t>& At(char c) const { return by_[static_cast<unsigned char>(c)]; }

 private:
  std::array<std::vector<uint8_t>, 256> by_;
};

// Values that stand for one.
constexpr std::string_view kPlaceholders[] = {
    "example", "changeme", "your", "xxxx",     "placeholder", "****",   "dummy", "<",
    "${",      "{{",       "todo", "redacted", "none",        "masked", "..."};

constexpr size_t kValueMin = 10;
constexpr size_t kValueMax = 128;
constexpr size_t kPrivateKeyMax = 16 << 10;
constexpr double kRandom = 3.0;  // bits of a character; words have less in so few letters

bool IsPlaceholder(std::string_view value) {
  for (size_t at = 0; at < value.size(); ++at) {
    for (const std::string_view word : kPlaceholders) {
      if (HasAt(value, at, word)) return true;
    }
  }
  return false;
}

bool LooksRandom(std::string_view value) {
  const bool digit = std::any_of(value.begin(), value.end(), IsDigit);
  const bool letter =
      std::any_of(value.begin(), value.end(), [](char c) { return IsUpper(c) || IsLower(c); });
  return digit && letter && Entropy(value) >= kRandom && !IsPlaceholder(value);
}

bool IsValueChar(char c) {
  return c > ' ' && c < 0x7f && c != '"' && c != '\'' && c != ',' && c != ';' && c != '`' &&
         c != ')' && c != '}' && c != ']' && c != '&' && c != '<';
}

// The value that is given to the name which ends at `at`: = or : between them, quotes around.
Finding ValueBehind(std::string_view text, size_t at) {
  Finding none;
  const auto skip = [&](std::string_view chars) {
    while (at < text.size() && chars.find(text[at]) != std::string_view::npos) ++at;
  };
  skip("\"' ");
  if (at >= text.size() || (text[at] != '=' && text[at] != ':')) return none;
  ++at;
  skip(" \"'");
  const size_t begin = at;
  while (at < text.size() && at - begin < kValueMax && IsValueChar(text[at])) ++at;
  if (at - begin < kValueMin) return none;
  return {Kind::kSecrets, "named-secret", begin, at - begin};
}

// Lengths of runs of one set of characters. A run is walked once, however many tokens could begin
// in it.
class Runs {
 public:
  explicit Runs(std::string_view text) : text_(text) {}
  size_t At(size_t at, Set set) {
    Known& known = known_[static_cast<size_t>(set)];
    if (at >= known.begin && at < known.end) return known.end - at;
    size_t end = at;
    while (end < text_.size() && In(set, text_[end])) ++end;
    known = {at, end};
    return end - at;
  }

 private:
  struct Known {
    size_t begin = 0;
    size_t end = 0;
  };
  const std::string_view text_;
  Known known_[4];
};

// Three parts of base64url of which the first two are JSON objects.
size_t JwtAt(std::string_view text, size_t at, Runs& runs) {
  const size_t head = runs.At(at, Set::kBase64Url);
  if (head < 15 || at + head >= text.size() || text[at + head] != '.') return 0;
  const size_t body_at = at + head + 1;
  const size_t body = runs.At(body_at, Set::kBase64Url);
  if (body < 10 || text.substr(body_at, 2) != "ey") return 0;
  const size_t sign_at = body_at + body;
  if (sign_at >= text.size() || text[sign_at] != '.') return 0;
  const size_t sign = runs.At(sign_at + 1, Set::kBase64Url);
  return sign < 20 ? 0 : sign_at + 1 + sign - at;
}

// -----BEGIN … PRIVATE KEY----- and what follows, as far as its end.
size_t PrivateKeyAt(std::string_view text, size_t at) {
  const std::string_view head = text.substr(at, 64);
  if (head.find("PRIVATE KEY-----") == std::string_view::npos) return 0;
  const std::string_view key = text.substr(at, kPrivateKeyMax);
  const size_t end = key.find("-----END");
  if (end == std::string_view::npos) return key.size();
  const size_t tail = key.find("-----", end + 8);
  return tail == std::string_view::npos ? key.size() : tail + 5;
}

// The password of scheme://user:password@host that follows "://" at `at`.
Finding UrlPassword(std::string_view text, size_t at) {
  size_t colon = 0;
  for (size_t i = at + 3; i < text.size() && i < at + 256; ++i) {
    const char c = text[i];
    if (c == '/' || c == ' ' || c == '"' || c == '\n' || c == '?' || c == '<') break;
    if (c == ':' && colon == 0) colon = i;
    if (c != '@') continue;
    if (colon == 0 || i - colon < 7) break;
    const std::string_view value = text.substr(colon + 1, i - colon - 1);
    if (IsPlaceholder(value) || value == "password") break;
    return {Kind::kSecrets, "password-in-url", colon + 1, value.size()};
  }
  return {};
}

}  // namespace

void FindSecrets(std::string_view text, std::vector<Finding>& out) {
  const auto take = [&out](const Finding& finding, size_t& at) {
    Note(out, Kind::kSecrets, finding.rule, finding.begin, finding.size);
    at = finding.begin + finding.size;
  };
  static const ByFirst kPrefixesAt(kPrefixes, [](const Prefix& prefix) { return prefix.text; });
  static const ByFirst kNamesAt(kNames, [](std::string_view name) { return name; });
  Runs runs(text);
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    const bool starts = at == 0 || !IsAlnum(text[at - 1]);
    if (c == ':' && text.substr(at, 3) == "://") {
      if (const Finding found = UrlPassword(text, at); found.size > 0) {
        take(found, at);
        continue;
      }
    } else if (c == '-' && text.substr(at, 11) == "-----BEGIN ") {
      if (const size_t size = PrivateKeyAt(text, at); size > 0) {
        take({Kind::kSecrets, "private-key", at, size}, at);
        continue;
      }
    } else if (starts && IsAlnum(c)) {
      size_t taken = 0;
      std::string_view rule;
      for (const uint8_t i : kPrefixesAt.At(c)) {
        const Prefix& prefix = kPrefixes[i];
        if (text.substr(at, prefix.text.size()) != prefix.text) continue;
        const size_t run = runs.At(at + prefix.text.size(), prefix.set);
        if (run < prefix.min) continue;
        taken = prefix.text.size() + run;
        rule = prefix.rule;
        break;
      }
      if (taken == 0 && c == 'e' && text.substr(at, 3) == "eyJ") {
        taken = JwtAt(text, at, runs);
        rule = "jwt";
      }
      if (taken > 0 && Entropy(text.substr(at, std::min(taken, kValueMax))) >= kRandom) {
        take({Kind::kSecrets, rule, at, taken}, at);
        continue;
      }
    }
    const bool named = starts || (at > 0 && (text[at - 1] == '_' || text[at - 1] == '-' ||
                                             (IsUpper(c) && IsLower(text[at - 1]))));
    if (named && (IsLower(c) || IsUpper(c))) {
      Finding found;
      for (const uint8_t i : kNamesAt.At(Lower(c))) {
        const std::string_view name = kNames[i];
        if (!HasAt(text, at, name)) continue;
        found = ValueBehind(text, at + name.size());
        if (found.size > 0 && LooksRandom(text.substr(found.begin, found.size))) break;
        found = {};
      }
      if (found.size > 0) {
        take(found, at);
        continue;
      }
    }
    ++at;
  }
}

}  // namespace metamcp::detect
