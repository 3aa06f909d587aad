#include "common/audit/signing_key.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::audit {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kSignatureBytes = 64;

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_MD_CTX, Free>;
using Bio = std::unique_ptr<BIO, Free>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

Bio Reading(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::StatusOr<std::string> RawPublic(EVP_PKEY* key) {
  std::string raw(kKeyBytes, '\0');
  size_t size = raw.size();
  const bool ed25519 = key != nullptr && EVP_PKEY_id(key) == EVP_PKEY_ED25519;
  if (!ed25519 ||
      EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(raw.data()), &size) != 1) {
    return absl::InvalidArgumentError("no Ed25519 key in PEM");
  }
  return raw;
}

absl::Status SystemError(const std::string& path) {
  return absl::ErrnoToStatus(errno, StrCat("signing key ", path));
}

// Writes a new file that no other starter has made meanwhile; an existing one is kept.
absl::Status WriteNew(const std::string& path, const std::string& text) {
  const std::string temporary = StrCat(path, ".", HexEncode(RandomBytes(6)));
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError(temporary);
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(fd) == 0;
  ::close(fd);
  const bool linked = written && (::link(temporary.c_str(), path.c_str()) == 0 || errno == EEXIST);
  absl::Status status = linked ? absl::OkStatus() : SystemError(path);
  ::unlink(temporary.c_str());
  return status;
}

}  // namespace

struct SigningKey::Pair {
  Key key;
};

absl::StatusOr<VerifyKey> VerifyKey::FromPem(std::string_view pem) {
  const Bio bio = Reading(pem);
  const Key key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  METAMCP_ASSIGN_OR_RETURN(std::string raw, RawPublic(key.get()));
  return VerifyKey(std::move(raw));
}

bool VerifyKey::Verify(std::string_view message, std::string_view signature) const {
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(raw_), raw_.size()));
  const Context context(EVP_MD_CTX_new());
  return key != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(message),
                          message.size()) == 1;
}

std::string VerifyKey::Pem() const {
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(raw_), raw_.size()));
  const Bio bio(BIO_new(BIO_s_mem()));
  METAMCP_CHECK(PEM_write_bio_PUBKEY(bio.get(), key.get()) == 1);
  return TextOf(bio.get());
}

SigningKey SigningKey::Generate() {
  auto pair = std::make_shared<Pair>();
  const std::string secret = RandomBytes(kKeyBytes);
  pair->key.reset(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(secret), secret.size()));
  auto raw = RawPublic(pair->key.get());
  METAMCP_CHECK(raw.ok());
  return SigningKey(std::move(pair), VerifyKey(*std::move(raw)));
}

absl::StatusOr<SigningKey> SigningKey::LoadOrCreateBlocking(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    const SigningKey fresh = Generate();
    const Bio bio(BIO_new(BIO_s_mem()));
    METAMCP_CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), fresh.pair_->key.get(), nullptr, nullptr,
                                                0, nullptr, nullptr) == 1);
    METAMCP_RETURN_IF_ERROR(WriteNew(path, TextOf(bio.get())));
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return SystemError(path);
  if ((info.st_mode & 0007) != 0) {
    return absl::PermissionDeniedError(
        StrCat("everybody on this machine can read the signing key ", path, ": chmod 600 it"));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return SystemError(path);
  const std::string pem(std::istreambuf_iterator<char>(file), {});
  const Bio bio = Reading(pem);
  auto pair = std::make_shared<Pair>();
  pair->key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  auto raw = RawPublic(pair->key.get());
  if (!raw.ok()) return absl::InvalidArgumentError(StrCat(path, ": ", Sv(raw.status().message())));
  return SigningKey(std::move(pair), VerifyKey(*std::move(raw)));
}

std::string SigningKey::Sign(std::string_view message) const {
  std::string out(kSignatureBytes, '\0');
  size_t size = out.size();
  const Context context(EVP_MD_CTX_new());
  METAMCP_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, pair_->key.get()) ==
                    1 &&
                EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                               Bytes(message), message.size()) == 1);
  return out;
}

}  // namespace metamcp::audit
