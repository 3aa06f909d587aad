#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace metamcp {

// Who asks. Made by an authenticator at the edge; `tenant` comes only from the credential.
struct Principal {
  std::string tenant = "default";
  std::string subject;
  std::string kind = "user";  // user, service, run, peer
  std::vector<std::string> roles;
  std::vector<std::string> teams;
  std::vector<std::string> scopes;
  std::string method;  // how it was authenticated: "loopback", "key:<name>", "socket"
  std::string client;  // display only
  std::vector<std::string> actors;
  std::string display_name;  // of the person, for people to read; never decides anything
  std::string issuer;        // of the token; empty where no token was shown
  int64_t expires_us = 0;    // when the credential ends, since the epoch; 0: by itself never
};

}  // namespace metamcp
