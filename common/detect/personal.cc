// Personal data whose form can be checked: cards by Luhn's sum, accounts by their check digits.
#include <algorithm>

#include "common/detect/rules.h"

namespace metamcp::detect {
namespace {

// --- Mail addresses ---

bool IsLocal(char c) {
  return IsAlnum(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-';
}
bool IsHost(char c) { return IsAlnum(c) || c == '.' || c == '-'; }

// Addresses that are nobody's.
bool IsNobody(std::string_view local, std::string_view host) {
  for (const std::string_view name : {"git", "noreply", "no-reply", "donotreply", "user", "name"}) {
    if (local.size() == name.size() && HasAt(local, 0, name)) return true;
  }
  for (const std::string_view name : {"example.com", "example.org", "example.net", "localhost",
                                      "users.noreply.github.com", "domain.com", "test.com"}) {
    if (host.size() == name.size() && HasAt(host, 0, name)) return true;
  }
  return host.size() > 8 && host.substr(host.size() - 8) == ".invalid";
}

constexpr size_t kLocalMax = 64;  // RFC 5321
constexpr size_t kHostMax = 255;

Finding MailAround(std::string_view text, size_t sign) {
  size_t begin = sign;
  while (begin > 0 && sign - begin < kLocalMax && IsLocal(text[begin - 1])) --begin;
  while (begin < sign && !IsAlnum(text[begin])) ++begin;
  size_t end = sign + 1;
  while (end < text.size() && end - sign < kHostMax && IsHost(text[end])) ++end;
  while (end > sign + 1 && !IsAlnum(text[end - 1])) --end;
  const std::string_view local = text.substr(begin, sign - begin);
  const std::string_view host = text.substr(sign + 1, end - sign - 1);
  const size_t dot = host.rfind('.');
  if (local.empty() || dot == std::string_view::npos || dot == 0) return {};
  const std::string_view top = host.substr(dot + 1);
  const bool letters = top.size() >= 2 && std::all_of(top.begin(), top.end(), [](char c) {
                         return IsUpper(c) || IsLower(c);
                       });
  if (!letters || IsNobody(local, host)) return {};
  return {Kind::kPersonalData, "mail", begin, end - begin};
}

// --- Numbers ---

struct Digits {
  std::string_view digits;  // in the buffer
  size_t size = 0;          // of the text, separators included
  int separators = 0;
};

constexpr size_t kDigitsMax = 20;
constexpr int kSeparatorsMax = 12;

bool IsSeparator(char c) { return c == ' ' || c == '-'; }

// A number with single separators between its digits; `buffer` has room for kDigitsMax.
Digits ReadDigits(std::string_view text, size_t at, bool more, char* buffer) {
  Digits out;
  size_t count = 0;
  size_t end = at;
  for (size_t i = at; i < text.size() && count < kDigitsMax; ++i) {
    const char c = text[i];
    if (IsDigit(c)) {
      buffer[count++] = c;
      end = i + 1;
      continue;
    }
    const bool between = i + 1 < text.size() && (IsDigit(text[i + 1]) || text[i + 1] == '(');
    const bool part = IsSeparator(c) || (more && (c == '.' || c == '(' || c == ')' || c == '/'));
    const bool gap = part && (between || (more && (c == '(' || c == ')')));
    if (!gap || ++out.separators > kSeparatorsMax) break;
  }
  out.digits = {buffer, count};
  out.size = end - at;
  return out;
}

bool PassesLuhn(std::string_view digits) {
  int sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    int d = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1) d = d * 2 > 9 ? d * 2 - 9 : d * 2;
    sum += d;
  }
  return sum % 10 == 0;
}

bool IsCard(std::string_view d) {
  if (d.find_first_not_of(d[0]) == std::string_view::npos) return false;
  const int two = (d[0] - '0') * 10 + (d[1] - '0');
  const bool amex = d.size() == 15 && (two == 34 || two == 37);
  const bool visa = d[0] == '4' && (d.size() == 16 || d.size() == 13 || d.size() == 19);
  const bool master = d.size() == 16 && ((two >= 51 && two <= 55) || (two >= 22 && two <= 27));
  const bool others =
      (d.size() == 16 && (two == 60 || two == 64 || two == 65 || two == 35 || two == 62)) ||
      (d.size() == 14 && (two == 30 || two == 36 || two == 38));
  return (amex || visa || master || others) && PassesLuhn(d);
}

// A number with + and a country, or with the separators of a telephone number.
bool IsPhone(std::string_view text, size_t at, const Digits& number) {
  const size_t count = number.digits.size();
  if (text[at] == '+') return count >= 9 && count <= 15 && number.digits[0] != '0';
  // 555-123-4567, (555) 123-4567: three groups as in North America.
  if (count != 10 || number.separators < 2 || number.digits[0] < '2') return false;
  const size_t begin = text[at] == '(' ? at + 1 : at;
  const std::string_view shown = text.substr(begin, at + number.size - begin);
  return shown.size() >= 12 && IsDigit(shown[2]) && !IsDigit(shown[3]) &&
         !IsDigit(shown[shown.size() - 5]);
}

// --- Bank accounts (ISO 13616) ---

struct Country {
  std::string_view code;
  size_t size;
};
constexpr Country kCountries[] = {
    {"AD", 24}, {"AE", 23}, {"AT", 20}, {"BE", 16}, {"BG", 22}, {"CH", 21}, {"CY", 28}, {"CZ", 24},
    {"DE", 22}, {"DK", 18}, {"EE", 20}, {"ES", 24}, {"FI", 18}, {"FR", 27}, {"GB", 22}, {"GI", 23},
    {"GR", 27}, {"HR", 21}, {"HU", 28}, {"IE", 22}, {"IL", 23}, {"IS", 26}, {"IT", 27}, {"LI", 21},
    {"LT", 20}, {"LU", 20}, {"LV", 21}, {"MC", 27}, {"MT", 31}, {"NL", 18}, {"NO", 15}, {"PL", 28},
    {"PT", 25}, {"RO", 24}, {"SA", 24}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"TR", 26}};

