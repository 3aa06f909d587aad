#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "common/base/strings.h"
#include "tests/bench/lanes.h"
#include "tests/fixtures/http_text.h"

namespace metamcp::load {
namespace {

using fixtures::BodyState;

// Streams are opened in groups, so that the server's backlog holds them.
constexpr size_t kOpeningMax = 256;

class HttpLanes final : public Lanes {
 public:
  HttpLanes(fixtures::EventLoop& loop, LaneEvents& events, Work& work,
            std::vector<HttpTarget> targets, HttpUse use, size_t count)
      : loop_(loop), events_(events), work_(work), targets_(std::move(targets)), use_(use) {
    lanes_.resize(count);
    while (opened_ < count && opened_ < kOpeningMax) Open();
  }
  ~HttpLanes() override {
    for (Lane& lane : lanes_) Close(lane);
  }

  void Send(size_t index, Request request) override {
    Lane& lane = lanes_[index];
    lane.state = State::kBusy;
    lane.request = std::move(request);
    if (use_ == HttpUse::kGet) {
      Write(index, StrCat(Begin("GET", index), "Accept: application/json\r\n\r\n"));
    } else {
      Post(index, lane.request);
    }
  }

 private:
  enum class State { kConnecting, kInitialize, kInitialized, kFree, kBusy, kStreaming };
  struct Lane {
    int fd = -1;
    State state = State::kConnecting;
    std::string in;
    std::string session;
    Request request;
  };

  void Open() {
    const size_t index = opened_++;
    Lane& lane = lanes_[index];
    lane.fd = fixtures::ConnectLoopback(Target(index).port);
    if (lane.fd < 0) return Lose(index, "cannot connect");
    loop_.Add(lane.fd, EPOLLOUT, [this, index](uint32_t events) { OnEvents(index, events); });
  }

