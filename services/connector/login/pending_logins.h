#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/auth/oauth/request.h"

namespace metamcp::connector {

class Credentials;

// A login that a browser is sent away for. Holds secrets.
struct PendingLogin {
  std::weak_ptr<Credentials> credentials;
  std::string owner;
  std::string binding;  // of the browser that began it
  std::string verifier;
  std::string redirect_uri;
  std::string resource;
  std::string scope;
  oauth::ServerMetadata server;  // the one that must answer
  oauth::ClientIdentity client;
  bool configured_client = false;
  std::chrono::steady_clock::time_point expires;
};

// Logins under way, by state. Each state is good once and for ten minutes. Single-threaded.
class PendingLogins {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::minutes kLifetime{10};
  static constexpr size_t kMax = 1000;

  // Returns the new state: 256 random bits. The oldest gives way when there are too many.
  std::string Add(PendingLogin login);
  std::optional<PendingLogin> Take(const std::string& state);

 private:
  void DropExpired();
  std::map<std::string, PendingLogin> logins_;
};

}  // namespace metamcp::connector
