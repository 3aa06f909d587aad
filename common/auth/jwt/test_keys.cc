#include "common/auth/jwt/test_keys.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "common/auth/oauth/jwt.h"
#include "common/base/check.h"
#include "common/base/key_ring.h"
#include "common/base/strings.h"

namespace metamcp::jwt {
namespace {

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<size_t>(size));
  BIO_free(bio);
  return out;
}

std::string Parameter(EVP_PKEY* key, const char* name, int bytes) {
  BIGNUM* number = nullptr;
  METAMCP_CHECK(EVP_PKEY_get_bn_param(key, name, &number) == 1);
  std::string out(static_cast<size_t>(bytes > 0 ? bytes : BN_num_bytes(number)), '\0');
  METAMCP_CHECK(BN_bn2binpad(number, reinterpret_cast<unsigned char*>(out.data()),
                             static_cast<int>(out.size())) > 0);
  BN_free(number);
  return Base64UrlEncode(out);
}

std::string JwkOf(EVP_PKEY* key, const std::string& kind, const std::string& kid) {
  const std::string head = StrCat("{\"kid\":\"", kid, "\",\"use\":\"sig\",\"kty\":");
  if (kind.starts_with("RSA")) {
    return StrCat(head, "\"RSA\",\"n\":\"", Parameter(key, OSSL_PKEY_PARAM_RSA_N, 0), "\",\"e\":\"",
                  Parameter(key, OSSL_PKEY_PARAM_RSA_E, 0), "\"}");
  }
  if (kind == "Ed25519") {
    std::string raw(32, '\0');
    size_t size = raw.size();
    EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(raw.data()), &size);
    return StrCat(head, "\"OKP\",\"crv\":\"Ed25519\",\"x\":\"", Base64UrlEncode(raw), "\"}");
  }
  const int half = kind == "P-256" ? 32 : 48;
  return StrCat(head, "\"EC\",\"crv\":\"", kind, "\",\"x\":\"",
                Parameter(key, OSSL_PKEY_PARAM_EC_PUB_X, half), "\",\"y\":\"",
                Parameter(key, OSSL_PKEY_PARAM_EC_PUB_Y, half), "\"}");
}

}  // namespace

TestKey MakeTestKey(const std::string& kind, const std::string& kid) {
  EVP_PKEY* key = kind == "RSA"       ? EVP_RSA_gen(2048)
                  : kind == "RSA1024" ? EVP_RSA_gen(1024)
                  : kind == "Ed25519" ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                                      : EVP_EC_gen(kind.c_str());
  METAMCP_CHECK(key != nullptr);
  TestKey out;
  out.kid = kid;
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  out.private_pem = Text(bio);
  bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(bio, key);
  out.public_pem = Text(bio);
  out.jwk = JwkOf(key, kind, kid);
  EVP_PKEY_free(key);
  return out;
}

std::string KeySetOf(std::initializer_list<TestKey> keys) {
  std::string out;
  for (const TestKey& key : keys) out += StrCat(out.empty() ? "" : ",", key.jwk);
  return StrCat("{\"keys\":[", out, "]}");
}

std::string Signed(std::string_view payload, const TestKey& key, std::string_view algorithm) {
  return *oauth::SignJwt(payload, key.private_pem, algorithm, key.kid);
}

std::string SignedHs256(std::string_view header, std::string_view payload,
                        std::string_view secret) {
  const std::string text = StrCat(Base64UrlEncode(header), ".", Base64UrlEncode(payload));
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &size);
  return StrCat(text, ".",
                Base64UrlEncode(std::string_view(reinterpret_cast<const char*>(mac), size)));
}

}  // namespace metamcp::jwt
