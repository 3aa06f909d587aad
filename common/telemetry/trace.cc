#include "common/telemetry/trace.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "common/base/error.h"
#include "common/telemetry/log.h"

namespace metamcp::trace {
namespace {

constexpr size_t kTraceparentSize = 55;  // 00-<32>-<16>-<2>

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Ids need not be secret (W3C Trace Context 2, section 7.1), only random.
std::mt19937_64& Random() {
  thread_local std::mt19937_64 random = [] {
    std::random_device seed;
    std::seed_seq words{seed(), seed(), seed(), seed()};
    return std::mt19937_64(words);
  }();
  return random;
}

template <size_t N>
void Fill(std::array<uint8_t, N>& id) {
  static_assert(N % 8 == 0);
  do {
    for (size_t at = 0; at < N; at += 8) {
      const uint64_t word = Random()();
      for (size_t i = 0; i < 8; ++i) id[at + i] = static_cast<uint8_t>(word >> (8 * i));
    }
  } while (id == std::array<uint8_t, N>{});  // zeros mean none
}

int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool ReadHex(std::string_view text, uint8_t* out) {
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = Digit(text[i]), low = Digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    *out++ = static_cast<uint8_t>(high * 16 + low);
  }
  return true;
}

template <size_t N>
void WriteHex(const std::array<uint8_t, N>& id, std::string& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (const uint8_t byte : id) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
}

// Takes finished spans and gives them to the exporter on its own thread.
class Tracer {
 public:
  Tracer(std::unique_ptr<Exporter> exporter, const Options& options)
      : options_(options), exporter_(std::move(exporter)), thread_([this] { Run(); }) {}
  ~Tracer() {
    {
      const std::lock_guard lock(mu_);
      stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  const Options& options() const { return options_; }

  bool Sample() const {
    if (options_.ratio >= 1) return true;
    return std::uniform_real_distribution<double>(0, 1)(Random()) < options_.ratio;
  }

  void Take(SpanData span) {
    bool full = false;
    {
      const std::lock_guard lock(mu_);
      if (queue_.size() >= options_.queue_max) {
        ++counts_.dropped;
        return;
      }
      queue_.push_back(std::move(span));
      full = queue_.size() == options_.batch_max;
    }
    if (full) changed_.notify_one();
  }

  Counts counts() const {
    const std::lock_guard lock(mu_);
    return counts_;
  }

 private:
  void Run() {
    std::unique_lock lock(mu_);
    while (true) {
      changed_.wait_for(lock, options_.delay,
                        [this] { return stopping_ || queue_.size() >= options_.batch_max; });
      const bool last = stopping_;
      // A stop waits for one time limit of a collector that hangs, not for one of each batch.
      while (!queue_.empty() && !(stopping_ && !working_)) Send(lock);
      if (!last) continue;
      counts_.dropped += queue_.size();
      return;
    }
  }

  void Send(std::unique_lock<std::mutex>& lock) {
    std::vector<SpanData> batch;
    if (queue_.size() <= options_.batch_max) {
      batch.swap(queue_);
    } else {
      const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(options_.batch_max);
      batch.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
      queue_.erase(queue_.begin(), end);
    }
    const size_t size = batch.size();
    lock.unlock();
    const absl::Status status = exporter_->Export(std::move(batch));
    if (status.ok() != working_) {
      working_ = status.ok();
      Log(working_ ? LogLevel::kInfo : LogLevel::kWarning,
          working_ ? "traces.exported_again" : "traces.not_exported",
          {{"error", std::string(status.message())}});
    }
    lock.lock();
    (status.ok() ? counts_.exported : counts_.failed) += size;
  }

  const Options options_;
  const std::unique_ptr<Exporter> exporter_;
  bool working_ = true;  // the thread's
  mutable std::mutex mu_;
  std::condition_variable changed_;
  std::vector<SpanData> queue_;  // guarded by mu_, as are the next two
  Counts counts_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

std::atomic<Tracer*> g_tracer{nullptr};

}  // namespace

bool ParseTraceparent(std::string_view text, Parent* parent) {
  uint8_t version = 0, flags = 0;
  Parent out;
  if (text.size() < kTraceparentSize || text[2] != '-' || text[35] != '-' || text[52] != '-' ||
      !ReadHex(text.substr(0, 2), &version) || version == 0xff ||
      !ReadHex(text.substr(3, 32), out.trace.data()) ||
      !ReadHex(text.substr(36, 16), out.span.data()) || !ReadHex(text.substr(53, 2), &flags)) {
    return false;
  }
  const bool longer = text.size() > kTraceparentSize;
  if (longer && (version == 0 || text[kTraceparentSize] != '-')) return false;
  if (out.trace == TraceId{} || out.span == SpanId{}) return false;
  out.sampled = (flags & 1) != 0;
  *parent = out;
  return true;
}

std::string MakeTraceparent(const Parent& parent) {
  std::string out = "00-";
  out.reserve(kTraceparentSize);
  WriteHex(parent.trace, out);
  out += '-';
  WriteHex(parent.span, out);
  out += parent.sampled ? "-01" : "-00";
  return out;
}

std::string_view TraceIdOf(std::string_view traceparent) {
  Parent parent;
  return ParseTraceparent(traceparent, &parent) ? traceparent.substr(3, 32) : std::string_view();
}

void Start(std::unique_ptr<Exporter> exporter, const Options& options) {
  Stop();
  g_tracer = new Tracer(std::move(exporter), options);
}

void Stop() { delete g_tracer.exchange(nullptr); }

bool Enabled() { return g_tracer.load(std::memory_order_relaxed) != nullptr; }

Counts CountsSoFar() {
  const Tracer* tracer = g_tracer;
  return tracer == nullptr ? Counts() : tracer->counts();
}

void Span::Begin(Kind kind, std::string_view name, std::string_view target,
                 std::string& traceparent, std::string& tracestate) {
  const Tracer* tracer = g_tracer.load(std::memory_order_acquire);
  if (tracer == nullptr) return;
  Parent parent;
  const bool known = ParseTraceparent(traceparent, &parent);
  if (known && tracer->options().follow_parent && !parent.sampled) return;
  Parent own = parent;
  Fill(own.span);
  if (!known) {
    Fill(own.trace);
    tracestate.clear();
  }
  // A decision once made holds for the rest of the trace in this suite.
  const bool decided = known && (tracer->options().follow_parent || kind != Kind::kServer);
  own.sampled = decided ? parent.sampled : tracer->Sample();
  traceparent = MakeTraceparent(own);
  if (!own.sampled) return;
  data_ = std::make_unique<SpanData>();
  data_->trace = own.trace;
  data_->span = own.span;
  data_->parent = parent.span;
  data_->tracestate = tracestate;
  data_->kind = kind;
  data_->name.reserve(name.size() + 1 + target.size());
  data_->name = name;
  if (!target.empty()) (data_->name += ' ') += target;
  data_->begun_ns = NowNs();
}

Span& Span::operator=(Span&& other) noexcept {
  if (this != &other) {
    End();
    data_ = std::move(other.data_);
  }
  return *this;
}

void Span::Add(std::string_view key, Value value) {
  data_->attributes.push_back(Attribute{key, std::move(value)});
}

void Span::Link(std::string_view traceparent) {
  Parent linked;
  if (data_ != nullptr && ParseTraceparent(traceparent, &linked)) data_->links.push_back(linked);
}

void Span::Fail(std::string_view type, std::string_view message) {
  if (data_ == nullptr) return;
  data_->failed = true;
  data_->failure = message;
  Add("error.type", std::string(type));
}

void Span::Fail(const absl::Status& status) {
  if (data_ == nullptr || status.ok()) return;
  const auto info = GetErrorInfo(status);
  Fail(std::string_view(info ? info->reason : absl::StatusCodeToString(status.code())),
       std::string(status.message()));
}

void Span::End() {
  if (data_ == nullptr) return;
  Tracer* tracer = g_tracer.load(std::memory_order_acquire);
  data_->ended_ns = NowNs();
  if (tracer != nullptr) tracer->Take(std::move(*data_));
  data_.reset();
}

}  // namespace metamcp::trace
