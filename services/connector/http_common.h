#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/http/http_client.h"
#include "common/mcp/jsonrpc.h"
#include "services/connector/event.h"
#include "services/connector/http_channel.h"

namespace metamcp::connector {

// Counts the coroutines of a channel, so that closing it can wait for them. Single-threaded.
class OpenWork {
 public:
  explicit OpenWork(const boost::asio::any_io_executor& executor) : idle_(executor) {}
  // One coroutine; keeps the channel alive meanwhile.
  class Piece {
   public:
    Piece(OpenWork& work, std::shared_ptr<void> channel)
        : work_(work), channel_(std::move(channel)) {
      ++work_.count_;
    }
    Piece(const Piece&) = delete;
    Piece& operator=(const Piece&) = delete;
    ~Piece() {
      if (--work_.count_ == 0) work_.idle_.WakeAll();
    }

   private:
    OpenWork& work_;
    const std::shared_ptr<void> channel_;
  };
  size_t count() const { return count_; }
  // Returns when nothing runs any more, or when cancelled.
  Awaitable<void> Drained();

 private:
  size_t count_ = 0;
  Broadcast idle_;
};

// A request to the target with its configured headers and TLS options.
http::HttpClientRequest TargetRequest(const HttpChannelOptions& options, std::string_view method,
                                      const std::string& url);

// The error that an unwelcome answer to a request stands for: UPSTREAM_AUTH for 401 and 403;
// UPSTREAM_UNAVAILABLE for 503 and 429, which say that nothing was begun; UPSTREAM_LOST for any
// other 5xx and 408, after which the request may have taken effect; UPSTREAM_PROTOCOL for the rest.
absl::Status StatusError(int status, std::string_view domain);

bool IsEventStream(const http::HttpClientResponse& response);
bool IsJson(const http::HttpClientResponse& response);

// The JSON-RPC error in the body of an HTTP error, given the id of its request even where the
// server left it out; an empty string when the body is something else.
std::string ErrorAnswer(const std::string& body, uint64_t request_id);

}  // namespace metamcp::connector
