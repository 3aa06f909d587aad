#include "common/policy/lexer.h"

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/utf8.h"

namespace metamcp::policy {
namespace {

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-./:*?@+$%{}[]&").find(c) != std::string_view::npos;
}

class Lexer {
 public:
  Lexer(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  absl::StatusOr<std::vector<Token>> Run() {
    std::vector<Token> out;
    for (;;) {
      SkipSpace();
      Token token;
      token.at = at_;
      if (i_ == text_.size()) {
        out.push_back(std::move(token));
        return out;
      }
      const char c = text_[i_];
      if (IsWord(c)) {
        token.kind = TokenKind::kWord;
        while (i_ < text_.size() && IsWord(text_[i_])) token.text.push_back(Take());
      } else if (c == '"') {
        token.kind = TokenKind::kString;
        if (absl::Status read = ReadString(token); !read.ok()) return read;
      } else if (std::string_view("=!~<>(),").find(c) != std::string_view::npos) {
        token.kind = TokenKind::kSign;
        token.text.push_back(Take());
        const bool longer = (c == '!' || c == '<' || c == '>') && i_ < text_.size() &&
                            (text_[i_] == '=' || (c == '!' && text_[i_] == '~'));
        if (longer) token.text.push_back(Take());
      } else {
        return PolicyError(file_, at_, "found a character that begins nothing here",
                           "put text with such characters between double quotes");
      }
      out.push_back(std::move(token));
    }
  }

 private:
  char Take() {
    const char c = text_[i_++];
    if (c == '\n') {
      ++at_.line;
      at_.column = 1;
    } else {
      ++at_.column;
    }
    return c;
  }

  void SkipSpace() {
    while (i_ < text_.size()) {
      const char c = text_[i_];
      if (c == '#') {
        while (i_ < text_.size() && text_[i_] != '\n') Take();
      } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        Take();
      } else {
        return;
      }
    }
  }

  absl::Status ReadString(Token& token) {
    const Place begin = at_;
    Take();
    while (i_ < text_.size() && text_[i_] != '"' && text_[i_] != '\n') {
      char c = Take();
      if (c == '\\') {
        const char escaped = i_ < text_.size() ? Take() : '\0';
        if (escaped != '"' && escaped != '\\') {
          return PolicyError(file_, at_, "found an unknown escape in a text",
                             R"(only \" and \\ are known)");
        }
        c = escaped;
      }
      token.text.push_back(c);
    }
    if (i_ == text_.size() || text_[i_] != '"') {
      return PolicyError(file_, begin, "found a text without its closing quote",
                         "end it with \" on the same line");
    }
    Take();
    return absl::OkStatus();
  }

  const std::string_view text_;
  const std::string_view file_;
  size_t i_ = 0;
  Place at_;
};

}  // namespace

absl::Status PolicyError(std::string_view file, Place at, std::string_view message,
                         std::string_view mend) {
  return MakeError("CONFIG_INVALID", "policy",
                   StrCat(file, ":", at.line, ":", at.column, ": ", message, "; ", mend));
}

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view text, std::string_view file) {
  if (!json::IsValidUtf8(text) || text.find('\0') != std::string_view::npos) {
    return PolicyError(file, Place(), "found bytes that are not UTF-8 text", "save it as UTF-8");
  }
  return Lexer(text, file).Run();
}

}  // namespace metamcp::policy
