#include "common/http/response_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <optional>

namespace metamcp::http {
namespace {

namespace bhttp = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

constexpr size_t kHeaderCountMax = 500;

class Parser final : public bhttp::basic_parser<false> {
 public:
  Parser(size_t header_bytes_max, HttpHeaders* headers, bool no_body) : headers_(headers) {
    header_limit(static_cast<uint32_t>(header_bytes_max));
    body_limit(boost::none);  // the reader counts
    skip(no_body);
    headers->Clear();
  }

  int status = 0;
  std::string* body = nullptr;

 private:
  void on_request_impl(bhttp::verb, string_view, string_view, int, error_code&) override {}
  void on_response_impl(int code, string_view, int version, error_code&) override {
    status = code;
    old_ = version < 11;
  }
  void on_field_impl(bhttp::field field, string_view name, string_view value,
                     error_code& ec) override {
    if (header_done_) return;
    const std::string_view v(value.data(), value.size());
    const bool bad_coding =
        field == bhttp::field::transfer_encoding && (old_ || !EqualsNoCase(v, "chunked"));
    if (headers_->size() >= kHeaderCountMax || !IsHeaderValue(v) || bad_coding) {
      ec = bhttp::error::bad_value;
      return;
    }
    headers_->Add({name.data(), name.size()}, v);
  }
  void on_header_impl(error_code&) override { header_done_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view piece, error_code&) override {
    body->append(piece.data(), piece.size());
    return piece.size();
  }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view piece, error_code&) override {
    body->append(piece.data(), piece.size());
    return piece.size();
  }
  void on_finish_impl(error_code&) override {}

  HttpHeaders* headers_;
  bool header_done_ = false;
  bool old_ = false;
};

}  // namespace

struct ResponseParser::Impl {
  size_t header_bytes_max = 0;
  HttpHeaders headers;
  std::optional<Parser> parser;
  std::string error;
};

ResponseParser::ResponseParser(size_t header_bytes_max) : impl_(std::make_unique<Impl>()) {
  impl_->header_bytes_max = header_bytes_max;
}
ResponseParser::~ResponseParser() = default;

void ResponseParser::Start(bool no_body) {
  impl_->parser.emplace(impl_->header_bytes_max, &impl_->headers, no_body);
}

ResponseParser::Result ResponseParser::Put(std::string_view data, size_t* used, std::string* body) {
  Parser& parser = *impl_->parser;
  parser.body = body;
  *used = 0;
  const bool had_head = parser.is_header_done();
  parser.eager(had_head);
  error_code ec;
  *used = parser.put(boost::asio::const_buffer(data.data(), data.size()), ec);
  if (ec == bhttp::error::need_more) {
    ec = error_code();
    if (data.size() - *used > impl_->header_bytes_max) ec = bhttp::error::header_limit;
  }
  if (ec) {
    impl_->error = ec.message();
    return Result::kError;
  }
  if (!had_head && parser.is_header_done()) return Result::kHead;
  if (parser.is_done()) return Result::kDone;
  return had_head && body != nullptr && !body->empty() ? Result::kBody : Result::kNeedMore;
}

ResponseParser::Result ResponseParser::PutEnd() {
  Parser& parser = *impl_->parser;
  error_code ec = bhttp::error::partial_message;
  if (parser.got_some()) parser.put_eof(ec);
  if (!ec) return Result::kDone;
  impl_->error = "the connection was closed in the middle of the response";
  return Result::kError;
}

bool ResponseParser::head_done() const { return impl_->parser && impl_->parser->is_header_done(); }
bool ResponseParser::done() const { return impl_->parser && impl_->parser->is_done(); }
int ResponseParser::status() const { return impl_->parser->status; }
HttpHeaders& ResponseParser::headers() { return impl_->headers; }
bool ResponseParser::keep_alive() const { return impl_->parser->keep_alive(); }
uint64_t ResponseParser::length_hint() const { return impl_->parser->content_length().value_or(0); }
std::string ResponseParser::error() const { return impl_->error; }

}  // namespace metamcp::http
