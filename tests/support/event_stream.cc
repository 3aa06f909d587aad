#include "tests/support/event_stream.h"

#include <sstream>

namespace metamcp::testing {
namespace {

using Clock = std::chrono::steady_clock;

std::chrono::milliseconds Left(Clock::time_point until) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
}

}  // namespace

EventStream::EventStream(const std::string& url, const std::string& method, const Headers& headers,
                         const std::string& body) {
  const Url at(url);
  connection_.emplace(at.port);
  // HTTP/1.0: a stream without chunks.
  std::string text = method + " " + at.path + " HTTP/1.0\r\nHost: " + at.host + "\r\n";
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  if (!body.empty()) {
    text +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  connection_->Send(text + "\r\n" + body);
}

bool EventStream::More(Clock::time_point until) {
  if (ended_ || !connection_) return false;
  const auto left = Left(until);
  const std::string more = left.count() > 0 ? connection_->ReadSome(left) : "";
  // Silence that lasted the whole time is no end.
  if (more.empty() && Left(until).count() > 0) ended_ = true;
  in_ += more;
  return !more.empty();
}

bool EventStream::Head(Clock::time_point until) {
  while (head_.status == 0) {
    const size_t end = in_.find("\r\n\r\n");
    if (end == std::string::npos) {
      if (!More(until)) return false;
      continue;
    }
    HttpAnswer head;
    head.head = in_.substr(0, end + 2);
    head.status = head.head.size() > 12 ? std::atoi(head.head.c_str() + 9) : 0;
    in_.erase(0, end + 4);
    if (head.status >= 200) head_ = std::move(head);
  }
  return true;
}

int EventStream::status() {
  Head(Clock::now() + std::chrono::seconds(30));
  return head_.status;
}

std::string EventStream::Header(const std::string& name) {
  status();
  return head_.Header(name);
}

std::optional<Json> EventStream::Next(std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  if (!Head(until)) return std::nullopt;
  if (head_.Header("Content-Type").rfind("text/event-stream", 0) != 0) {
    while (More(until)) {
    }
    const Json answer = Json::parse(std::exchange(in_, ""), nullptr, false);
    return answer.is_object() ? std::optional<Json>(answer) : std::nullopt;
  }
  while (const auto text = NextText(Left(until))) {
    const Json message = Json::parse(*text, nullptr, false);
    if (message.is_object()) return message;
  }
  return std::nullopt;
}

std::optional<std::string> EventStream::NextText(std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  if (!Head(until)) return std::nullopt;
  for (;;) {
    const size_t end = in_.find("\n\n");
    if (end == std::string::npos) {
      if (!More(until)) return std::nullopt;
      continue;
    }
    std::istringstream lines(in_.substr(0, end));
    in_.erase(0, end + 2);
    std::string data;
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("id:", 0) == 0) last_id_ = line.substr(line[3] == ' ' ? 4 : 3);
      if (line.rfind("data:", 0) == 0) data += line.substr(line[5] == ' ' ? 6 : 5);
    }
    if (!data.empty()) return data;
  }
}

std::optional<Json> EventStream::Find(const std::string& method, std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  for (;;) {
    auto message = Next(Left(until));
    if (!message) return std::nullopt;
    if (message->value("method", "") == method) return message;
  }
}

bool EventStream::Ends(std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  while (More(until)) {
  }
  return ended_;
}

RovingClient::RovingClient(const std::string& url, const std::string& version, Json capabilities) {
  const Json params = {{"protocolVersion", version},
                       {"capabilities", std::move(capabilities)},
                       {"clientInfo", {{"name", "roving"}, {"version", "1"}}}};
  EventStream hello = Request(url, "initialize", params);
  (void)hello.Next();
  session_ = hello.Header("Mcp-Session-Id");
  Notify(url, "notifications/initialized");
}

EventStream::Headers RovingClient::SessionHeaders() const {
  EventStream::Headers headers = {{"Accept", "application/json, text/event-stream"}};
  if (!session_.empty()) headers["Mcp-Session-Id"] = session_;
  return headers;
}

EventStream RovingClient::Request(const std::string& url, const std::string& method, Json params) {
  const Json message = {
      {"jsonrpc", "2.0"}, {"id", ++next_id_}, {"method", method}, {"params", std::move(params)}};
  return EventStream(url, "POST", SessionHeaders(), message.dump());
}

EventStream RovingClient::CallTool(const std::string& url, const std::string& name,
                                   Json arguments) {
  return Request(url, "tools/call", {{"name", name}, {"arguments", std::move(arguments)}});
}

int RovingClient::Notify(const std::string& url, const std::string& method, Json params) {
  const Json message = {{"jsonrpc", "2.0"}, {"method", method}, {"params", std::move(params)}};
  return EventStream(url, "POST", SessionHeaders(), message.dump()).status();
}

int RovingClient::Answer(const std::string& url, const Json& question, Json result) {
  const Json message = {
      {"jsonrpc", "2.0"}, {"id", question.value("id", Json())}, {"result", std::move(result)}};
  return EventStream(url, "POST", SessionHeaders(), message.dump()).status();
}

EventStream RovingClient::Get(const std::string& url, const std::string& last_id) {
  EventStream::Headers headers = SessionHeaders();
  headers["Accept"] = "text/event-stream";
  if (!last_id.empty()) headers["Last-Event-ID"] = last_id;
  return EventStream(url, "GET", headers);
}

int RovingClient::Delete(const std::string& url) {
  return EventStream(url, "DELETE", SessionHeaders()).status();
}

}  // namespace metamcp::testing
