#include "common/base/locked_bytes.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstring>

#include "common/base/check.h"

namespace metamcp {

LockedBytes::LockedBytes(std::string_view bytes) : size_(bytes.size()) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  mapped_ = (size_ + page) / page * page;
  void* memory =
      ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  METAMCP_CHECK(memory != MAP_FAILED);
  data_ = static_cast<char*>(memory);
  locked_ = ::mlock(data_, mapped_) == 0;
  ::madvise(data_, mapped_, MADV_DONTDUMP);
  std::memcpy(data_, bytes.data(), size_);
}

LockedBytes::~LockedBytes() {
  OPENSSL_cleanse(data_, mapped_);
  ::munmap(data_, mapped_);
}

void KeepMemoryPrivate() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

}  // namespace metamcp
