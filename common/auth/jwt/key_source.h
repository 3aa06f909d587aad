#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/async/sink.h"
#include "common/auth/jwt/verifier.h"
#include "common/http/http_client.h"

namespace metamcp::jwt {

// Where the keys of one issuer are.
struct KeySourceOptions {
  KeySourceOptions() {}
  std::string name;      // of the issuer, for the log
  std::string issuer;    // asked for its metadata where neither of the next two is set
  std::string jwks_url;  // https, or http on this machine
  std::string jwks_file;
  std::string ca_file;
  bool allow_tls12 = false;
  std::chrono::milliseconds refresh = std::chrono::minutes(10);
  // Least time between two requests, whatever tokens ask for.
  std::chrono::milliseconds ask_min = std::chrono::seconds(10);
  std::chrono::milliseconds retry_min = std::chrono::seconds(1);  // after a failure; doubles
  std::chrono::milliseconds timeout = std::chrono::seconds(5);
};

// Holds the keys of an issuer (JWK set), fetches them again from time to time and when a token
// names a key that is not among them. One request at a time; after a failure what was there stays.
// Held by a shared_ptr, which its task shares. Thread: the executor's one thread.
class KeySource {
 public:
  using OnKeys = std::function<void(std::shared_ptr<const KeySet>)>;
  // `on_keys` is told of every set that differs from the one before; never after Stop. `http` must
  // outlive the task.
  KeySource(boost::asio::any_io_executor executor, http::HttpClient& http, KeySourceOptions options,
            OnKeys on_keys);

  // Fetches until Stop.
  static Awaitable<void> Run(std::shared_ptr<KeySource> self);
  void Stop();

  // Waits for a fetch that began now or is under way, unless the last one was moments ago. Returns
  // whether other keys are there now.
  static Awaitable<bool> Ask(std::shared_ptr<KeySource> self);

 private:
  Awaitable<absl::Status> FetchOnce();
  Awaitable<absl::StatusOr<std::string>> FetchText();
  Awaitable<absl::StatusOr<std::string>> Discover();
  Awaitable<absl::StatusOr<std::string>> Get(std::string url, http::AddressRule rule);
  void Note(const absl::Status& status);

  http::HttpClient& http_;
  const KeySourceOptions options_;
  OnKeys on_keys_;
  boost::asio::steady_timer wake_;  // of the task
  boost::asio::steady_timer done_;  // of those who wait for a fetch
  std::string text_;                // of the set that is held
  size_t changes_ = 0;
  std::chrono::steady_clock::time_point asked_at_;
  std::chrono::milliseconds backoff_{0};
  bool fetching_ = false;
  bool stopped_ = false;
};

}  // namespace metamcp::jwt
