#include "services/connector/login/authorized_client.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::connector {
namespace {

// A token that expired, then a scope that is missing; more is no accident.
constexpr int kAgainMax = 2;
// How long a request waits for its token.
constexpr std::chrono::seconds kTokenTime(60);

// A 403 is about the token only if it says so.
bool IsRefusal(const http::HttpClientResponse& response, oauth::Challenge* challenge) {
  if (response.status() != 401 && response.status() != 403) return false;
  *challenge = oauth::ParseChallenge(response.headers());
  return response.status() == 401 || challenge->error == "insufficient_scope";
}

}  // namespace

Awaitable<absl::StatusOr<std::unique_ptr<http::HttpClientResponse>>> AuthorizedClient::Send(
    const CallContext& ctx, http::HttpClientRequest request) {
  // The session may be given up while a request of it still unwinds.
  const std::shared_ptr<Signer> signer = signer_;
  const std::string owner = owner_;
  http::HttpClient& client = client_;
  for (int again = 0;; ++again) {
    const auto until = std::min(ctx.deadline, Signer::Clock::now() + kTokenTime);
    auto getting = signer->Token(owner, until);
    auto token = co_await std::move(getting);
    if (!token.ok()) {
      // Channels rely on it that a request never fails before the call that sends it has returned.
      auto executor = co_await boost::asio::this_coro::executor;
      co_await boost::asio::post(executor, boost::asio::use_awaitable);
      co_return token.status();
    }
    http::HttpClientRequest copy = request;
    if (!token->empty()) copy.headers.Set("Authorization", StrCat("Bearer ", *token));
    auto sending = client.Send(ctx, std::move(copy));
    auto response = co_await std::move(sending);
    if (!response.ok()) co_return response;
    oauth::Challenge challenge;
    if (!IsRefusal(**response, &challenge)) {
      if (!token->empty() && (*response)->status() < 400) signer->Accepted(owner, *token);
      co_return response;
    }
    const int status = (*response)->status();
    response->reset();
    auto mending = signer->Refused(owner, *token, status, challenge, until);
    const absl::Status mended = co_await std::move(mending);
    if (!mended.ok()) co_return mended;
    if (again >= kAgainMax) {
      co_return MakeError("UPSTREAM_AUTH", signer->domain(),
                          "it refuses every token that its authorization server gives");
    }
  }
}

Awaitable<absl::StatusOr<std::unique_ptr<http::WebSocket>>> AuthorizedClient::OpenWebSocket(
    const CallContext& ctx, http::HttpClientRequest request, http::WebSocketOptions options) {
  const std::shared_ptr<Signer> signer = signer_;
  const std::string owner = owner_;
  http::HttpClient& client = client_;
  for (int again = 0;; ++again) {
    const auto until = std::min(ctx.deadline, Signer::Clock::now() + kTokenTime);
    auto getting = signer->Token(owner, until);
    auto token = co_await std::move(getting);
    if (!token.ok()) co_return token.status();
    http::HttpClientRequest copy = request;
    if (!token->empty()) copy.headers.Set("Authorization", StrCat("Bearer ", *token));
    http::WebSocketOptions same = options;
    auto opening = client.OpenWebSocket(ctx, std::move(copy), std::move(same));
    auto socket = co_await std::move(opening);
    const auto info = GetErrorInfo(socket.status());
    const bool refused = info && info->reason == "UPSTREAM_AUTH";
    if (!refused || again >= kAgainMax) {
      if (socket.ok() && !token->empty()) signer->Accepted(owner, *token);
      co_return socket;
    }
    const oauth::Challenge unsaid;
    auto mending = signer->Refused(owner, *token, 401, unsaid, until);
    const absl::Status mended = co_await std::move(mending);
    if (!mended.ok()) co_return mended;
  }
}

}  // namespace metamcp::connector
