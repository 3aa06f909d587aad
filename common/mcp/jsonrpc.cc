#include "common/mcp/jsonrpc.h"

#include <climits>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/unescape.h"

namespace metamcp::jsonrpc {
namespace {

using json::Kind;
using json::Member;

constexpr std::string_view kDomain = "jsonrpc";

ParseOutcome Refuse(int code, std::string_view message, Id id = {}) {
  ParseOutcome outcome;
  outcome.error.code = code;
  outcome.error.message = message;
  outcome.id = std::move(id);
  return outcome;
}

// The members of the top level that mean something, each with the number of its occurrences.
struct TopLevel {
  const Member* jsonrpc = nullptr;
  const Member* id = nullptr;
  const Member* method = nullptr;
  const Member* params = nullptr;
  const Member* result = nullptr;
  const Member* error = nullptr;
  bool id_twice = false;

  explicit TopLevel(const json::ObjectView& root) {
    for (const Member& m : root.members()) {
      if (m.key == "jsonrpc") jsonrpc = &m;
      if (m.key == "id") {
        id_twice = id != nullptr;
        id = &m;
      }
      if (m.key == "method") method = &m;
      if (m.key == "params") params = &m;
      if (m.key == "result") result = &m;
      if (m.key == "error") error = &m;
    }
  }
};

bool StringEquals(const Member& member, std::string_view expected) {
  if (!member.value.is_string()) return false;
  const std::string_view inside = member.value.raw.substr(1, member.value.raw.size() - 2);
  if (inside == expected) return true;
  return inside.find('\\') != std::string_view::npos && json::UnescapeTrusted(inside) == expected;
}

// The first fault of the request's or notification's own members, or OK.
std::optional<ErrorObject> CheckCall(const TopLevel& top) {
  const auto fault = [](int code, std::string_view message) {
    return ErrorObject{code, std::string(message), {}};
  };
  if (!top.method->value.is_string() || top.method->value.raw.size() <= 2) {
    return fault(kInvalidRequest, "method must be a string that is not empty");
  }
  if (top.result != nullptr || top.error != nullptr) {
    return fault(kInvalidRequest, "A message has a method, a result or an error, not two of them");
  }
  if (top.params == nullptr || top.params->value.is_object()) return std::nullopt;
  if (top.params->value.is_array()) return fault(kInvalidParams, "params must be an object");
  return fault(kInvalidRequest, "params must be an object");
}

std::optional<std::string> CheckResponse(const TopLevel& top) {
  if (top.result == nullptr && top.error == nullptr) return "method is missing";
  if (top.result != nullptr && top.error != nullptr) {
    return "A response has a result or an error, not both";
  }
  if (top.result != nullptr && top.id == nullptr) return "A result needs an id";
  if (top.error != nullptr && !top.error->value.is_object()) return "error must be an object";
  return std::nullopt;
}

absl::StatusOr<ErrorObject> ReadError(std::string_view raw, const json::ScanLimits& limits) {
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(raw, limits));
  ErrorObject error;
  const std::optional<std::int64_t> code = json::RawInt64(view.Raw("code"));
  if (!code.has_value() || *code < INT_MIN || *code > INT_MAX) {
    return MakeError("INVALID_REQUEST", kDomain, "error.code must be an integer");
  }
  std::optional<std::string> message = view.String("message");
  if (!message.has_value()) {
    return MakeError("INVALID_REQUEST", kDomain, "error.message must be a string");
  }
  error.code = static_cast<int>(*code);
  error.message = *std::move(message);
  error.data = view.Raw("data");
  return error;
}

void SetMethod(const Member& member, Envelope* envelope) {
  const std::string_view inside = member.value.raw.substr(1, member.value.raw.size() - 2);
  envelope->method = inside;
  if (inside.find('\\') != std::string_view::npos) {
    envelope->method_storage = json::UnescapeTrusted(inside);
    envelope->method = envelope->method_storage;
  }
}

// Completes an envelope whose members are read and free of duplicates.
ParseOutcome Classify(Envelope envelope, const TopLevel& top, const json::ScanLimits& limits) {
  if (top.jsonrpc == nullptr || !StringEquals(*top.jsonrpc, "2.0")) {
    return Refuse(kInvalidRequest, "jsonrpc must be \"2.0\"", envelope.id);
  }
  // Only an error may lack an id: its sender could not read one.
  const bool null_id = top.id != nullptr && !envelope.id.present();
  const bool error_without_id = top.method == nullptr && top.result == nullptr &&
                                top.id != nullptr && top.id->value.kind == Kind::kNull;
  if (null_id && !error_without_id) {
    return Refuse(kInvalidRequest, "id must be a string or an integer");
  }
  if (top.method != nullptr) {
    if (auto fault = CheckCall(top)) return Refuse(fault->code, fault->message, envelope.id);
    const Member* meta = envelope.params.Find("_meta");
    if (meta != nullptr && !meta->value.is_object()) {
      return Refuse(kInvalidParams, "params._meta must be an object", envelope.id);
    }
    envelope.kind = top.id != nullptr ? MessageKind::kRequest : MessageKind::kNotification;
    SetMethod(*top.method, &envelope);
  } else {
    if (auto fault = CheckResponse(top)) return Refuse(kInvalidRequest, *fault, envelope.id);
    envelope.kind = top.result != nullptr ? MessageKind::kResult : MessageKind::kError;
    if (top.result != nullptr) {
      envelope.result = top.result->value.raw;
    } else {
      absl::StatusOr<ErrorObject> error = ReadError(top.error->value.raw, limits);
      if (!error.ok()) return Refuse(kInvalidRequest, Sv(error.status().message()), envelope.id);
      envelope.error = *std::move(error);
    }
  }
  ParseOutcome outcome;
  outcome.id = envelope.id;
  outcome.envelope = std::move(envelope);
  return outcome;
}

void AppendField(std::string_view key, std::string_view raw, std::string* out) {
  out->append(key);
  out->append(raw);
}

}  // namespace

