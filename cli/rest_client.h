#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace metamcp::cli {

// Which gateway to speak to.
struct RestTarget {
  std::string base_url;     // "https://gateway.example.com", without a slash at its end
  std::string unix_socket;  // instead of base_url
  std::string token;        // sent as a bearer token when not empty
  std::string ca_file;      // PEM of further authorities of base_url's certificate
  std::string cert_file;    // PEM of our certificate and its key; may be empty
  std::string key_file;
  // For messages: the socket's path or the URL.
  const std::string& name() const { return unix_socket.empty() ? base_url : unix_socket; }
};

struct RestRequest {
  RestRequest() = default;
  RestRequest(std::string_view method_in, std::string_view path_in, std::string_view body_in = {})
      : method(method_in), path(path_in), body(body_in) {}

  std::string method = "GET";
  std::string path;  // with query
  std::string body;  // JSON, or empty
  std::vector<std::pair<std::string, std::string>> headers;
  std::chrono::milliseconds timeout{130'000};
};

struct RestReply {
  int status = 0;
  std::string content_type;
  std::string body;
};

// Speaks to a gateway, one request after the other. Blocks its thread.
class RestClient {
 public:
  virtual ~RestClient() = default;

  // Errors: GATEWAY_UNREACHABLE when nobody answers; UPSTREAM_TIMEOUT; CONFIG_INVALID for a bad
  // URL; as HttpClient otherwise. Any HTTP status is a reply.
  virtual absl::StatusOr<RestReply> Send(const RestRequest& request) = 0;

  // Sends and gives the body to `take` as it arrives, until that returns false or the body ends.
  // Errors: as Call.
  virtual absl::Status Stream(const RestRequest& request,
                              const std::function<bool(std::string_view)>& take);

  // Sends and returns the body of a 2xx. Errors: also the gateway's own, with its reason, hint and
  // source.
  absl::StatusOr<std::string> Call(const RestRequest& request);
};

std::unique_ptr<RestClient> NewRestClient(const RestTarget& target);

// The error that a reply outside 2xx stands for.
absl::Status ErrorOfReply(const RestReply& reply);

}  // namespace metamcp::cli
