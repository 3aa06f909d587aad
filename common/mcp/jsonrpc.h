#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/json/scan.h"

// JSON-RPC 2.0 as MCP uses it: ids are strings or integers, params are objects. Knows nothing of
// MCP's methods. Sources: JSON-RPC 2.0; MCP "Base Protocol".
namespace metamcp::jsonrpc {

inline constexpr int kParseError = -32700;
inline constexpr int kInvalidRequest = -32600;
inline constexpr int kMethodNotFound = -32601;
inline constexpr int kInvalidParams = -32602;
inline constexpr int kInternalError = -32603;

// A request id with its JSON type: 1 and "1" are different ids. Integers of any size are kept as
// written. A default-made Id is "no id".
class Id {
 public:
  enum class Kind : std::uint8_t { kNone, kInteger, kString };

  Id() = default;
  static Id Int(std::int64_t value);
  static Id String(std::string_view value);
  // From a raw JSON value. Errors: INVALID_REQUEST for anything but a string or an integer.
  static absl::StatusOr<Id> FromRaw(std::string_view raw);

  Kind kind() const { return kind_; }
  bool present() const { return kind_ != Kind::kNone; }
  // As it goes on the wire; "null" when there is none.
  std::string_view raw() const { return kind_ == Kind::kNone ? std::string_view("null") : raw_; }
  std::optional<std::int64_t> AsInt() const;
  // The string's content, or the integer's digits; for logs and maps of one kind.
  std::string AsText() const;

  // Equal ids have the same type and the same value, however it is spelled.
  friend bool operator==(const Id& a, const Id& b) {
    return a.kind_ == b.kind_ && a.raw_ == b.raw_;
  }
  template <typename H>
  friend H AbslHashValue(H h, const Id& id) {
    return H::combine(std::move(h), static_cast<int>(id.kind_), id.raw_);
  }
  friend bool operator<(const Id& a, const Id& b) {
    return a.kind_ != b.kind_ ? a.kind_ < b.kind_ : a.raw_ < b.raw_;
  }

 private:
  Kind kind_ = Kind::kNone;
  std::string raw_;  // JSON spelling; strings are re-quoted in one form so that == can compare it
};

struct ErrorObject {
  int code = 0;
  std::string message;
  std::string data;  // raw JSON, empty when absent
};

enum class MessageKind : std::uint8_t { kRequest, kNotification, kResult, kError };

// One message, as views into its text (which must outlive it). Move only.
struct Envelope {
  MessageKind kind = MessageKind::kRequest;
  Id id;                    // none for notifications, and for errors whose sender had none
  std::string_view method;  // unescaped; requests and notifications
  json::ObjectView root;
  json::ObjectView params;     // not present() when there are none
  json::ObjectView meta;       // params._meta; not present() when there is none
  std::string_view result;     // raw; results
  ErrorObject error;           // errors
  std::string method_storage;  // holds `method` when it was written with escapes

  Envelope() = default;
  Envelope(Envelope&& other) noexcept { *this = std::move(other); }
  Envelope& operator=(Envelope&& other) noexcept;

  bool is_call() const { return kind == MessageKind::kRequest; }
  bool is_response() const { return kind == MessageKind::kResult || kind == MessageKind::kError; }
  // Raw params, empty when absent.
  std::string_view raw_params() const { return params.text(); }
};

// What ParseEnvelope found: a message, or the error to answer with. The id is set in both cases
// whenever it could be read.
struct ParseOutcome {
  std::optional<Envelope> envelope;
  ErrorObject error;
  Id id;

  bool ok() const { return envelope.has_value(); }
  // PARSE_ERROR, INVALID_REQUEST or INVALID_PARAMS; OK if there is a message.
  absl::Status status() const;
};

// Reads one message in one pass. Refused with -32700: malformed, too deep, too large. With -32600:
// no object (a batch included), duplicate keys after unescaping at the top level, in params or in
// params._meta, jsonrpc other than "2.0", an id that is no string or integer, a missing or empty
// method, both result and error, params that are neither object nor array. With -32602: params
// that are an array, params._meta that is no object.
ParseOutcome ParseEnvelope(std::string_view text, const json::ScanLimits& limits = {});

// True if the first byte that is not white space opens an array.
bool IsBatch(std::string_view text);

// Splits a batch into its raw messages. Errors: PARSE_ERROR; INVALID_REQUEST when it is empty or
// holds more than `messages_max`.
absl::StatusOr<std::vector<std::string_view>> ParseBatch(std::string_view text,
                                                         std::size_t messages_max = 100,
                                                         const json::ScanLimits& limits = {});

// Writers. Raw arguments must be valid JSON; empty means absent (a result then is {}).
std::string MakeRequest(const Id& id, std::string_view method, std::string_view raw_params);
std::string MakeNotification(std::string_view method, std::string_view raw_params);
std::string MakeResult(const Id& id, std::string_view raw_result);
std::string MakeErrorResponse(const Id& id, int code, std::string_view message,
                              std::string_view raw_data = {});
std::string MakeErrorResponse(const Id& id, const ErrorObject& error);
std::string MakeBatch(const std::vector<std::string>& messages);

}  // namespace metamcp::jsonrpc
