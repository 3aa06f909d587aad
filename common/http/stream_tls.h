#pragma once

#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <utility>

#include "common/http/stream.h"

namespace metamcp::http {

// What a Stream has on top of its socket, for those that put a layer of their own over it.
struct Stream::Tls {
  Tls(Socket& socket, std::shared_ptr<boost::asio::ssl::context> context_in)
      : context(std::move(context_in)), stream(socket, *context) {}
  std::shared_ptr<boost::asio::ssl::context> context;
  boost::asio::ssl::stream<Socket&> stream;
};

}  // namespace metamcp::http