size_t IbanSizeOf(std::string_view code) {
  for (const Country& country : kCountries) {
    if (country.code == code) return country.size;
  }
  return 0;
}

Finding IbanAt(std::string_view text, size_t at) {
  const size_t wanted = IbanSizeOf(text.substr(at, 2));
  if (wanted == 0 || at + wanted > text.size() || !IsDigit(text[at + 2])) return {};
  std::string account;
  size_t end = at;
  for (size_t i = at; i < text.size() && account.size() < wanted; ++i) {
    if (IsUpper(text[i]) || IsDigit(text[i])) {
      account.push_back(text[i]);
      end = i + 1;
    } else if (text[i] != ' ' || account.size() % 4 != 0) {
      return {};
    }
  }
  if (account.size() != wanted || (end < text.size() && IsAlnum(text[end]))) return {};
  std::rotate(account.begin(), account.begin() + 4, account.end());
  int rest = 0;
  for (const char c : account) {
    rest = IsDigit(c) ? (rest * 10 + (c - '0')) % 97 : (rest * 100 + (c - 'A' + 10)) % 97;
  }
  if (rest != 1) return {};
  return {Kind::kPersonalData, "iban", at, end - at};
}

}  // namespace

void FindPersonal(std::string_view text, std::vector<Finding>& out) {
  size_t free = 0;  // behind what was found last
  const auto take = [&](const Finding& finding) {
    Note(out, finding.kind, finding.rule, finding.begin, finding.size);
    free = finding.begin + finding.size;
  };
  for (size_t at = 0; at < text.size(); ++at) {
    if (at < free) continue;
    const char c = text[at];
    const bool starts =
        at == 0 || !(IsAlnum(text[at - 1]) || text[at - 1] == '_' || text[at - 1] == '.' ||
                     text[at - 1] == '-' || text[at - 1] == '/' || text[at - 1] == '=');
    if (c == '@') {
      const Finding mail = MailAround(text, at);
      if (mail.size > 0 && mail.begin >= free) take(mail);
    } else if (IsUpper(c) && starts) {
      if (const Finding iban = IbanAt(text, at); iban.size > 0) take(iban);
    } else if ((IsDigit(c) || c == '+' || c == '(') && starts) {
      char buffer[kDigitsMax];
      const size_t from = c == '+' || c == '(' ? at + 1 : at;
      Digits number = ReadDigits(text, from, false, buffer);
      const size_t end = from + number.size;
      const bool whole = end >= text.size() || !IsAlnum(text[end]);
      if (c != '+' && c != '(' && whole && number.digits.size() >= 13 && IsCard(number.digits)) {
        take({Kind::kPersonalData, "card", at, end - at});
        continue;
      }
      number = ReadDigits(text, from, true, buffer);
      number.size += from - at;
      const bool ends = at + number.size >= text.size() || !IsAlnum(text[at + number.size]);
      if (ends && !number.digits.empty() && IsPhone(text, at, number)) {
        take({Kind::kPersonalData, "telephone", at, number.size});
      } else {
        // Nothing else begins within these digits.
        free = std::max(free, from + std::max<size_t>(1, end - from));
      }
    }
  }
}

}  // namespace metamcp::detect
