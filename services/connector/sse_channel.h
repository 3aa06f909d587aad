#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "services/connector/http_channel.h"

namespace metamcp::connector {

// HTTP with SSE as 2024-11-05 has it: one GET stream brings every message of the server, its first
// event names the URL to which ours are POSTed. That URL must have the origin of the stream: it
// receives the configured headers. Source: MCP 2024-11-05 basic/transports.
std::shared_ptr<Channel> MakeSseChannel(boost::asio::any_io_executor executor,
                                        http::HttpClient& client, TaskGroup& tasks,
                                        HttpChannelOptions options);

}  // namespace metamcp::connector
