#include "common/base/key_ring.h"

#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>

#include "absl/strings/escaping.h"
#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/base/locked_bytes.h"
#include "common/base/strings.h"

namespace metamcp {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
constexpr int kPurposes = 6;
constexpr char kVersion = 1;
// Who must not read a key file of one process, and one that is shared.
constexpr unsigned kGroupAndOthers = 077;
constexpr unsigned kOthers = 007;
constexpr const char* kPurposeNames[kPurposes] = {"session", "call",  "cursor",
                                                  "task",    "token", "vault"};

std::string DeriveKey(std::string_view secret, const char* purpose) {
  std::string out(kKeyBytes, '\0');
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  METAMCP_CHECK(kdf != nullptr);
  EVP_KDF_CTX* ctx = EVP_KDF_CTX_new(kdf);
  std::string info = StrCat("meta-mcp/", purpose);
  std::string digest = "SHA256";
  std::string key(secret);
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.data(), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  METAMCP_CHECK(
      EVP_KDF_derive(ctx, reinterpret_cast<unsigned char*>(out.data()), out.size(), params) == 1);
  EVP_KDF_CTX_free(ctx);
  EVP_KDF_free(kdf);
  return out;
}

const unsigned char* U(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}
unsigned char* U(std::string& s) { return reinterpret_cast<unsigned char*>(s.data()); }

std::string HmacOf(std::string_view key, std::string_view data) {
  std::string out(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  METAMCP_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), U(data), data.size(),
                     U(out), &size) != nullptr);
  out.resize(size);
  return out;
}

// Owns one OpenSSL cipher context.
struct Cipher {
  Cipher() : ctx(EVP_CIPHER_CTX_new()) { METAMCP_CHECK(ctx != nullptr); }
  ~Cipher() { EVP_CIPHER_CTX_free(ctx); }
  Cipher(const Cipher&) = delete;
  Cipher& operator=(const Cipher&) = delete;
  EVP_CIPHER_CTX* ctx;
};

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path, unsigned forbidden_mode) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return absl::NotFoundError(path);
    return absl::PermissionDeniedError(StrCat(path, ": ", std::strerror(errno)));
  }
  struct stat st {};
  std::string text;
  if (::fstat(fd, &st) == 0 && (st.st_mode & forbidden_mode) != 0) {
    ::close(fd);
    return absl::PermissionDeniedError(StrCat(path, ": others can read this key file; run: chmod ",
                                              forbidden_mode == kOthers ? "640 " : "600 ", path));
  }
  std::array<char, 4096> buffer;
  for (ssize_t n; (n = ::read(fd, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(n));
    if (text.size() > 65536) break;
  }
  ::close(fd);
  return text;
}

// Finds the string value after "name": from `at` on; enough for a file that we write ourselves,
// and strict about everything else.
absl::StatusOr<std::vector<KeyRing::Key>> ParseKeyFile(const std::string& path,
                                                       std::string_view text) {
  std::vector<KeyRing::Key> keys;
  const auto next = [&text](std::string_view name, size_t& at) -> std::optional<std::string> {
    const size_t name_at = text.find(StrCat("\"", name, "\""), at);
    if (name_at == std::string_view::npos) return std::nullopt;
    const size_t open = text.find('"', text.find(':', name_at));
    const size_t close = open == std::string_view::npos ? open : text.find('"', open + 1);
    if (close == std::string_view::npos) return std::nullopt;
    at = close + 1;
    return std::string(text.substr(open + 1, close - open - 1));
  };
  size_t at = 0;
  while (auto kid = next("kid", at)) {
    auto key = next("key", at);
    auto raw = key ? Base64Decode(*key) : std::nullopt;
    if (!raw) break;
    keys.push_back({*kid, *raw});
  }
  if (keys.empty()) {
    return absl::InvalidArgumentError(
        StrCat(path, ": expected {\"keys\":[{\"kid\":\"…\",\"key\":\"<base64 of 32 bytes>\"}]}"));
  }
  return keys;
}

}  // namespace

struct KeyRing::Derived {
  std::string kid;
  std::shared_ptr<const LockedBytes> bytes;  // one subkey of kKeyBytes for each purpose
  std::string_view subkey(SealPurpose purpose) const {
    return bytes->view().substr(static_cast<size_t>(purpose) * kKeyBytes, kKeyBytes);
  }
  bool operator==(const Derived& other) const {
    return kid == other.kid && bytes->view() == other.bytes->view();
  }
};

