#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "common/http/http_types.h"

namespace metamcp::http {

struct ParserLimits {
  size_t body_bytes_max = 0;
  size_t header_bytes_max = 0;
  size_t header_count_max = 0;
  size_t target_bytes_max = 0;
};

// Incremental parser of HTTP/1.x requests, reusable. Source: RFC 9112; the grammar is Beast's, the
// framing checks on top are ours (sections 6.1 to 6.3: anything ambiguous is an error).
class RequestParser {
 public:
  enum class Result { kNeedMore, kDone, kError };

  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();

  // Begins a new message into `request`, which it clears and which must stay until it is done.
  void Start(HttpRequest* request);

  // Parses `data`; `used` is how much of it is done with. The rest must be passed again, with more
  // behind it. After kDone or kError only Start may follow.
  Result Put(std::string_view data, size_t* used);

  bool header_done() const;
  bool keep_alive() const;        // after kDone
  bool expects_continue() const;  // after header_done: the client waits for 100 Continue
  // After kError: the HTTP status to answer with and what was wrong.
  int error_status() const;
  std::string_view error_text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace metamcp::http
