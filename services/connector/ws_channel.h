#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "services/connector/http_channel.h"

namespace metamcp::connector {

// MCP over WebSocket: the subprotocol `mcp`, one message in each text frame, otherwise as over
// stdio: the connection is the session. Idle connections are pinged. `client` and `tasks` must
// outlive the channel.
std::shared_ptr<Channel> MakeWsChannel(boost::asio::any_io_executor executor,
                                       http::HttpClient& client, TaskGroup& tasks,
                                       HttpChannelOptions options);

}  // namespace metamcp::connector
