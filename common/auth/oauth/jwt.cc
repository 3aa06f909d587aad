#include "common/auth/oauth/jwt.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>

#include "common/base/error.h"
#include "common/base/key_ring.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"

namespace metamcp::oauth {
namespace {

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Context = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>>;

absl::Status Unusable(std::string_view why) {
  return MakeError("CONFIG_INVALID", "connector", StrCat("the private key ", why));
}

int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<Key> ReadKey(std::string_view pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr) : nullptr);
  if (!key) return Unusable("is not an unencrypted PEM private key");
  return key;
}

std::string AlgorithmOf(EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      return "RS256";
    case EVP_PKEY_EC:
      return EVP_PKEY_get_bits(key) == 384 ? "ES384" : "ES256";
    case EVP_PKEY_ED25519:
      return "EdDSA";
    default:
      return "";
  }
}

bool Fits(EVP_PKEY* key, std::string_view algorithm) {
  const std::string natural = AlgorithmOf(key);
  if (algorithm == "PS256") return natural == "RS256";
  return !natural.empty() && natural == algorithm;
}

// DER to the fixed-size r || s of RFC 7518, section 3.4.
std::string RawEcSignature(const std::string& der, size_t half) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const Signature parsed(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!parsed) return "";
  std::string out(2 * half, '\0');
  auto* bytes = reinterpret_cast<unsigned char*>(out.data());
  const int size = static_cast<int>(half);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), bytes, size) != size) return "";
  if (BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), bytes + half, size) != size) return "";
  return out;
}

std::string Sign(EVP_PKEY* key, std::string_view algorithm, std::string_view text) {
  const Context context(EVP_MD_CTX_new());
  const EVP_MD* digest = algorithm == "EdDSA"   ? nullptr
                         : algorithm == "ES384" ? EVP_sha384()
                                                : EVP_sha256();
  EVP_PKEY_CTX* options = nullptr;
  if (!context || EVP_DigestSignInit(context.get(), &options, digest, nullptr, key) != 1) return "";
  if (algorithm == "PS256" &&
      (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) != 1 ||
       EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) != 1)) {
    return "";
  }
  const auto* data = reinterpret_cast<const unsigned char*>(text.data());
  size_t size = 0;
  if (EVP_DigestSign(context.get(), nullptr, &size, data, text.size()) != 1) return "";
  std::string out(size, '\0');
  auto* signature = reinterpret_cast<unsigned char*>(out.data());
  if (EVP_DigestSign(context.get(), signature, &size, data, text.size()) != 1) return "";
  out.resize(size);
  if (algorithm == "ES256") return RawEcSignature(out, 32);
  if (algorithm == "ES384") return RawEcSignature(out, 48);
  return out;
}

}  // namespace

absl::StatusOr<std::string> DefaultAlgorithm(std::string_view pem) {
  METAMCP_ASSIGN_OR_RETURN(const Key key, ReadKey(pem));
  std::string algorithm = AlgorithmOf(key.get());
  if (algorithm.empty()) return Unusable("is of a kind that is not supported");
  return algorithm;
}

absl::StatusOr<std::string> SignJwt(std::string_view payload, std::string_view pem,
                                    std::string_view algorithm, std::string_view key_id,
                                    std::string_view type) {
  METAMCP_ASSIGN_OR_RETURN(const Key key, ReadKey(pem));
  const std::string chosen = algorithm.empty() ? AlgorithmOf(key.get()) : std::string(algorithm);
  if (!Fits(key.get(), chosen)) {
    return Unusable(StrCat("does not fit the algorithm '", chosen, "'"));
  }
  json::ObjectWriter header;
  header.AddString("alg", chosen);
  if (!type.empty()) header.AddString("typ", type);
  if (!key_id.empty()) header.AddString("kid", key_id);
  const std::string text =
      StrCat(Base64UrlEncode(std::move(header).Build()), ".", Base64UrlEncode(payload));
  const std::string signature = Sign(key.get(), chosen, text);
  if (signature.empty()) return Unusable("could not sign");
  return StrCat(text, ".", Base64UrlEncode(signature));
}

}  // namespace metamcp::oauth
