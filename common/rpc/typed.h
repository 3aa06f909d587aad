#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <utility>

#include "common/rpc/service.h"

// What generated code uses to go from typed messages to untyped ones and back.
namespace metamcp::rpc {

template <typename T>
T Take(MessagePtr message) {
  return std::move(*static_cast<T*>(message.get()));
}

template <typename T>
absl::StatusOr<MessagePtr> Untyped(absl::StatusOr<T> result) {
  if (!result.ok()) return result.status();
  return MessagePtr(std::make_unique<T>(*std::move(result)));
}

// A typed sink that writes into an untyped one, which must outlive it.
template <typename T>
class UntypedSink final : public Sink<T> {
 public:
  explicit UntypedSink(Sink<MessagePtr>& to) : to_(to) {}
  Awaitable<absl::Status> Write(T message) final {
    MessagePtr own = std::make_unique<T>(std::move(message));
    co_return co_await to_.Write(std::move(own));
  }

 private:
  Sink<MessagePtr>& to_;
};

// An untyped sink that writes into a typed one, which must outlive it.
template <typename T>
class TypedSink final : public Sink<MessagePtr> {
 public:
  explicit TypedSink(Sink<T>& to) : to_(to) {}
  Awaitable<absl::Status> Write(MessagePtr message) final {
    T own = Take<T>(std::move(message));
    co_return co_await to_.Write(std::move(own));
  }

 private:
  Sink<T>& to_;
};

}  // namespace metamcp::rpc
