#include "common/audit/merkle.h"

#include <bit>

#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::audit {
namespace {

constexpr size_t kHash = 32;
constexpr size_t kSizeBytes = 8;

std::string Node(std::string_view left, std::string_view right) {
  return Sha256(StrCat(std::string_view("\x01", 1), left, right));
}

}  // namespace

void MerkleFrontier::Append(std::string_view leaf) {
  std::string hash = Sha256(StrCat(std::string_view("\0", 1), leaf));
  for (int64_t bits = size_; (bits & 1) != 0; bits >>= 1) {
    hash = Node(roots_.back(), hash);
    roots_.pop_back();
  }
  roots_.push_back(std::move(hash));
  ++size_;
}

std::string MerkleFrontier::Root() const {
  if (roots_.empty()) return Sha256("");
  std::string hash = roots_.back();
  for (size_t i = roots_.size() - 1; i > 0; --i) hash = Node(roots_[i - 1], hash);
  return hash;
}

std::string MerkleFrontier::Encode() const {
  std::string out;
  for (size_t i = 0; i < kSizeBytes; ++i) {
    out.push_back(static_cast<char>(static_cast<uint64_t>(size_) >> (8 * (kSizeBytes - 1 - i))));
  }
  for (const std::string& root : roots_) out += root;
  return out;
}

std::optional<MerkleFrontier> MerkleFrontier::Decode(std::string_view bytes) {
  if (bytes.size() < kSizeBytes || (bytes.size() - kSizeBytes) % kHash != 0) return std::nullopt;
  uint64_t size = 0;
  for (const char c : bytes.substr(0, kSizeBytes)) size = size << 8 | static_cast<uint8_t>(c);
  bytes.remove_prefix(kSizeBytes);
  if (size > INT64_MAX || static_cast<size_t>(std::popcount(size)) != bytes.size() / kHash) {
    return std::nullopt;
  }
  MerkleFrontier out;
  out.size_ = static_cast<int64_t>(size);
  for (; !bytes.empty(); bytes.remove_prefix(kHash))
    out.roots_.emplace_back(bytes.substr(0, kHash));
  return out;
}

}  // namespace metamcp::audit
