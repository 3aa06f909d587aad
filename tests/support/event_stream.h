#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "tests/support/mcp_client.h"

namespace metamcp::testing {

// One HTTP exchange whose answer may be an event stream, read as it comes.
class EventStream {
 public:
  using Headers = std::map<std::string, std::string>;
  EventStream(const std::string& url, const std::string& method, const Headers& headers,
              const std::string& body = "");

  // Of the answer, once its head is there; 0 if none comes.
  int status();
  std::string Header(const std::string& name);
  // The data of the next event that has any; nullopt at the end or after `limit`.
  std::optional<std::string> NextText(std::chrono::milliseconds limit = std::chrono::seconds(30));
  // The next message; nullopt at the end of the stream or after `limit`. A JSON answer is its only
  // message.
  std::optional<Json> Next(std::chrono::milliseconds limit = std::chrono::seconds(30));
  // The next message with this method, or the answer to a request where it is empty.
  std::optional<Json> Find(const std::string& method,
                           std::chrono::milliseconds limit = std::chrono::seconds(30));
  // Whether it ends within `limit`; what still comes is dropped.
  bool Ends(std::chrono::milliseconds limit = std::chrono::seconds(30));
  // Of the last event that had one.
  const std::string& last_id() const { return last_id_; }
  void Close() { connection_.reset(); }

 private:
  bool More(std::chrono::steady_clock::time_point until);
  bool Head(std::chrono::steady_clock::time_point until);

  std::optional<HttpConnection> connection_;
  std::string in_;
  HttpAnswer head_;
  bool ended_ = false;
  std::string last_id_;
};

// A legacy client that sends each message to whichever gateway it is told.
class RovingClient {
 public:
  // Shakes hands with the gateway at `url`.
  explicit RovingClient(const std::string& url, const std::string& version = "2025-11-25",
                        Json capabilities = Json::object());
  const std::string& session() const { return session_; }

  // Sends a request; its answer, or its stream, is read from what is returned.
  EventStream Request(const std::string& url, const std::string& method, Json params);
  EventStream CallTool(const std::string& url, const std::string& name,
                       Json arguments = Json::object());
  // The id of the last request.
  int64_t last_request() const { return next_id_; }
  // Sends a notification, or the answer to a question; the HTTP status.
  int Notify(const std::string& url, const std::string& method, Json params = Json::object());
  int Answer(const std::string& url, const Json& question, Json result);
  // The session's stream, or the rest of the one that `last_id` belongs to.
  EventStream Get(const std::string& url, const std::string& last_id = "");
  int Delete(const std::string& url);

 private:
  EventStream::Headers SessionHeaders() const;
  std::string session_;
  int64_t next_id_ = 0;
};

}  // namespace metamcp::testing
