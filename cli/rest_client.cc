#include "cli/rest_client.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/error_registry.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/http_client.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

constexpr size_t kReplyBytesMax = 64 << 20;

Awaitable<absl::StatusOr<RestReply>> Exchange(http::HttpClient& client, CallContext call,
                                              http::HttpClientRequest request) {
  auto response = co_await client.Send(call, std::move(request));
  if (!response.ok()) co_return response.status();
  RestReply reply;
  reply.status = (*response)->status();
  reply.content_type = (*response)->headers().Get("Content-Type");
  auto body = co_await (*response)->ReadAll(kReplyBytesMax);
  if (!body.ok()) co_return body.status();
  reply.body = *std::move(body);
  co_return reply;
}

// The body piece by piece; of an answer outside 2xx all of it, for the error.
Awaitable<absl::StatusOr<RestReply>> Receive(http::HttpClient& client, CallContext call,
                                             http::HttpClientRequest request,
                                             const std::function<bool(std::string_view)>& take) {
  auto response = co_await client.Send(call, std::move(request));
  if (!response.ok()) co_return response.status();
  RestReply reply;
  reply.status = (*response)->status();
  if (reply.status < 200 || reply.status > 299) {
    auto body = co_await (*response)->ReadAll(kReplyBytesMax);
    if (!body.ok()) co_return body.status();
    reply.body = *std::move(body);
    co_return reply;
  }
  for (;;) {
    auto piece = co_await (*response)->ReadSome();
    if (!piece.ok()) co_return piece.status();
    if (!piece->has_value() || !take(**piece)) co_return reply;
  }
}

class HttpRestClient final : public RestClient {
 public:
  explicit HttpRestClient(RestTarget target)
      : target_(std::move(target)),
        client_(http::NewHttpClient(io_.get_executor(), http::HttpClientOptions())) {}

  absl::StatusOr<RestReply> Send(const RestRequest& request) override {
    CallContext call(nullptr, CallContext::Clock::now() + request.timeout);
    auto reply = Await(Exchange(*client_, std::move(call), MakeWire(request)));
    return reply.ok() ? std::move(reply) : Unreachable(reply.status());
  }

  absl::Status Stream(const RestRequest& request,
                      const std::function<bool(std::string_view)>& take) override {
    CallContext call(nullptr, CallContext::Clock::now() + request.timeout);
    const auto reply = Await(Receive(*client_, std::move(call), MakeWire(request), take));
    if (!reply.ok()) return Unreachable(reply.status());
    return reply->status >= 200 && reply->status <= 299 ? absl::OkStatus() : ErrorOfReply(*reply);
  }

 private:
  http::HttpClientRequest MakeWire(const RestRequest& request) const {
    http::HttpClientRequest wire(request.method, StrCat(target_.base_url, request.path));
    if (!target_.unix_socket.empty()) {
      wire.unix_socket = target_.unix_socket;
      wire.url = StrCat("http://localhost", request.path);
    }
    wire.body = request.body;
    wire.headers.Add("Accept", "application/json");
    if (!request.body.empty()) wire.headers.Add("Content-Type", "application/json");
    if (!target_.token.empty()) {
      wire.headers.Add("Authorization", StrCat("Bearer ", target_.token));
    }
    wire.ca_file = target_.ca_file;
    wire.client_cert_file = target_.cert_file;
    wire.client_key_file = target_.key_file;
    for (const auto& [name, value] : request.headers) wire.headers.Set(name, value);
    wire.first_byte_timeout = request.timeout;
    wire.idle_timeout = request.timeout;
    wire.domain = "gateway";
    return wire;
  }

  absl::StatusOr<RestReply> Await(Awaitable<absl::StatusOr<RestReply>> op) {
    std::optional<absl::StatusOr<RestReply>> out;
    auto done = [&out](std::exception_ptr e, absl::StatusOr<RestReply> reply) {
      out = e ? absl::StatusOr<RestReply>(StatusFromException(e)) : std::move(reply);
    };
    boost::asio::co_spawn(io_, std::move(op), std::move(done));
    while (!out) {
      io_.restart();
      io_.run_one();
    }
    return *std::move(out);
  }

  absl::Status Unreachable(const absl::Status& status) const {
    const auto info = GetErrorInfo(status);
    if (!info || (info->reason != "UPSTREAM_UNAVAILABLE" && info->reason != "UPSTREAM_LOST")) {
      return status;
    }
    return MakeError("GATEWAY_UNREACHABLE", "cli",
                     StrCat("no gateway answers at ", target_.name(), ": ", Sv(status.message())));
  }

  RestTarget target_;
  boost::asio::io_context io_{1};
  std::unique_ptr<http::HttpClient> client_;
};

absl::StatusCode CodeOfHttp(int status) {
  switch (status) {
    case 400:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return absl::StatusCode::kAlreadyExists;
    case 429:
      return absl::StatusCode::kResourceExhausted;
    case 503:
      return absl::StatusCode::kUnavailable;
    case 504:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return absl::StatusCode::kUnknown;
  }
}

std::string Text(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json* member = json::FindMember(object, key);
  return member != nullptr && member->is_string() ? member->get<std::string>() : std::string();
}

}  // namespace

absl::Status ErrorOfReply(const RestReply& reply) {
  const auto body = json::ParseJson(reply.body);
  const nlohmann::json* error = body.ok() ? json::FindMember(*body, "error") : nullptr;
  if (error == nullptr || !error->is_object()) {
    ErrorInfo info;
    info.reason = reply.status == 401 ? "AUTH_REQUIRED" : "HTTP_STATUS";
    info.domain = "gateway";
    return WithErrorInfo(
        absl::Status(CodeOfHttp(reply.status), StrCat("the gateway answered HTTP ", reply.status)),
        info);
  }
  ErrorInfo info;
  info.reason = Text(*error, "reason");
  info.domain = Text(*error, "source");
  const std::string hint = Text(*error, "hint");
  if (!hint.empty()) info.metadata["hint"] = hint;
  const ErrorEntry* entry = FindError(info.reason);
  std::string message = Text(*error, "message");
  if (message.empty()) message = StrCat("the gateway answered HTTP ", reply.status);
  return WithErrorInfo(
      absl::Status(entry != nullptr ? entry->code : CodeOfHttp(reply.status), message), info);
}

absl::StatusOr<std::string> RestClient::Call(const RestRequest& request) {
  METAMCP_ASSIGN_OR_RETURN(RestReply reply, Send(request));
  if (reply.status >= 200 && reply.status < 300) return std::move(reply.body);
  return ErrorOfReply(reply);
}

absl::Status RestClient::Stream(const RestRequest& request,
                                const std::function<bool(std::string_view)>& take) {
  METAMCP_ASSIGN_OR_RETURN(const std::string body, Call(request));
  take(body);
  return absl::OkStatus();
}

std::unique_ptr<RestClient> NewRestClient(const RestTarget& target) {
  return std::make_unique<HttpRestClient>(target);
}

}  // namespace metamcp::cli
