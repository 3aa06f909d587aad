#include "common/auth/oauth/challenge.h"

#include "common/json/utf8.h"

namespace metamcp::oauth {
namespace {

constexpr size_t kFieldBytesMax = 16u << 10;

// A cursor over one header field.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text.substr(0, kFieldBytesMax)) {}

  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  void Next() { ++at_; }
  size_t at() const { return at_; }
  void Back(size_t at) { at_ = at; }
  bool Take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void Space() {
    while (peek() == ' ' || peek() == '\t') ++at_;
  }
  void Separators() {
    while (peek() == ' ' || peek() == '\t' || peek() == ',') ++at_;
  }
  std::string_view Token() {
    const size_t from = at_;
    while (!done() && http::IsHttpToken(text_.substr(at_, 1))) ++at_;
    return text_.substr(from, at_ - from);
  }
  // A quoted string's content; false when it does not end.
  bool Quoted(std::string* out) {
    if (!Take('"')) return false;
    for (; !done(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        return true;
      }
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out->push_back(text_[at_]);
    }
    return false;
  }
  // Credentials in the form of token68 ("abc=="), which have no name.
  bool Token68() {
    const size_t from = at_;
    while (!done() && (http::IsHttpToken(text_.substr(at_, 1)) || peek() == '/')) ++at_;
    while (peek() == '=') ++at_;
    Space();
    if (at_ > from && (done() || peek() == ',')) return true;
    at_ = from;
    return false;
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

void Store(Challenge& out, std::string_view name, std::string value) {
  std::string* const slot = http::EqualsNoCase(name, "resource_metadata")   ? &out.resource_metadata
                            : http::EqualsNoCase(name, "scope")             ? &out.scope
                            : http::EqualsNoCase(name, "error")             ? &out.error
                            : http::EqualsNoCase(name, "error_description") ? &out.error_description
                                                                            : nullptr;
  // The first of two parameters of one name counts.
  if (slot != nullptr && slot->empty()) *slot = std::move(value);
}

}  // namespace

Challenge ParseChallenge(std::string_view field) {
  Challenge out;
  Reader reader(field);
  bool ours = false;
  bool after_scheme = false;
  for (reader.Separators(); !reader.done(); reader.Separators()) {
    if (after_scheme && reader.Token68()) {
      after_scheme = false;
      continue;
    }
    const std::string_view name = reader.Token();
    if (name.empty()) return out;
    const size_t behind = reader.at();
    reader.Space();
    if (!reader.Take('=')) {
      reader.Back(behind);
      // One Bearer challenge is enough; a second one would be somebody else's.
      if (out.bearer) return out;
      ours = http::EqualsNoCase(name, "Bearer");
      out.bearer = ours;
      after_scheme = true;
      continue;
    }
    after_scheme = false;
    reader.Space();
    std::string value;
    if (reader.peek() == '"') {
      if (!reader.Quoted(&value)) return out;
    } else {
      // Some servers leave the quotes out, URLs included.
      while (!reader.done() && reader.peek() != ',' && reader.peek() != ' ') {
        value.push_back(reader.peek());
        reader.Next();
      }
    }
    if (ours) Store(out, name, std::move(value));
  }
  return out;
}

Challenge ParseChallenge(const http::HttpHeaders& headers) {
  for (const std::string_view field : headers.GetAll("WWW-Authenticate")) {
    Challenge found = ParseChallenge(field);
    if (found.bearer) return found;
  }
  return Challenge();
}

std::string PlainText(std::string_view text, size_t bytes_max) {
  std::string out;
  for (const char c : text.substr(0, bytes_max)) {
    out.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  }
  // A cut may have split a character.
  while (!out.empty() && !json::IsValidUtf8(out)) out.pop_back();
  return out;
}

}  // namespace metamcp::oauth
