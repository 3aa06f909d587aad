#include "common/base/ids.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <atomic>
#include <chrono>

#include "common/base/check.h"

namespace metamcp {
namespace {

// Name space of item ids; a random UUID made once for this project.
constexpr std::string_view kItemNamespace =
    "\x6f\x1d\x2a\x4e\x52\x0b\x4d\x3c\x9a\x71\x0e\x8f\x5b\x26\xc4\x93";

std::string Digest(const EVP_MD* md, std::string_view a, std::string_view b = {}) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  METAMCP_CHECK(ctx != nullptr);
  METAMCP_CHECK(EVP_DigestInit_ex(ctx, md, nullptr) == 1);
  METAMCP_CHECK(EVP_DigestUpdate(ctx, a.data(), a.size()) == 1);
  METAMCP_CHECK(EVP_DigestUpdate(ctx, b.data(), b.size()) == 1);
  METAMCP_CHECK(EVP_DigestFinal_ex(ctx, out, &size) == 1);
  EVP_MD_CTX_free(ctx);
  return std::string(reinterpret_cast<char*>(out), size);
}

std::string UuidText(std::string_view bytes) {
  const std::string hex = HexEncode(bytes.substr(0, 16));
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" +
         hex.substr(16, 4) + "-" + hex.substr(20, 12);
}

}  // namespace

std::string HexEncode(std::string_view data) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(data.size() * 2);
  for (const char c : data) {
    const auto u = static_cast<unsigned char>(c);
    out.push_back(kDigits[u >> 4]);
    out.push_back(kDigits[u & 15]);
  }
  return out;
}

std::string RandomBytes(size_t bytes) {
  std::string out(bytes, '\0');
  METAMCP_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(bytes)) ==
                1);
  return out;
}

std::string NewUuidV7() {
  std::string b = RandomBytes(16);
  const auto ms = static_cast<uint64_t>(NowMicros() / 1000);
  for (int i = 0; i < 6; ++i) b[i] = static_cast<char>(ms >> (40 - 8 * i));
  b[6] = static_cast<char>((b[6] & 0x0f) | 0x70);
  b[8] = static_cast<char>((b[8] & 0x3f) | 0x80);
  return UuidText(b);
}

std::string NewRequestId() {
  static const std::string kPrefix = HexEncode(RandomBytes(8)) + "-";
  static std::atomic<uint64_t> counter{0};
  return kPrefix + std::to_string(counter.fetch_add(1, std::memory_order_relaxed) + 1);
}

std::string ItemUuidV5(std::string_view name) {
  std::string b = Digest(EVP_sha1(), kItemNamespace, name);
  b[6] = static_cast<char>((b[6] & 0x0f) | 0x50);
  b[8] = static_cast<char>((b[8] & 0x3f) | 0x80);
  return UuidText(b);
}

std::string Sha256(std::string_view data) { return Digest(EVP_sha256(), data); }
std::string Sha256Hex(std::string_view data) { return HexEncode(Sha256(data)); }

int64_t NowMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace metamcp
