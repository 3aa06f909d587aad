#pragma once

#include <boost/asio/awaitable.hpp>

#include "absl/status/status.h"

namespace metamcp {

template <typename T>
using Awaitable = boost::asio::awaitable<T>;

// Where a server-streaming method writes its messages. Write is awaited: it returns once the
// reader has room (back-pressure), and CANCELLED when nobody reads any more.
template <typename T>
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Awaitable<absl::Status> Write(T message) = 0;
};

}  // namespace metamcp
