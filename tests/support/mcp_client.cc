#include "tests/support/mcp_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <sstream>

#include "tests/fixtures/http_text.h"

namespace metamcp::testing {
namespace {

using Clock = std::chrono::steady_clock;

// Reads a body that ends with the connection, as HTTP/1.0 streams do.
bool EndsWithConnection(std::string_view head) {
  return !fixtures::FindHeader(head, "Content-Length") &&
         !fixtures::FindHeader(head, "Transfer-Encoding");
}

// The last JSON-RPC answer of a body, whichever form it has.
Json AnswerOf(const HttpAnswer& answer) {
  if (answer.Header("Content-Type").rfind("text/event-stream", 0) != 0) {
    return Json::parse(answer.body, nullptr, false);
  }
  Json found;
  std::istringstream lines(answer.body);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("data:", 0) != 0) continue;
    Json message = Json::parse(line.substr(5), nullptr, false);
    if (message.is_object() && (message.contains("result") || message.contains("error"))) {
      found = std::move(message);
    }
  }
  return found;
}

}  // namespace

std::string HttpAnswer::Header(const std::string& name) const {
  return std::string(fixtures::FindHeader(head, name).value_or(""));
}

HttpConnection::HttpConnection(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

HttpConnection::~HttpConnection() {
  if (fd_ >= 0) ::close(fd_);
}

bool HttpConnection::Send(std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    if (wrote <= 0) return false;
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  return true;
}

std::string HttpConnection::ReadSome(std::chrono::milliseconds limit) {
  pollfd waiting{fd_, POLLIN, 0};
  if (::poll(&waiting, 1, static_cast<int>(limit.count())) <= 0) return "";
  std::array<char, 65536> block;
  const ssize_t got = ::read(fd_, block.data(), block.size());
  return got <= 0 ? "" : std::string(block.data(), static_cast<size_t>(got));
}

std::optional<HttpAnswer> HttpConnection::ReadHead(std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  for (;;) {
    const size_t end = in_.find("\r\n\r\n");
    if (end == std::string::npos) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
      const std::string more = left.count() > 0 ? ReadSome(left) : "";
      if (more.empty()) return std::nullopt;
      in_ += more;
      continue;
    }
    HttpAnswer answer;
    answer.head = in_.substr(0, end + 2);
    answer.status = answer.head.size() > 12 ? std::atoi(answer.head.c_str() + 9) : 0;
    in_.erase(0, end + 4);
    if (answer.status >= 200) return answer;
  }
}

std::optional<HttpAnswer> HttpConnection::Read(std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  std::optional<HttpAnswer> answer = ReadHead(limit);
  if (!answer) return std::nullopt;
  if (answer->status == 204 || answer->status == 304) return answer;
  const bool to_end = EndsWithConnection(answer->head);
  for (;;) {
    size_t used = 0;
    const auto state = fixtures::ReadBody(answer->head, in_, &answer->body, &used);
    if (!to_end && state == fixtures::BodyState::kBad) return std::nullopt;
    if (!to_end && state == fixtures::BodyState::kComplete) {
      in_.erase(0, used);
      return answer;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    const std::string more = left.count() > 0 ? ReadSome(left) : "";
    if (more.empty() && !to_end) return std::nullopt;
    if (more.empty()) {
      answer->body = std::exchange(in_, "");
      return answer;
    }
    in_ += more;
  }
}

bool HttpConnection::Closes(std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  std::array<char, 65536> block;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    pollfd waiting{fd_, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) return false;
    if (::read(fd_, block.data(), block.size()) <= 0) return true;
  }
}

void HttpConnection::ShutdownWrite() { ::shutdown(fd_, SHUT_WR); }

void HttpConnection::Reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  ::close(fd_);
  fd_ = -1;
}

Url::Url(const std::string& text) {
  const size_t begin = text.find("://") + 3;
  const size_t slash = text.find('/', begin);
  host = text.substr(begin, slash - begin);
  path = slash == std::string::npos ? "/" : text.substr(slash);
  port = static_cast<uint16_t>(std::atoi(host.c_str() + host.rfind(':') + 1));
}

std::string EraName(ClientEra era) { return era == ClientEra::kModern ? "modern" : "legacy"; }

McpClient::McpClient(const std::string& url, ClientEra era)
    : url_(url), era_(era), connection_(url_.port) {
  if (era_ == ClientEra::kModern) {
    ok_ = true;
    return;
  }
  const Json params = {{"protocolVersion", "2025-11-25"},
                       {"capabilities", Json::object()},
                       {"clientInfo", {{"name", "test"}, {"version", "1"}}}};
  connection_.Send(RequestText("initialize", params, ++next_id_));
  const auto answer = connection_.Read();
  if (!answer || answer->status != 200) return;
  session_ = answer->Header("Mcp-Session-Id");
  connection_.Send(RequestText("notifications/initialized", Json::object(), nullptr));
  const auto accepted = connection_.Read();
  ok_ = accepted && accepted->status == 202;
}

std::string McpClient::RequestText(const std::string& method, Json params, const Json& id) {
  std::string head = "POST " + url_.path + " HTTP/1.1\r\nHost: " + url_.host +
                     "\r\nContent-Type: application/json\r\n"
                     "Accept: application/json, text/event-stream\r\n";
  Json message = {{"jsonrpc", "2.0"}, {"method", method}};
  if (!id.is_null()) message["id"] = id;
  if (era_ == ClientEra::kModern) {
    head += "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: " + method + "\r\n";
    const std::string key = method == "resources/read" ? "uri" : "name";
    if (params.contains(key)) head += "Mcp-Name: " + params[key].get<std::string>() + "\r\n";
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28";
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = Json::object();
  } else if (!session_.empty()) {
    head += "MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: " + session_ + "\r\n";
  }
  if (!params.empty()) message["params"] = std::move(params);
  const std::string body = message.dump();
  return head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

void McpClient::Start(const std::string& method, Json params) {
  connection_.Send(RequestText(method, std::move(params), ++next_id_));
}

Json McpClient::Finish() {
  const Json none = {{"error", {{"code", 0}, {"message", "no answer"}}}};
  const auto answer = connection_.Read();
  if (!answer) return none;
  status_ = answer->status;
  Json message = AnswerOf(*answer);
  if (!message.is_object()) return none;
  if (message.value("id", Json()) != Json(next_id_)) {
    return {{"error", {{"code", 0}, {"message", "another id: " + message.dump()}}}};
  }
  return message;
}

Json McpClient::Call(const std::string& method, Json params) {
  Start(method, std::move(params));
  return Finish();
}

Json McpClient::CallTool(const std::string& name, Json arguments) {
  return Call("tools/call", {{"name", name}, {"arguments", std::move(arguments)}});
}

std::string McpClient::CallText(const std::string& name, Json arguments) {
  const Json answer = CallTool(name, std::move(arguments));
  const Json text = answer.value(Json::json_pointer("/result/content/0/text"), Json());
  const bool is_error = answer.value(Json::json_pointer("/result/isError"), false);
  if (!text.is_string() || is_error) return "error: " + answer.dump().substr(0, 1000);
  return text.get<std::string>();
}

std::vector<std::string> McpClient::ToolNames() {
  std::vector<std::string> names;
  Json params = Json::object();
  for (int page = 0; page < 1000; ++page) {
    const Json answer = Call("tools/list", params);
    const Json result = answer.value("result", Json::object());
    for (const Json& tool : result.value("tools", Json::array())) names.push_back(tool["name"]);
    if (!result.contains("nextCursor")) break;
    params["cursor"] = result["nextCursor"];
  }
  return names;
}

}  // namespace metamcp::testing
