#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace metamcp::audit {

// A Merkle tree over a growing list, hashed as RFC 9162, section 2.1.1, says, of which only the
// roots of its full subtrees are kept: 32 bytes for each bit set in the size.
class MerkleFrontier {
 public:
  void Append(std::string_view leaf);
  int64_t size() const { return size_; }
  // 32 raw bytes; of an empty tree the hash of nothing.
  std::string Root() const;

  // Size and hashes as bytes, and back; nothing for bytes that are no frontier.
  std::string Encode() const;
  static std::optional<MerkleFrontier> Decode(std::string_view bytes);

 private:
  int64_t size_ = 0;
  std::vector<std::string> roots_;  // of the largest subtree first
};

}  // namespace metamcp::audit
