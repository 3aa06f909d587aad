// The program meta-mcp-jq: evaluates jq expressions for the workflow service, apart from it,
// because libjq cannot be interrupted, aborts without memory and shows the process environment. It
// is started with an empty environment and one descriptor, a socket on 0; it limits itself, and is
// killed when it does not answer in time.
//
// Frames both ways: 4 bytes length (big endian), then the payload.
//   request:  4 bytes length of the program, the program, the input as JSON
//   answer:   'R' and the result as JSON | 'C' and why it does not compile | 'E' and why it failed
// A request without an input only compiles.

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <list>
#include <string>
#include <unordered_map>

extern "C" {
#include <jq.h>
#include <jv.h>
}

namespace {

constexpr size_t kFrameMax = 64u << 20;
constexpr size_t kProgramsMax = 256;
constexpr rlim_t kMemoryMax = 1024u << 20;

bool ReadFully(char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::read(0, data, size);
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool WriteFully(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(0, data, size);
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

uint32_t ReadLength(const unsigned char* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 |
         static_cast<uint32_t>(p[2]) << 8 | static_cast<uint32_t>(p[3]);
}

bool ReadFrame(std::string* out) {
  unsigned char head[4];
  if (!ReadFully(reinterpret_cast<char*>(head), sizeof(head))) return false;
  const uint32_t size = ReadLength(head);
  if (size > kFrameMax) return false;
  out->resize(size);
  return ReadFully(out->data(), size);
}

bool Answer(char kind, const std::string& text) {
  const auto size = static_cast<uint32_t>(text.size() + 1);
  std::string frame;
  frame.reserve(text.size() + 5);
  for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(static_cast<char>(size >> shift));
  frame.push_back(kind);
  frame += text;
  return WriteFully(frame.data(), frame.size());
}

std::string TextOf(jv value) {
  jv text = jv_get_kind(value) == JV_KIND_STRING ? value : jv_dump_string(value, 0);
  std::string out(jv_string_value(text),
                  static_cast<size_t>(jv_string_length_bytes(jv_copy(text))));
  jv_free(text);
  return out;
}

void CollectError(void* into, jv message) {
  auto* out = static_cast<std::string*>(into);
  const std::string text = TextOf(jq_format_error(message));
  if (out->size() < 4096) *out += (out->empty() ? "" : "; ") + text;
}

void Ignore(void*, jv message) { jv_free(message); }

[[noreturn]] void NoMemory(void*) { ::_exit(3); }

// Compiled programs, the least recently used one dropped.
class Programs {
 public:
  jq_state* Get(const std::string& program, std::string* error) {
    if (const auto it = index_.find(program); it != index_.end()) {
      order_.splice(order_.begin(), order_, it->second);
      return order_.front().state;
    }
    jq_state* state = jq_init();
    if (state == nullptr) NoMemory(nullptr);
    jq_set_nomem_handler(state, NoMemory, nullptr);
    jq_set_error_cb(state, CollectError, error);
    jq_set_debug_cb(state, Ignore, nullptr);
    if (jq_compile(state, program.c_str()) == 0) {
      jq_teardown(&state);
      return nullptr;
    }
    jq_set_error_cb(state, Ignore, nullptr);
    order_.push_front({program, state});
    index_[program] = order_.begin();
    if (order_.size() > kProgramsMax) {
      index_.erase(order_.back().program);
      jq_teardown(&order_.back().state);
      order_.pop_back();
    }
    return state;
  }

 private:
  struct Entry {
    std::string program;
    jq_state* state;
  };
  std::list<Entry> order_;
  std::unordered_map<std::string, std::list<Entry>::iterator> index_;
};

// Programs yield one value (the caller wraps them so).
bool Evaluate(jq_state* state, const char* input, size_t size) {
  jv value = jv_parse_sized(input, static_cast<int>(size));
  if (!jv_is_valid(value)) {
    jv_free(value);
    return Answer('E', "the input is not JSON");
  }
  jq_start(state, value, 0);
  jv result = jq_next(state);
  bool sent;
  if (jv_is_valid(result)) {
    sent = Answer('R', TextOf(jv_dump_string(result, 0)));
  } else {
    jv message = jv_invalid_get_msg(result);
    const bool none = jv_get_kind(message) == JV_KIND_NULL;
    sent = none ? Answer('R', "null") : Answer('E', TextOf(jv_copy(message)));
    jv_free(message);
  }
  // Drops what the program still holds of the input.
  jq_start(state, jv_null(), 0);
  return sent;
}

void Limit(int resource, rlim_t value) {
  const rlimit limit{value, value};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) ::_exit(4);
}

}  // namespace

int main() {
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_FSIZE, 0);
  Limit(RLIMIT_NPROC, 0);
  Limit(RLIMIT_NOFILE, 8);
  Limit(RLIMIT_AS, kMemoryMax);
  Programs programs;
  std::string frame;
  while (ReadFrame(&frame)) {
    if (frame.size() < 4) return 5;
    const size_t length = ReadLength(reinterpret_cast<const unsigned char*>(frame.data()));
    if (length > frame.size() - 4) return 5;
    const std::string program = frame.substr(4, length);
    std::string error;
    jq_state* state = programs.Get(program, &error);
    bool sent;
    if (state == nullptr) {
      sent = Answer('C', error.empty() ? "the expression does not compile" : error);
    } else if (frame.size() == 4 + length) {
      sent = Answer('R', "null");
    } else {
      sent = Evaluate(state, frame.data() + 4 + length, frame.size() - 4 - length);
    }
    if (!sent) return 0;
  }
  return 0;
}