  void OnEvents(size_t index, uint32_t) {
    Lane& lane = lanes_[index];
    if (lane.state == State::kConnecting) {
      int error = 0;
      socklen_t size = sizeof(error);
      ::getsockopt(lane.fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return Lose(index, "cannot connect");
      loop_.Modify(lane.fd, EPOLLIN);
      if (work_.modern() || use_ == HttpUse::kGet) return Ready(index);
      lane.state = State::kInitialize;
      lane.request = work_.Initialize();
      Post(index, lane.request);
      return;
    }
    std::array<char, 65536> buffer;
    const ssize_t got = ::read(lane.fd, buffer.data(), buffer.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return Lose(index, "the server closed the connection");
    if (lane.state == State::kStreaming) return;  // what a stream says is not our business
    if (lane.in.empty() && lane.state == State::kBusy) events_.OnFirstByte(index);
    lane.in.append(buffer.data(), static_cast<size_t>(got));
    Read(index);
  }

  void Ready(size_t index) {
    Lane& lane = lanes_[index];
    lane.state = State::kFree;
    if (use_ != HttpUse::kStreams) return events_.OnFree(index);
    lane.state = State::kBusy;
    if (work_.modern()) {
      lane.request = work_.Next();
      Post(index, lane.request);
    } else {
      Write(index, StrCat(Begin("GET", index),
                          "Accept: text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n",
                          "Mcp-Session-Id: ", lane.session, "\r\n\r\n"));
    }
  }

  void Post(size_t index, const Request& request) {
    const Lane& lane = lanes_[index];
    std::string head =
        StrCat(Begin("POST", index), "Accept: application/json, text/event-stream\r\n",
               "Content-Type: application/json\r\n");
    if (work_.modern()) {
      head += StrCat("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: ", request.method, "\r\n");
      if (!request.name.empty()) head += StrCat("Mcp-Name: ", request.name, "\r\n");
    } else if (!lane.session.empty()) {
      head += StrCat("MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: ", lane.session, "\r\n");
    }
    Write(index, StrCat(head, "Content-Length: ", request.body.size(), "\r\n\r\n", request.body));
  }

  const HttpTarget& Target(size_t index) const { return targets_[index % targets_.size()]; }

  // The request line and the headers that every request has.
  std::string Begin(std::string_view method, size_t index) const {
    const HttpTarget& target = Target(index);
    std::string head = StrCat(method, " ", target.path, " HTTP/1.1\r\nHost: ", target.host, "\r\n");
    if (!target.key.empty()) head += StrCat("Authorization: Bearer ", target.key, "\r\n");
    return head;
  }

  void Write(size_t index, const std::string& text) {
    // Requests are small: the socket's buffer holds one.
    const ssize_t wrote = ::send(lanes_[index].fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (wrote != static_cast<ssize_t>(text.size())) Lose(index, "cannot write");
  }

  void Read(size_t index) {
    Lane& lane = lanes_[index];
    const size_t end = lane.in.find("\r\n\r\n");
    if (end == std::string::npos) return;
    const std::string_view head(lane.in.data(), end + 2);
    const int status = head.size() > 12 ? std::atoi(head.data() + 9) : 0;
    if (use_ == HttpUse::kStreams && lane.state == State::kBusy) {
      if (status != 200) return Lose(index, std::string(head));
      lane.state = State::kStreaming;
      lane.in.clear();
      lane.in.shrink_to_fit();
      events_.OnFree(index);
      if (opened_ < lanes_.size()) Open();
      return;
    }
    std::string body;
    size_t used = 0;
    const BodyState state =
        fixtures::ReadBody(head, std::string_view(lane.in).substr(end + 4), &body, &used);
    if (state == BodyState::kBad) return Lose(index, "bad framing: " + std::string(head));
    if (state == BodyState::kIncomplete) return;
    const std::string session(fixtures::FindHeader(head, "Mcp-Session-Id").value_or(""));
    const bool closes = fixtures::FindHeader(head, "Connection").value_or("") == "close";
    lane.in.erase(0, end + 4 + used);
    Answer(index, status, body, session);
    if (closes && lanes_[index].fd >= 0) Lose(index, "the server wants to close");
  }

  void Answer(size_t index, int status, const std::string& body, const std::string& session) {
    Lane& lane = lanes_[index];
    if (lane.state == State::kInitialize) {
      const std::string problem = Work::Judge(lane.request, body);
      if (!problem.empty()) return Lose(index, "initialize: " + problem);
      lane.session = session;
      lane.state = State::kInitialized;
      Request initialized;
      initialized.body = R"({"jsonrpc":"2.0","method":"notifications/initialized"})";
      return Post(index, initialized);
    }
    if (lane.state == State::kInitialized) {
      if (status != 202) return Lose(index, StrCat("initialized: status ", status));
      return Ready(index);
    }
    std::string problem;
    if (status != 200) {
      problem = StrCat("status ", status, ": ", body.substr(0, 300));
    } else if (use_ != HttpUse::kGet) {
      problem = Work::Judge(lane.request, body);
    }
    lane.state = State::kFree;
    events_.OnAnswer(index, std::move(problem));
    if (lane.state == State::kFree) events_.OnFree(index);
  }

  void Lose(size_t index, std::string why) {
    Close(lanes_[index]);
    events_.OnLost(index, std::move(why));
  }

  void Close(Lane& lane) {
    if (lane.fd < 0) return;
    loop_.Remove(lane.fd);
    ::close(lane.fd);
    lane.fd = -1;
  }

  fixtures::EventLoop& loop_;
  LaneEvents& events_;
  Work& work_;
  const std::vector<HttpTarget> targets_;
  const HttpUse use_;
  size_t opened_ = 0;
  std::vector<Lane> lanes_;
};

}  // namespace

bool ParseTarget(const std::string& url, HttpTarget* target) {
  constexpr std::string_view kScheme = "http://127.0.0.1:";
  if (url.rfind(kScheme, 0) != 0) return false;
  const size_t slash = url.find('/', kScheme.size());
  target->port = static_cast<uint16_t>(std::atoi(url.c_str() + kScheme.size()));
  target->host = url.substr(7, slash == std::string::npos ? slash : slash - 7);
  target->path = slash == std::string::npos ? "/" : url.substr(slash);
  return target->port != 0;
}

std::unique_ptr<Lanes> ConnectHttp(fixtures::EventLoop& loop, LaneEvents& events, Work& work,
                                   std::vector<HttpTarget> targets, HttpUse use, size_t count) {
  return std::make_unique<HttpLanes>(loop, events, work, std::move(targets), use, count);
}

}  // namespace metamcp::load
