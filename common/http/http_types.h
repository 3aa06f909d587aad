#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace metamcp::http {

// Compares ASCII letters without case.
bool EqualsNoCase(std::string_view a, std::string_view b);

struct HttpHeader {
  std::string_view name;
  std::string_view value;
};

// Header fields in the order received or added, duplicates kept. Names compare without case. All
// text lives in one string, so that clearing and filling again allocates nothing; every view
// handed out is valid until the next call that changes the object.
class HttpHeaders {
 public:
  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<std::pair<std::string_view, std::string_view>> fields);

  void Add(std::string_view name, std::string_view value);
  // Replaces every field of that name by one.
  void Set(std::string_view name, std::string_view value);
  void Remove(std::string_view name);
  // Keeps the memory.
  void Clear();

  // The first value, or an empty view; Has tells an empty value from an absent field.
  std::string_view Get(std::string_view name) const;
  bool Has(std::string_view name) const;
  size_t Count(std::string_view name) const;
  std::vector<std::string_view> GetAll(std::string_view name) const;
  // Whether `token` is an element of the comma-separated list in any field of that name.
  bool HasToken(std::string_view name, std::string_view token) const;

  size_t size() const { return fields_.size(); }
  bool empty() const { return fields_.empty(); }
  HttpHeader at(size_t index) const;

 private:
  struct Field {
    uint32_t name, name_size, value, value_size;
  };
  bool IsNamed(const Field& field, std::string_view name) const;
  std::string text_;
  std::vector<Field> fields_;
};

// A token as RFC 9110 section 5.6.2 defines it: what a method or a header name may be.
bool IsHttpToken(std::string_view text);
// Whether `value` may stand in a header: no CR, LF, NUL or other control character except tab.
bool IsHeaderValue(std::string_view value);

// What a TLS client showed: it has the key of this certificate.
struct ClientCertificate {
  std::string subject;  // as RFC 2253 writes it
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  std::vector<std::string> emails;
  std::string fingerprint;  // SHA-256, hexadecimal
  int64_t not_after_us = 0;
  // Why it proves nothing: no authority of ours vouches for it, its time is over. Empty: it does.
  std::string problem;
};

struct HttpRequest {
  std::string method;  // as sent; methods are case-sensitive
  std::string target;  // as sent
  std::string path;    // percent-decoded once, starts with '/', no "." or ".." segment, no NUL
  std::string query;   // as sent, without '?'
  HttpHeaders headers;
  std::string body;
  std::string remote_address;  // "127.0.0.1", "::1"; empty on a unix socket
  bool is_loopback = false;    // of the peer; true on a unix socket
  bool is_unix_socket = false;
  bool tls = false;
  std::shared_ptr<const ClientCertificate> certificate;  // null: none was shown
  int version_minor = 1;                                 // HTTP/1.<n>
};

struct HttpResponse {
  HttpResponse() = default;
  explicit HttpResponse(int status_in) : status(status_in) {}
  HttpResponse(int status_in, std::string_view content_type, std::string body_in)
      : status(status_in), body(std::move(body_in)) {
    headers.Add("Content-Type", content_type);
  }

  int status = 200;
  // Content-Length, Transfer-Encoding, Connection, Keep-Alive and Date are written by the server;
  // such fields set here are dropped.
  HttpHeaders headers;
  std::string body;
};

// The reason phrase of a status code, "Unknown" for others.
std::string_view HttpReason(int status);

}  // namespace metamcp::http
