// operator new and delete with a cache of freed blocks in front of malloc; see docs/adr/0010.
//
// A call through the gateway allocates and frees about two hundred small blocks, most of them
// coroutine frames of up to 2 KiB, and 32 calls are under way at once. glibc keeps seven freed
// blocks of a size per thread, and none above 1032 bytes; what is beyond goes through its bins,
// which cost a fifth of a call. Here each thread keeps more, up to a total that bounds what it can
// hold back. Blocks come from malloc and go to free, so that they may be freed by any thread, and
// everything else about malloc stays as it is.
//
// Linked into programs, never into sanitizer builds: a sanitizer must see every free.
#include <malloc.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace metamcp {
namespace {

// malloc's blocks hold 24, 40, 56, … bytes: class i is those of 16 i + 8.
constexpr size_t kStep = 16;
constexpr size_t kBlockBytesMax = 8 << 10;
constexpr size_t kClasses = kBlockBytesMax / kStep + 1;
// Per thread: as much as a few hundred calls under way need.
constexpr size_t kCachedBytesMax = 2 << 20;
// Of one class, so that one size cannot push out all others.
constexpr size_t kClassBytesMax = 256 << 10;

struct FreeBlock {
  FreeBlock* next;
};

// Plain data, so that reaching it costs no check for initialisation.
struct Cache {
  FreeBlock* free[kClasses];
  uint16_t count[kClasses];
  size_t bytes;
  bool open;    // its thread's end will empty it
  bool closed;  // the thread is ending
};
thread_local Cache cache;

void EmptyCache() {
  for (size_t i = 0; i < kClasses; ++i) {
    while (FreeBlock* block = cache.free[i]) {
      cache.free[i] = block->next;
      std::free(block);
    }
    cache.count[i] = 0;
  }
  cache.bytes = 0;
}

struct AtThreadEnd {
  ~AtThreadEnd() {
    cache.closed = true;
    EmptyCache();
  }
};

// The smallest class whose blocks hold `bytes`.
size_t ClassFor(size_t bytes) { return bytes <= 24 ? 1 : (bytes + 7) / kStep; }
size_t BytesOf(size_t size_class) { return size_class * kStep + 8; }

[[gnu::noinline]] void* Fetch(size_t bytes) {
  for (;;) {
    if (void* block = std::malloc(bytes)) return block;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

[[gnu::noinline]] bool OpenCache() {
  if (cache.closed) return false;
  // tcmalloc samples what is allocated (docs/telemetry.md): it must see every free.
  if (std::getenv("TCMALLOC_SAMPLE_PARAMETER") != nullptr) {
    cache.closed = true;
    return false;
  }
  thread_local AtThreadEnd at_end;
  static_cast<void>(&at_end);
  return cache.open = true;
}

void* Allocate(size_t bytes) {
  const size_t size_class = ClassFor(bytes);
  if (size_class >= kClasses) return Fetch(bytes);
  FreeBlock* block = cache.free[size_class];
  if (block == nullptr) return Fetch(BytesOf(size_class));
  cache.free[size_class] = block->next;
  --cache.count[size_class];
  cache.bytes -= BytesOf(size_class);
  return block;
}

// `size_class`: blocks of it are not larger than this one.
void Release(void* memory, size_t size_class) {
  if (size_class >= kClasses) return std::free(memory);
  const size_t bytes = BytesOf(size_class);
  const bool full = cache.bytes + bytes > kCachedBytesMax ||
                    (cache.count[size_class] + 1) * bytes > kClassBytesMax;
  if (full || (!cache.open && !OpenCache()) || cache.closed) return std::free(memory);
  auto* block = static_cast<FreeBlock*>(memory);
  block->next = cache.free[size_class];
  cache.free[size_class] = block;
  ++cache.count[size_class];
  cache.bytes += bytes;
}

}  // namespace
}  // namespace metamcp

void* operator new(size_t bytes) { return metamcp::Allocate(bytes); }

void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  metamcp::Release(memory, (malloc_usable_size(memory) - 8) / metamcp::kStep);
}

void operator delete(void* memory, size_t bytes) noexcept {
  if (memory != nullptr) metamcp::Release(memory, metamcp::ClassFor(bytes));
}
