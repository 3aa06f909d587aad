#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/async/task_group.h"
#include "common/auth/authenticator.h"
#include "common/auth/jwt/key_source.h"
#include "common/auth/jwt/verifier.h"
#include "common/auth/resource.h"

namespace metamcp::auth {

// What tokens are taken, and what they must allow.
struct TokenOptions {
  TokenOptions() {}
  jwt::IssuerOptions own;  // of our own tokens
  std::string own_secret;  // beside the keys of the ring; may be empty
  std::vector<jwt::IssuerOptions> issuers;
  std::vector<jwt::KeySourceOptions> sources;  // of their keys, in the same order
  int64_t skew_s = 60;
  std::map<std::string, std::vector<std::string>> scopes;  // by virtual server
};

// Takes JWT bearer tokens of our own (under a secret or the key ring) and of foreign issuers.
// Thread: the executor's one thread.
class Tokens final : public TokenSource {
 public:
  // All must outlive it; `tasks` runs what fetches keys, and has ended before `http` does.
  Tokens(boost::asio::any_io_executor executor, TaskGroup& tasks, http::HttpClient& http,
         const KeyRing& ring, ResourceNames names);
  ~Tokens() override;

  // Takes these options instead of those before; what was verified is forgotten.
  void SetOptions(TokenOptions options);

  absl::StatusOr<std::shared_ptr<const Principal>> Verify(std::string_view token,
                                                          const Credentials& credentials) override;
  Awaitable<bool> FetchKeys() override;
  absl::Status CheckScopes(const Principal& principal,
                           const Credentials& credentials) const override;
  std::string Challenge(const Credentials& credentials, const absl::Status& why) const override;

  // The challenge of a call that needs `scopes` (separated by spaces) beside those of the server.
  std::string StepUp(const Credentials& credentials, std::string_view scopes) const;
  // Metadata (RFC 9728) of the resource at credentials.path; empty where nobody issues tokens for
  // us, or our own address is not known.
  std::string Metadata(const Credentials& credentials) const;

 private:
  bool SetOwnKeys();
  std::string ServerScopes(const Credentials& credentials) const;
  std::string Parameters(const Credentials& credentials, std::string_view error,
                         std::string_view description, std::string_view scopes) const;

  boost::asio::any_io_executor executor_;
  TaskGroup& tasks_;
  http::HttpClient& http_;
  const KeyRing& ring_;
  const ResourceNames names_;
  TokenOptions options_;
  std::unique_ptr<jwt::TokenVerifier> verifier_;  // our own issuer is number 0
  std::vector<std::shared_ptr<jwt::KeySource>> sources_;
  std::vector<std::string> kids_;  // of the ring, as they were taken
};

}  // namespace metamcp::auth
