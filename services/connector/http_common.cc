#include "services/connector/http_common.h"

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::connector {

Awaitable<void> OpenWork::Drained() {
  while (count_ > 0) {
    auto waiting = idle_.WaitUntil(std::chrono::steady_clock::now() + std::chrono::seconds(1));
    co_await std::move(waiting);
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) co_return;
  }
}

http::HttpClientRequest TargetRequest(const HttpChannelOptions& options, std::string_view method,
                                      const std::string& url) {
  http::HttpClientRequest request(std::string(method), url);
  for (const auto& [name, value] : options.target.headers) request.headers.Set(name, value);
  request.allow_plain_http = options.target.allow_plain_http;
  request.allow_tls12 = options.target.allow_tls12;
  request.ca_file = options.target.ca_file;
  request.client_cert_file = options.target.client_cert_file;
  request.client_key_file = options.target.client_key_file;
  request.connect_timeout = options.connect_timeout;
  // Calls have their own, shorter, timeouts; this only bounds what nobody waits for any more.
  request.first_byte_timeout = std::chrono::hours(1);
  request.idle_timeout = options.stream_idle;
  request.domain = options.target.domain;
  request.addresses = http::AddressRule::kNotLinkLocal;
  return request;
}

absl::Status StatusError(int status, std::string_view domain) {
  if (status == 401 || status == 403) {
    return MakeError("UPSTREAM_AUTH", domain, StrCat("the upstream answered HTTP ", status));
  }
  if (status == 503 || status == 429) {
    return MakeError("UPSTREAM_UNAVAILABLE", domain, StrCat("the upstream answered HTTP ", status));
  }
  if (status >= 500 || status == 408) {
    return MakeError("UPSTREAM_LOST", domain,
                     StrCat("the upstream answered HTTP ", status,
                            "; whether the request took effect is unknown"));
  }
  if (status >= 300 && status < 400) {
    return MakeError(
        "UPSTREAM_PROTOCOL", domain,
        StrCat("the upstream redirects (HTTP ", status, "); configure the address that it names"));
  }
  return MakeError("UPSTREAM_PROTOCOL", domain, StrCat("the upstream answered HTTP ", status));
}

bool IsEventStream(const http::HttpClientResponse& response) {
  return http::EqualsNoCase(response.headers().Get("Content-Type").substr(0, 17),
                            "text/event-stream");
}

bool IsJson(const http::HttpClientResponse& response) {
  return http::EqualsNoCase(response.headers().Get("Content-Type").substr(0, 16),
                            "application/json");
}

std::string ErrorAnswer(const std::string& body, uint64_t request_id) {
  const jsonrpc::ParseOutcome outcome = jsonrpc::ParseEnvelope(body);
  if (!outcome.ok() || outcome.envelope->kind != jsonrpc::MessageKind::kError) return "";
  if (outcome.envelope->id.present()) return body;
  return jsonrpc::MakeErrorResponse(jsonrpc::Id::Int(static_cast<int64_t>(request_id)),
                                    outcome.envelope->error);
}

}  // namespace metamcp::connector
