#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace metamcp::testing {

using Json = nlohmann::json;

struct HttpAnswer {
  int status = 0;
  std::string head;
  std::string body;
  // A header's value, empty where absent.
  std::string Header(const std::string& name) const;
};

// One blocking connection to 127.0.0.1, on which a test may also say what no client would.
class HttpConnection {
 public:
  explicit HttpConnection(uint16_t port);
  ~HttpConnection();
  HttpConnection(HttpConnection&& other) noexcept : fd_(other.fd_), in_(std::move(other.in_)) {
    other.fd_ = -1;
  }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  bool Send(std::string_view text);
  // The next final answer with its whole body; nullopt when the connection ends or after `limit`.
  std::optional<HttpAnswer> Read(std::chrono::milliseconds limit = std::chrono::seconds(60));
  // The next answer's head alone, with status 200 to 599.
  std::optional<HttpAnswer> ReadHead(std::chrono::milliseconds limit = std::chrono::seconds(60));
  // Whether the other side closes within `limit`; reads and drops what still comes.
  bool Closes(std::chrono::milliseconds limit);
  // The next piece, empty at the end or after `limit`.
  std::string ReadSome(std::chrono::milliseconds limit);
  void ShutdownWrite();
  void Reset();  // closes with a RST

 private:
  int fd_;
  std::string in_;
};

// "http://127.0.0.1:1234/mcp" in its parts.
struct Url {
  explicit Url(const std::string& text);
  uint16_t port = 0;
  std::string host, path;
};

enum class ClientEra { kLegacy, kModern };
std::string EraName(ClientEra era);

// A plain MCP client over one HTTP connection. Legacy clients shake hands when constructed.
class McpClient {
 public:
  McpClient(const std::string& url, ClientEra era);

  // The whole JSON-RPC answer; {"error":{"code":0,…}} where none came. Events before the answer
  // are dropped.
  Json Call(const std::string& method, Json params = Json::object());
  Json CallTool(const std::string& name, Json arguments = Json::object());
  // The text of a tool's result; "error: …" for anything but a result without isError.
  std::string CallText(const std::string& name, Json arguments = Json::object());
  // Sends the request and leaves the answer to Finish.
  void Start(const std::string& method, Json params);
  Json Finish();
  std::vector<std::string> ToolNames();
  bool ok() const { return ok_; }
  int status() const { return status_; }
  const std::string& session() const { return session_; }
  HttpConnection& connection() { return connection_; }
  // The raw request as this client sends it.
  std::string RequestText(const std::string& method, Json params, const Json& id);

 private:
  const Url url_;
  const ClientEra era_;
  HttpConnection connection_;
  std::string session_;
  int64_t next_id_ = 0;
  int status_ = 0;
  bool ok_ = false;
};

}  // namespace metamcp::testing
