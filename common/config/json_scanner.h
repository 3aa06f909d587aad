#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/config/problem.h"

namespace metamcp::config {

// Walks over a text of valid UTF-8 and knows its place. The lexical half of json_tree.cc.
class JsonScanner {
 public:
  JsonScanner(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  bool AtEnd() const { return offset_ >= text_.size(); }
  char Peek(size_t ahead = 0) const {
    return offset_ + ahead < text_.size() ? text_[offset_ + ahead] : '\0';
  }
  void Advance(size_t bytes = 1);
  // Over white space and comments. An open comment is reported and ends the text.
  void SkipSpace();

  size_t offset() const { return offset_; }
  Position at() const { return Position(line_, column_); }
  std::string_view Slice(size_t begin) const { return text_.substr(begin, offset_ - begin); }

  // Reads the string whose opening quote (" or ') is next. Errors are reported and mended.
  std::string ReadString();
  // Reads a run of letters, digits and the characters of numbers.
  std::string_view ReadWord();

  // What is next, in words: "'x'", "the end of the file", "a word 'abc'".
  std::string Describe() const;

  void Report(Position at, std::string message, std::string mend);
  // Too many errors: the rest is not worth reading.
  bool full() const;
  std::vector<Problem>& errors() { return errors_; }
  void GoToEnd() { offset_ = text_.size(); }

 private:
  void ReadEscape(std::string* out);
  int ReadHex4();  // -1 when malformed

  std::string_view text_;
  std::string file_;
  size_t offset_ = 0;
  int line_ = 1;
  int column_ = 1;
  std::vector<Problem> errors_;
};

// Place of the byte at `offset`.
Position PlaceOf(std::string_view text, size_t offset);

// Offset of the first byte that is not valid UTF-8 (RFC 3629), or npos.
size_t FindInvalidUtf8(std::string_view text);

void AppendUtf8(unsigned code_point, std::string* out);

}  // namespace metamcp::config
