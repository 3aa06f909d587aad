#pragma once

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/http_client.h"
#include "common/http/http_test_support.h"

namespace metamcp::http {

using SentResponse = absl::StatusOr<std::unique_ptr<HttpClientResponse>>;

// A client with an event loop that runs while a call is awaited.
class ClientTest : public ::testing::Test {
 protected:
  ClientTest() {
    options_.environment = [this](const char* name) -> const char* {
      const auto it = environment_.find(name);
      return it == environment_.end() ? nullptr : it->second.c_str();
    };
  }

  HttpClient& client() {
    if (!client_) client_ = NewHttpClient(io_.get_executor(), options_);
    return *client_;
  }

  template <typename T>
  T Await(Awaitable<T> op, boost::asio::cancellation_signal* signal = nullptr) {
    std::optional<T> out;
    auto done = [&out](std::exception_ptr e, T value) {
      if (e) {
        out = T(StatusFromException(e));
      } else {
        out = std::move(value);
      }
    };
    boost::asio::cancellation_signal none;
    boost::asio::co_spawn(
        io_, std::move(op),
        boost::asio::bind_cancellation_slot((signal ? signal : &none)->slot(), std::move(done)));
    while (!out) {
      io_.restart();
      io_.run_one_for(std::chrono::seconds(20));
    }
    return *std::move(out);
  }
  // Sends and reads all of a small body.
  absl::StatusOr<std::string> Fetch(HttpClientRequest request) {
    SentResponse response = Await(client().Send(ctx_, std::move(request)));
    if (!response.ok()) return response.status();
    last_status_ = (*response)->status();
    return Await((*response)->ReadAll(1 << 20));
  }
  std::string Reason(const absl::Status& status) {
    const auto info = GetErrorInfo(status);
    return info ? info->reason : "";
  }

  boost::asio::io_context io_{1};
  CallContext ctx_;
  std::map<std::string, std::string> environment_;
  HttpClientOptions options_;
  std::unique_ptr<HttpClient> client_;
  int last_status_ = 0;
};

inline std::string UrlOf(const HttpEndpoint& e, std::string_view path = "/") {
  return StrCat(e.ToString(), path);
}

}  // namespace metamcp::http
