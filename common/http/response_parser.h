#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/http/http_types.h"

namespace metamcp::http {

// Incremental parser of HTTP/1.x responses, reusable. Source: RFC 9112.
class ResponseParser {
 public:
  enum class Result { kNeedMore, kHead, kBody, kDone, kError };

  explicit ResponseParser(size_t header_bytes_max);
  ~ResponseParser();

  // Begins a new response. `no_body`: it answers HEAD.
  void Start(bool no_body);

  // Parses `data`; `used` is how much of it is done with, the rest must come again with more
  // behind it. Stops after the head (kHead, once); later appends what there is of the body to
  // `body`.
  Result Put(std::string_view data, size_t* used, std::string* body);
  // The peer closed: kDone when the body ends with the connection, else kError.
  Result PutEnd();

  bool head_done() const;
  bool done() const;
  int status() const;
  HttpHeaders& headers();
  bool keep_alive() const;       // after kDone
  uint64_t length_hint() const;  // Content-Length, 0 if unknown
  std::string error() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace metamcp::http