KeyRing::KeyRing(std::shared_ptr<const Keys> keys) : keys_(std::move(keys)) {}
KeyRing::KeyRing(const KeyRing& other) : keys_(other.keys()) {}
KeyRing::KeyRing(KeyRing&& other) noexcept : keys_(other.keys()) {}
KeyRing::~KeyRing() = default;

std::shared_ptr<const KeyRing::Keys> KeyRing::keys() const { return std::atomic_load(&keys_); }

bool KeyRing::Replace(const KeyRing& other) {
  auto next = other.keys();
  const bool differs = *next != *keys();
  std::atomic_store(&keys_, std::move(next));
  return differs;
}

absl::StatusOr<KeyRing> KeyRing::Create(std::vector<Key> keys) {
  struct Wipe {
    std::vector<Key>* keys;
    ~Wipe() {
      for (Key& key : *keys) OPENSSL_cleanse(key.secret.data(), key.secret.size());
    }
  } wipe{&keys};
  if (keys.empty()) return absl::InvalidArgumentError("a key ring needs at least one key");
  auto derived = std::make_shared<Keys>();
  std::set<std::string> kids;
  for (const Key& key : keys) {
    const bool kid_ok = !key.kid.empty() && key.kid.size() <= 16 &&
                        key.kid.find_first_not_of(
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
                            "wxyz0123456789") == std::string::npos;
    if (!kid_ok || !kids.insert(key.kid).second) {
      return absl::InvalidArgumentError(
          StrCat("key id \"", key.kid, "\" must be unique, 1 to 16 of [A-Za-z0-9]"));
    }
    if (key.secret.size() != kKeyBytes) {
      return absl::InvalidArgumentError(StrCat("key \"", key.kid, "\" must have 32 bytes"));
    }
    Derived d;
    d.kid = key.kid;
    std::string subkeys;
    for (int i = 0; i < kPurposes; ++i) {
      std::string subkey = DeriveKey(key.secret, kPurposeNames[i]);
      subkeys += subkey;
      OPENSSL_cleanse(subkey.data(), subkey.size());
    }
    d.bytes = std::make_shared<LockedBytes>(subkeys);
    OPENSSL_cleanse(subkeys.data(), subkeys.size());
    derived->push_back(std::move(d));
  }
  return KeyRing(std::move(derived));
}

KeyRing KeyRing::Ephemeral() {
  std::vector<Key> keys;
  keys.push_back({"e" + HexEncode(RandomBytes(3)), RandomBytes(kKeyBytes)});
  return *Create(std::move(keys));
}

absl::StatusOr<KeyRing> KeyRing::LoadOrCreateBlocking(const std::string& path) {
  return LoadBlocking(path, kGroupAndOthers);
}

absl::StatusOr<KeyRing> KeyRing::LoadSharedBlocking(const std::string& path) {
  return LoadBlocking(path, kOthers);
}

absl::StatusOr<KeyRing> KeyRing::LoadBlocking(const std::string& path, unsigned forbidden_mode) {
  auto text = ReadPrivateFile(path, forbidden_mode);
  if (absl::IsNotFound(text.status())) {
    const std::string kid = HexEncode(RandomBytes(4));
    const std::string body = StrCat("{\"keys\":[{\"kid\":\"", kid, "\",\"key\":\"",
                                    Base64Encode(RandomBytes(kKeyBytes)), "\"}]}\n");
    const std::string temporary = StrCat(path, ".", HexEncode(RandomBytes(4)));
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return absl::PermissionDeniedError(StrCat(path, ": ", std::strerror(errno)));
    const bool written =
        ::write(fd, body.data(), body.size()) == static_cast<ssize_t>(body.size()) &&
        ::fsync(fd) == 0;
    ::close(fd);
    // link() fails where another starter was first; then its file is the one.
    if (written) (void)!::link(temporary.c_str(), path.c_str());
    ::unlink(temporary.c_str());
    text = ReadPrivateFile(path, forbidden_mode);
  }
  if (!text.ok()) return text.status();
  auto keys = ParseKeyFile(path, *text);
  OPENSSL_cleanse(text->data(), text->size());
  if (!keys.ok()) return keys.status();
  return Create(*std::move(keys));
}