Id Id::Int(std::int64_t value) {
  Id id;
  id.kind_ = Kind::kInteger;
  id.raw_ = std::to_string(value);
  return id;
}

Id Id::String(std::string_view value) {
  Id id;
  id.kind_ = Kind::kString;
  id.raw_ = json::JsonQuote(value);
  return id;
}

absl::StatusOr<Id> Id::FromRaw(std::string_view raw) {
  METAMCP_ASSIGN_OR_RETURN(const json::Value value, json::ScanValue(raw));
  Id id;
  if (value.is_string()) {
    id.kind_ = Kind::kString;
    const bool escaped = value.raw.find('\\') != std::string_view::npos;
    id.raw_ =
        escaped ? json::JsonQuote(json::UnescapeTrusted(value.raw.substr(1, value.raw.size() - 2)))
                : std::string(value.raw);
    return id;
  }
  if (!value.is_integer()) {
    return MakeError("INVALID_REQUEST", kDomain, "id must be a string or an integer");
  }
  id.kind_ = Kind::kInteger;
  id.raw_ = value.raw == "-0" ? "0" : value.raw;
  return id;
}

std::optional<std::int64_t> Id::AsInt() const {
  return kind_ == Kind::kInteger ? json::RawInt64(raw_) : std::nullopt;
}

std::string Id::AsText() const {
  if (kind_ != Kind::kString) return raw_;
  return json::UnescapeTrusted(std::string_view(raw_).substr(1, raw_.size() - 2));
}

Envelope& Envelope::operator=(Envelope&& other) noexcept {
  if (this == &other) return *this;
  kind = other.kind;
  id = std::move(other.id);
  root = std::move(other.root);
  params = std::move(other.params);
  meta = std::move(other.meta);
  result = other.result;
  error = std::move(other.error);
  // The storage's short form moves with it, so the view is made anew.
  method_storage = std::move(other.method_storage);
  method = method_storage.empty() ? other.method : std::string_view(method_storage);
  return *this;
}

absl::Status ParseOutcome::status() const {
  if (ok()) return absl::OkStatus();
  const std::string_view reason = error.code == kParseError      ? "PARSE_ERROR"
                                  : error.code == kInvalidParams ? "INVALID_PARAMS"
                                                                 : "INVALID_REQUEST";
  return MakeError(reason, kDomain, error.message);
}

