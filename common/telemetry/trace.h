#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"

// Spans of W3C traces. One call that is not recorded costs one load of an atomic pointer; a
// recorded span one allocation and one turn of a lock. Exporters run on a thread of their own.
namespace metamcp::trace {

using TraceId = std::array<uint8_t, 16>;
using SpanId = std::array<uint8_t, 8>;

// The parts of a traceparent.
struct Parent {
  TraceId trace{};
  SpanId span{};
  bool sampled = false;
};

// Reads a traceparent of version 00, or the part of a later one that is laid down (W3C Trace
// Context 2, sections 3.2 and 3.3). False for anything else.
bool ParseTraceparent(std::string_view text, Parent* parent);
std::string MakeTraceparent(const Parent& parent);
// The 32 hex digits of the trace; empty for what is not valid. A view into it.
std::string_view TraceIdOf(std::string_view traceparent);

// kPeer is the serving side of a call between our own processes: what its caller decided about
// recording holds, whatever follow_parent says. Exported as a server's.
enum class Kind { kInternal, kServer, kClient, kPeer };
using Value = std::variant<std::string, int64_t, double, bool>;

struct Attribute {
  std::string_view key;  // a literal, by OpenTelemetry's semantic conventions where they have one
  Value value;
};

// A finished span, as an exporter gets it. Times in nanoseconds since the epoch.
struct SpanData {
  TraceId trace{};
  SpanId span{};
  SpanId parent{};  // zeros: a root
  std::string tracestate;
  Kind kind = Kind::kInternal;
  std::string name;
  int64_t begun_ns = 0;
  int64_t ended_ns = 0;
  std::vector<Attribute> attributes;
  std::vector<Parent> links;
  bool failed = false;
  std::string failure;  // what a person reads
};

// Sends spans away. Called on one thread of the tracer; may block. Must return soon after its own
// time limit, because a stop waits for it.
class Exporter {
 public:
  virtual ~Exporter() = default;
  virtual absl::Status Export(std::vector<SpanData> spans) = 0;
};

struct Options {
  double ratio = 1;           // of traces that begin here, 0 to 1
  bool follow_parent = true;  // record what the caller records, and only that
  size_t queue_max = 16384;   // spans; further ones are dropped and counted
  size_t batch_max = 512;
  std::chrono::milliseconds delay{1000};  // between exports of less than a batch
};

// Begins to record; once per process at a time. Thread: any.
void Start(std::unique_ptr<Exporter> exporter, const Options& options);
// Sends what is left and ends. No span may begin or end meanwhile. Nothing happens without a Start.
void Stop();

struct Counts {
  uint64_t exported = 0;
  uint64_t dropped = 0;  // the queue was full
  uint64_t failed = 0;   // the exporter gave up
};
Counts CountsSoFar();

// Whether spans are recorded in this process.
bool Enabled();

// One span, or nothing where nothing is recorded. Ends with its destructor. Single-threaded.
class Span {
 public:
  Span() = default;
  // Begins a span named "name target" (or "name") below `context` (a TraceContext) and makes
  // `context` its own, so that what is called with it comes below. Without tracing `context` stays
  // as it is. An invalid one begins a trace.
  template <typename Context>
  Span(Kind kind, std::string_view name, std::string_view target, Context& context) {
    if (Enabled()) Begin(kind, name, target, context.traceparent, context.tracestate);
  }
  template <typename Context>
  Span(Kind kind, std::string_view name, Context& context) : Span(kind, name, {}, context) {}
  Span(Span&&) noexcept = default;
  Span& operator=(Span&& other) noexcept;
  ~Span() { End(); }

  bool recording() const { return data_ != nullptr; }
  void Set(std::string_view key, std::string_view value) {
    if (data_ != nullptr && !value.empty()) Add(key, std::string(value));
  }
  void Set(std::string_view key, const char* value) { Set(key, std::string_view(value)); }
  template <typename T>
  requires std::is_arithmetic_v<T>
  void Set(std::string_view key, T value) {
    if (data_ == nullptr) return;
    if constexpr (std::is_same_v<T, bool>) {
      Add(key, value);
    } else if constexpr (std::is_floating_point_v<T>) {
      Add(key, static_cast<double>(value));
    } else {
      Add(key, static_cast<int64_t>(value));
    }
  }
  // A span of another trace that this one goes on from.
  void Link(std::string_view traceparent);
  // Marks the span as failed; `type` (error.type) is a registered reason or a status code's name.
  void Fail(std::string_view type, std::string_view message);
  // The same of a status that is not ok: its reason, else its code.
  void Fail(const absl::Status& status);
  void End();

 private:
  void Begin(Kind kind, std::string_view name, std::string_view target, std::string& traceparent,
             std::string& tracestate);
  void Add(std::string_view key, Value value);
  std::unique_ptr<SpanData> data_;
};

}  // namespace metamcp::trace
