#include "common/auth/jwt/verify_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>

#include "common/base/error.h"
#include "common/base/key_ring.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::jwt {
namespace {

constexpr std::string_view kAlgorithms[] = {"HS256", "RS256", "RS384", "RS512",
                                            "PS256", "ES256", "ES384", "EdDSA"};
constexpr size_t kKeysMax = 64;
constexpr int kRsaBitsMin = 2048;
constexpr int kRsaBitsMax = 8192;   // above, one verification costs milliseconds
constexpr size_t kExponentMax = 4;  // bytes; 65537 is usual

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Context = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>>;
using Number = std::unique_ptr<BIGNUM, Freer<BN_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, Freer<OSSL_PARAM_BLD_free>>;
using Parameters = std::unique_ptr<OSSL_PARAM, Freer<OSSL_PARAM_free>>;
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>>;

absl::Status Unusable(std::string_view why) {
  return MakeError("ARGUMENT_INVALID", "gateway", StrCat("the key ", why));
}

const unsigned char* U(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}

Number ToNumber(std::string_view bytes) {
  return Number(BN_bin2bn(U(bytes), static_cast<int>(bytes.size()), nullptr));
}

EVP_PKEY* FromParameters(const char* kind, OSSL_PARAM_BLD* builder) {
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return nullptr;
  }
  return key;
}

// The bytes of a base64url member; empty when it is absent or malformed.
std::string Bytes(const json::ObjectView& jwk, std::string_view name) {
  return Base64UrlDecode(jwk.String(name).value_or("")).value_or("");
}

EVP_PKEY* RsaKey(const json::ObjectView& jwk) {
  const std::string modulus = Bytes(jwk, "n");
  const std::string exponent = Bytes(jwk, "e");
  if (modulus.empty() || modulus.size() > kRsaBitsMax / 8 || exponent.empty() ||
      exponent.size() > kExponentMax) {
    return nullptr;
  }
  const Number n = ToNumber(modulus);
  const Number e = ToNumber(exponent);
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder || BN_is_odd(e.get()) == 0 || BN_is_one(e.get()) != 0 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return nullptr;
  }
  return FromParameters("RSA", builder.get());
}

EVP_PKEY* EcKey(const json::ObjectView& jwk) {
  const std::string curve = jwk.String("crv").value_or("");
  const size_t half = curve == "P-256" ? 32 : curve == "P-384" ? 48 : 0;
  const std::string x = Bytes(jwk, "x");
  const std::string y = Bytes(jwk, "y");
  if (half == 0 || x.size() != half || y.size() != half) return nullptr;
  const std::string point = StrCat("\x04", x, y);
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.c_str(),
                                      0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1) {
    return nullptr;
  }
  return FromParameters("EC", builder.get());
}

EVP_PKEY* OkpKey(const json::ObjectView& jwk) {
  const std::string x = Bytes(jwk, "x");
  if (jwk.String("crv").value_or("") != "Ed25519" || x.size() != 32) return nullptr;
  return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, U(x), x.size());
}

const EVP_MD* DigestOf(std::string_view algorithm) {
  if (algorithm == "EdDSA") return nullptr;
  if (algorithm.substr(2) == "384") return EVP_sha384();
  if (algorithm.substr(2) == "512") return EVP_sha512();
  return EVP_sha256();
}

// r || s of RFC 7518, section 3.4 to the DER that OpenSSL reads; empty when it does not fit.
std::string DerOf(std::string_view raw, size_t half) {
  if (raw.size() != 2 * half) return "";
  const Signature signature(ECDSA_SIG_new());
  Number r = ToNumber(raw.substr(0, half));
  Number s = ToNumber(raw.substr(half));
  if (!signature || !r || !s || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return "";
  (void)r.release();
  (void)s.release();
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return "";
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

bool SaysVerify(const json::ObjectView& jwk) {
  if (jwk.Has("use") && jwk.String("use").value_or("") != "sig") return false;
  if (!jwk.Has("key_ops")) return true;
  const auto operations = json::ScanArray(jwk.Raw("key_ops"));
  return operations.ok() &&
         std::any_of(operations->begin(), operations->end(),
                     [](const json::Value& one) { return one.raw == "\"verify\""; });
}

}  // namespace

bool IsAlgorithm(std::string_view name) {
  return std::find(std::begin(kAlgorithms), std::end(kAlgorithms), name) != std::end(kAlgorithms);
}

absl::Status VerifyKey::Adopt(EVP_PKEY* key) {
  if (key == nullptr) return Unusable("holds no public key of a kind that is supported");
  key_ = std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free);
  const int bits = EVP_PKEY_get_bits(key);
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      if (bits < kRsaBitsMin || bits > kRsaBitsMax) {
        return Unusable(StrCat("has ", bits, " bits; RSA keys of ", kRsaBitsMin, " to ",
                               kRsaBitsMax, " are taken"));
      }
      algorithms_ = {"RS256", "RS384", "RS512", "PS256"};
      return absl::OkStatus();
    case EVP_PKEY_EC: {
      char group[32] = {};
      size_t size = 0;
      if (EVP_PKEY_get_group_name(key, group, sizeof(group), &size) != 1) break;
      const std::string_view name(group, size);
      if (name == "prime256v1" || name == "P-256") algorithms_ = {"ES256"};
      if (name == "secp384r1" || name == "P-384") algorithms_ = {"ES384"};
      if (!algorithms_.empty()) return absl::OkStatus();
      break;
    }
    case EVP_PKEY_ED25519:
      algorithms_ = {"EdDSA"};
      return absl::OkStatus();
    default:
      break;
  }
  return Unusable("is of a kind that is not supported");
}

