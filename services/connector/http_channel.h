#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <memory>

#include "common/async/task_group.h"
#include "common/http/http_client.h"
#include "services/connector/channel.h"
#include "services/connector/target.h"

namespace metamcp::connector {

struct HttpChannelOptions {
  Target target;
  std::shared_ptr<http::HttpClient> client;  // kept as long as the channel, where it owns its own
  size_t message_bytes_max = 33u << 20;
  std::chrono::milliseconds connect_timeout{10000};
  // Between two pieces of a stream; servers send comments every 15 to 30 s.
  std::chrono::milliseconds stream_idle{300000};
};

// A channel to an HTTP endpoint: Streamable HTTP of every revision, or (with `http_sse`) the two
// endpoints of 2024-11-05. `client` and `tasks` must outlive it.
std::shared_ptr<Channel> MakeHttpChannel(boost::asio::any_io_executor executor,
                                         http::HttpClient& client, TaskGroup& tasks,
                                         HttpChannelOptions options, bool http_sse);

}  // namespace metamcp::connector
