#include "common/http/request_parser.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <optional>

#include "common/http/url.h"

namespace metamcp::http {
namespace {

namespace bhttp = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

// Room that Beast's own limit has above ours: it counts the request line apart and counts the
// white space that ours does not.
constexpr size_t kLimitSlack = 1024;
// The most that a Content-Length makes us reserve before the bytes are there.
constexpr size_t kReserveMax = 64 << 10;

std::string_view Std(string_view s) { return {s.data(), s.size()}; }

struct Failure {
  int status = 400;
  const char* text = "malformed request";
};

class Parser final : public bhttp::basic_parser<true> {
 public:
  Parser(const ParserLimits& limits, HttpRequest* request) : limits_(limits), request_(request) {
    eager(true);
    header_limit(static_cast<uint32_t>(limits.header_bytes_max + kLimitSlack));
    body_limit(limits.body_bytes_max);
  }

  Failure failure;
  bool own_failure = false;
  bool got_request_line = false;
  bool expects_continue = false;

 private:
  void Fail(int status, const char* text, error_code& ec) {
    failure.status = status;
    failure.text = text;
    own_failure = true;
    ec = bhttp::error::bad_value;
  }

  void on_request_impl(bhttp::verb, string_view method, string_view target, int version,
                       error_code& ec) override {
    got_request_line = true;
    request_->method.assign(method.data(), method.size());
    request_->target.assign(target.data(), target.size());
    request_->version_minor = version % 10;
    header_bytes_ = method.size() + target.size() + 12;  // two spaces, HTTP/1.1, CRLF
    if (target.size() > limits_.target_bytes_max) return Fail(414, "the target is too long", ec);
    if (header_bytes_ > limits_.header_bytes_max) Fail(431, "the head is too large", ec);
  }

  void on_response_impl(int, string_view, int, error_code&) override {}

  void on_field_impl(bhttp::field field, string_view name, string_view value,
                     error_code& ec) override {
    if (header_done_) return;  // trailers carry nothing that we use
    header_bytes_ += name.size() + value.size() + 4;
    if (header_bytes_ > limits_.header_bytes_max) return Fail(431, "the head is too large", ec);
    if (request_->headers.size() >= limits_.header_count_max) {
      return Fail(431, "too many header fields", ec);
    }
    if (field == bhttp::field::transfer_encoding) {
      if (request_->version_minor == 0) {
        return Fail(400, "Transfer-Encoding in an HTTP/1.0 request", ec);
      }
      if (!EqualsNoCase(Std(value), "chunked")) {
        return Fail(501, "only the transfer coding 'chunked' is known", ec);
      }
    } else if (field == bhttp::field::content_length) {
      const std::string_view v = Std(value);
      if (v.empty() || v.find_first_not_of("0123456789") != std::string_view::npos ||
          request_->headers.Has("Content-Length")) {
        return Fail(400, "bad Content-Length", ec);
      }
    }
    if (!IsHeaderValue(Std(value))) return Fail(400, "control character in a header", ec);
    request_->headers.Add(Std(name), Std(value));
  }

  void on_header_impl(error_code& ec) override {
    header_done_ = true;
    header_bytes_ += 2;
    if (header_bytes_ > limits_.header_bytes_max) return Fail(431, "the head is too large", ec);
    const size_t hosts = request_->headers.Count("Host");
    if (hosts > 1 || (hosts == 0 && request_->version_minor == 1)) {
      return Fail(400, "exactly one Host header is needed", ec);
    }
    if (request_->method == "CONNECT") return Fail(501, "this is not a proxy", ec);
    const absl::Status split = SplitTarget(request_->target, &request_->path, &request_->query);
    if (!split.ok() || (request_->path == "*" && request_->method != "OPTIONS")) {
      return Fail(400, "bad request target", ec);
    }
    const std::string_view expect = request_->headers.Get("Expect");
    if (!expect.empty() && request_->version_minor == 1) {
      if (!EqualsNoCase(expect, "100-continue")) return Fail(417, "unknown expectation", ec);
      expects_continue = true;
    }
  }

  void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code&) override {
    if (length) request_->body.reserve(std::min<uint64_t>(*length, kReserveMax));
  }
  std::size_t on_body_impl(string_view body, error_code&) override {
    request_->body.append(body.data(), body.size());
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override {
    request_->body.append(body.data(), body.size());
    return body.size();
  }
  void on_finish_impl(error_code&) override {}

  const ParserLimits& limits_;
  HttpRequest* request_;
  size_t header_bytes_ = 0;
  bool header_done_ = false;
};

}  // namespace

struct RequestParser::Impl {
  explicit Impl(const ParserLimits& limits_in) : limits(limits_in) {}
  ParserLimits limits;
  std::optional<Parser> parser;
  Failure failure;
};

RequestParser::RequestParser(const ParserLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestParser::~RequestParser() = default;

void RequestParser::Start(HttpRequest* request) {
  request->method.clear();
  request->target.clear();
  request->path.clear();
  request->query.clear();
  request->headers.Clear();
  request->version_minor = 1;
  if (request->body.capacity() > kReserveMax) {
    request->body = std::string();
  } else {
    request->body.clear();
  }
  impl_->parser.emplace(impl_->limits, request);
}

RequestParser::Result RequestParser::Put(std::string_view data, size_t* used) {
  Parser& parser = *impl_->parser;
  error_code ec;
  *used = parser.put(boost::asio::const_buffer(data.data(), data.size()), ec);
  if (!ec) return parser.is_done() ? Result::kDone : Result::kNeedMore;
  const size_t rest = data.size() - *used;
  if (ec == bhttp::error::need_more) {
    // Only a head, a chunk's line or a trailer can be left over, and each has a bound.
    if (rest <= impl_->limits.header_bytes_max + kLimitSlack) return Result::kNeedMore;
    ec = bhttp::error::header_limit;
  }
  Failure& failure = impl_->failure;
  failure = Failure();
  if (parser.own_failure) {
    failure = parser.failure;
  } else if (ec == bhttp::error::body_limit) {
    failure.status = 413;
    failure.text = "the body is too large";
  } else if (ec == bhttp::error::header_limit && !parser.is_header_done()) {
    failure.status = parser.got_request_line ? 431 : 414;
    failure.text = parser.got_request_line ? "the head is too large" : "the target is too long";
  }
  return Result::kError;
}

bool RequestParser::header_done() const { return impl_->parser->is_header_done(); }
bool RequestParser::keep_alive() const { return impl_->parser->keep_alive(); }
bool RequestParser::expects_continue() const {
  return impl_->parser->is_header_done() && impl_->parser->expects_continue;
}
int RequestParser::error_status() const { return impl_->failure.status; }
std::string_view RequestParser::error_text() const { return impl_->failure.text; }

}  // namespace metamcp::http