absl::StatusOr<VerifyKey> VerifyKey::FromJwk(std::string_view json) {
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView jwk, json::ScanObject(json));
  VerifyKey out;
  out.kid_ = jwk.String("kid").value_or("");
  out.algorithm_ = jwk.String("alg").value_or("");
  if (!SaysVerify(jwk)) return Unusable("is not for signatures");
  if (jwk.Has("d") || jwk.Has("k")) return Unusable("is private or symmetric");
  const std::string kind = jwk.String("kty").value_or("");
  METAMCP_RETURN_IF_ERROR(out.Adopt(kind == "RSA"   ? RsaKey(jwk)
                                    : kind == "EC"  ? EcKey(jwk)
                                    : kind == "OKP" ? OkpKey(jwk)
                                                    : nullptr));
  if (!out.algorithm_.empty() && !out.Fits(out.algorithm_)) {
    return Unusable("does not fit the algorithm that it names");
  }
  return out;
}

absl::StatusOr<VerifyKey> VerifyKey::FromPem(std::string_view pem, std::string kid) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  VerifyKey out;
  out.kid_ = std::move(kid);
  METAMCP_RETURN_IF_ERROR(
      out.Adopt(bio ? PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr) : nullptr));
  return out;
}

VerifyKey VerifyKey::FromSecret(std::string secret, std::string kid) {
  VerifyKey out;
  out.secret_ = std::move(secret);
  out.kid_ = std::move(kid);
  out.algorithms_ = {"HS256"};
  return out;
}

bool VerifyKey::Fits(std::string_view algorithm) const {
  if (!algorithm_.empty() && algorithm_ != algorithm) return false;
  return std::find(algorithms_.begin(), algorithms_.end(), algorithm) != algorithms_.end();
}

bool VerifyKey::Verify(std::string_view algorithm, std::string_view text,
                       std::string_view signature) const {
  if (!Fits(algorithm)) return false;
  if (algorithm == "HS256") {
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    return HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()), U(text),
                text.size(), mac, &size) != nullptr &&
           signature.size() == size && CRYPTO_memcmp(mac, signature.data(), size) == 0;
  }
  std::string der;
  if (algorithm == "ES256" || algorithm == "ES384") {
    der = DerOf(signature, algorithm == "ES256" ? 32 : 48);
    if (der.empty()) return false;
    signature = der;
  }
  const Context context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;
  if (!context || EVP_DigestVerifyInit(context.get(), &options, DigestOf(algorithm), nullptr,
                                       key_.get()) != 1) {
    return false;
  }
  if (algorithm == "PS256" &&
      (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) != 1 ||
       EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) != 1)) {
    return false;
  }
  return EVP_DigestVerify(context.get(), U(signature), signature.size(), U(text), text.size()) == 1;
}

absl::StatusOr<std::vector<VerifyKey>> ParseKeySet(std::string_view json) {
  const auto view = json::ScanObject(json);
  const auto keys = view.ok() ? json::ScanArray(view->Raw("keys"))
                              : absl::StatusOr<std::vector<json::Value>>(view.status());
  if (!keys.ok())
    return MakeError("ARGUMENT_INVALID", "gateway", "this is no set of JSON web keys");
  if (keys->size() > kKeysMax) {
    return MakeError("ARGUMENT_INVALID", "gateway",
                     StrCat("the set has ", keys->size(), " keys; ", kKeysMax, " are the most"));
  }
  std::vector<VerifyKey> out;
  for (const json::Value& one : *keys) {
    auto key = VerifyKey::FromJwk(one.raw);
    if (key.ok()) out.push_back(*std::move(key));
  }
  return out;
}

}  // namespace metamcp::jwt