ParseOutcome ParseEnvelope(std::string_view text, const json::ScanLimits& limits) {
  json::Cursor cursor(text, limits);
  Kind kind;
  if (!cursor.Peek(&kind)) return Refuse(kParseError, Sv(cursor.status().message()));
  if (kind != Kind::kObject) {
    if (const auto value = json::ScanValue(text, limits); !value.ok()) {
      return Refuse(kParseError, Sv(value.status().message()));
    }
    return Refuse(kInvalidRequest, kind == Kind::kArray ? "Batches are not supported here"
                                                        : "A message must be an object");
  }
  Envelope envelope;
  const json::Descend meta{"_meta", &envelope.meta, nullptr};
  const json::Descend params{"params", &envelope.params, &meta};
  bool duplicate = false;
  if (!json::ReadObject(cursor, limits, &params, &envelope.root, &duplicate) || !cursor.Finish()) {
    return Refuse(kParseError, Sv(cursor.status().message()));
  }
  const TopLevel top(envelope.root);
  if (top.id != nullptr && !top.id_twice) {
    if (auto id = Id::FromRaw(top.id->value.raw); id.ok()) envelope.id = *std::move(id);
  }
  if (duplicate) return Refuse(kInvalidRequest, "Duplicate key", envelope.id);
  return Classify(std::move(envelope), top, limits);
}

bool IsBatch(std::string_view text) {
  const std::size_t at = text.find_first_not_of(" \t\r\n");
  return at != std::string_view::npos && text[at] == '[';
}

absl::StatusOr<std::vector<std::string_view>> ParseBatch(std::string_view text,
                                                         std::size_t messages_max,
                                                         const json::ScanLimits& limits) {
  json::ScanLimits bounded = limits;
  // The elements lie one level down; each is measured by itself when it is parsed.
  bounded.depth_max += 1;
  METAMCP_ASSIGN_OR_RETURN(const std::vector<json::Value> values, json::ScanArray(text, bounded));
  if (values.empty()) return MakeError("INVALID_REQUEST", kDomain, "The batch is empty");
  if (values.size() > messages_max) {
    return MakeError("INVALID_REQUEST", kDomain,
                     StrCat("The batch holds more than ", messages_max, " messages"));
  }
  std::vector<std::string_view> messages;
  messages.reserve(values.size());
  for (const json::Value& v : values) messages.push_back(v.raw);
  return messages;
}

std::string MakeRequest(const Id& id, std::string_view method, std::string_view raw_params) {
  std::string out;
  out.reserve(64 + method.size() + raw_params.size());
  AppendField(R"({"jsonrpc":"2.0","id":)", id.raw(), &out);
  out.append(",\"method\":");
  json::AppendJsonQuoted(method, &out);
  if (!raw_params.empty()) AppendField(",\"params\":", raw_params, &out);
  out.push_back('}');
  return out;
}

std::string MakeNotification(std::string_view method, std::string_view raw_params) {
  std::string out = R"({"jsonrpc":"2.0","method":)";
  json::AppendJsonQuoted(method, &out);
  if (!raw_params.empty()) AppendField(",\"params\":", raw_params, &out);
  out.push_back('}');
  return out;
}

std::string MakeResult(const Id& id, std::string_view raw_result) {
  std::string out;
  out.reserve(64 + raw_result.size());
  AppendField(R"({"jsonrpc":"2.0","id":)", id.raw(), &out);
  AppendField(",\"result\":", raw_result.empty() ? std::string_view("{}") : raw_result, &out);
  out.push_back('}');
  return out;
}

std::string MakeErrorResponse(const Id& id, int code, std::string_view message,
                              std::string_view raw_data) {
  std::string out;
  AppendField(R"({"jsonrpc":"2.0","id":)", id.raw(), &out);
  AppendField(R"(,"error":{"code":)", std::to_string(code), &out);
  out.append(",\"message\":");
  json::AppendJsonQuoted(message, &out);
  if (!raw_data.empty()) AppendField(",\"data\":", raw_data, &out);
  out.append("}}");
  return out;
}

std::string MakeErrorResponse(const Id& id, const ErrorObject& error) {
  return MakeErrorResponse(id, error.code, error.message, error.data);
}

std::string MakeBatch(const std::vector<std::string>& messages) {
  std::string out = "[";
  for (const std::string& m : messages) {
    if (out.size() > 1) out.push_back(',');
    out.append(m);
  }
  out.push_back(']');
  return out;
}

}  // namespace metamcp::jsonrpc