std::string KeyRing::Seal(SealPurpose purpose, std::string_view plain,
                          std::string_view context) const {
  const auto ring = keys();
  const Derived& key = ring->front();
  std::string out;
  out.push_back(kVersion);
  out.push_back(static_cast<char>(key.kid.size()));
  out += key.kid;
  const std::string nonce = RandomBytes(kNonceBytes);
  out += nonce;
  const std::string aad = out + std::string(context);
  Cipher cipher;
  std::string body(plain.size() + kTagBytes, '\0');
  int n = 0;
  const std::string_view subkey = key.subkey(purpose);
  METAMCP_CHECK(EVP_EncryptInit_ex(cipher.ctx, EVP_aes_256_gcm(), nullptr, U(subkey), U(nonce)) ==
                1);
  METAMCP_CHECK(EVP_EncryptUpdate(cipher.ctx, nullptr, &n, U(aad), static_cast<int>(aad.size())) ==
                1);
  METAMCP_CHECK(
      EVP_EncryptUpdate(cipher.ctx, U(body), &n, U(plain), static_cast<int>(plain.size())) == 1);
  METAMCP_CHECK(EVP_EncryptFinal_ex(cipher.ctx, U(body) + n, &n) == 1);
  METAMCP_CHECK(EVP_CIPHER_CTX_ctrl(cipher.ctx, EVP_CTRL_GCM_GET_TAG, kTagBytes,
                                    body.data() + plain.size()) == 1);
  return Base64UrlEncode(out + body);
}

std::optional<std::string> KeyRing::Open(SealPurpose purpose, std::string_view sealed,
                                         std::string_view context) const {
  const auto raw = Base64UrlDecode(sealed);
  if (!raw || raw->size() < 2 || (*raw)[0] != kVersion) return std::nullopt;
  const auto kid_size = static_cast<unsigned char>((*raw)[1]);
  const size_t head = 2 + kid_size + kNonceBytes;
  if (raw->size() < head + kTagBytes) return std::nullopt;
  const std::string_view kid = std::string_view(*raw).substr(2, kid_size);
  const auto ring = keys();
  for (const Derived& key : *ring) {
    if (key.kid != kid) continue;
    const std::string_view nonce = std::string_view(*raw).substr(2 + kid_size, kNonceBytes);
    const std::string aad = StrCat(std::string_view(*raw).substr(0, head), context);
    const size_t size = raw->size() - head - kTagBytes;
    std::string tag = raw->substr(raw->size() - kTagBytes);
    std::string plain(size, '\0');
    Cipher cipher;
    int n = 0;
    const std::string_view subkey = key.subkey(purpose);
    const bool ok =
        EVP_DecryptInit_ex(cipher.ctx, EVP_aes_256_gcm(), nullptr, U(subkey), U(nonce)) == 1 &&
        EVP_DecryptUpdate(cipher.ctx, nullptr, &n, U(aad), static_cast<int>(aad.size())) == 1 &&
        EVP_DecryptUpdate(cipher.ctx, U(plain), &n, U(*raw) + head, static_cast<int>(size)) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher.ctx, EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
        EVP_DecryptFinal_ex(cipher.ctx, U(plain) + n, &n) == 1;
    if (ok) return plain;
    return std::nullopt;
  }
  return std::nullopt;
}

std::string KeyRing::Mac(SealPurpose purpose, std::string_view data) const {
  return HmacOf(keys()->front().subkey(purpose), data);
}

std::string KeyRing::Mac(SealPurpose purpose, std::string_view data, std::string_view kid) const {
  const auto ring = keys();
  for (const Derived& key : *ring) {
    if (key.kid == kid) return HmacOf(key.subkey(purpose), data);
  }
  return "";
}

std::vector<std::string> KeyRing::Kids() const {
  std::vector<std::string> out;
  const auto ring = keys();
  for (const Derived& key : *ring) out.push_back(key.kid);
  return out;
}

std::string Base64UrlEncode(std::string_view data) {
  std::string out = absl::WebSafeBase64Escape(Av(data));
  while (!out.empty() && out.back() == '=') out.pop_back();
  return out;
}

std::optional<std::string> Base64UrlDecode(std::string_view text) {
  std::string out;
  if (text.find('=') != std::string_view::npos) return std::nullopt;
  if (!absl::WebSafeBase64Unescape(Av(text), &out) || Base64UrlEncode(out) != text)
    return std::nullopt;
  return out;
}

std::string Base64Encode(std::string_view data) { return absl::Base64Escape(Av(data)); }

std::optional<std::string> Base64Decode(std::string_view text) {
  std::string out;
  if (!absl::Base64Unescape(Av(text), &out) || absl::Base64Escape(out) != text) return std::nullopt;
  return out;
}

}  // namespace metamcp
