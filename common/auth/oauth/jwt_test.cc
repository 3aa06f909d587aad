#include "common/auth/oauth/jwt.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "common/base/key_ring.h"

namespace metamcp::oauth {
namespace {

std::string Pem(EVP_PKEY* key) {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<size_t>(size));
  BIO_free(bio);
  return out;
}

// Whether `jwt` verifies under `key`; raw EC signatures are made DER again.
bool Verifies(const std::string& jwt, EVP_PKEY* key, const EVP_MD* digest, bool pss, bool ec) {
  const size_t dot = jwt.rfind('.');
  const std::string text = jwt.substr(0, dot);
  std::string signature = Base64UrlDecode(jwt.substr(dot + 1)).value_or("");
  if (ec) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(signature.data());
    const int half = static_cast<int>(signature.size() / 2);
    ECDSA_SIG* sig = ECDSA_SIG_new();
    ECDSA_SIG_set0(sig, BN_bin2bn(bytes, half, nullptr), BN_bin2bn(bytes + half, half, nullptr));
    unsigned char* der = nullptr;
    const int size = i2d_ECDSA_SIG(sig, &der);
    signature.assign(reinterpret_cast<char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
  }
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_PKEY_CTX* options = nullptr;
  bool good = EVP_DigestVerifyInit(context, &options, digest, nullptr, key) == 1;
  if (pss) good = good && EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1;
  good = good &&
         EVP_DigestVerify(context, reinterpret_cast<const unsigned char*>(signature.data()),
                          signature.size(), reinterpret_cast<const unsigned char*>(text.data()),
                          text.size()) == 1;
  EVP_MD_CTX_free(context);
  return good;
}

TEST(JwtTest, SignsWithEveryKind) {
  EVP_PKEY* ec = EVP_EC_gen("P-256");
  EVP_PKEY* ec384 = EVP_EC_gen("P-384");
  EVP_PKEY* rsa = EVP_RSA_gen(2048);
  EVP_PKEY* ed = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  struct Case {
    EVP_PKEY* key;
    const char* algorithm;
    const EVP_MD* digest;
    bool pss, is_ec;
  };
  const Case kCases[] = {{ec, "ES256", EVP_sha256(), false, true},
                         {ec384, "ES384", EVP_sha384(), false, true},
                         {rsa, "RS256", EVP_sha256(), false, false},
                         {rsa, "PS256", EVP_sha256(), true, false},
                         {ed, "EdDSA", nullptr, false, false}};
  for (const Case& c : kCases) {
    const auto jwt = SignJwt(R"({"iss":"x"})", Pem(c.key), c.algorithm, "k1");
    ASSERT_TRUE(jwt.ok()) << c.algorithm << jwt.status();
    EXPECT_TRUE(Verifies(*jwt, c.key, c.digest, c.pss, c.is_ec)) << c.algorithm;
    EXPECT_EQ(*Base64UrlDecode(jwt->substr(0, jwt->find('.'))),
              std::string(R"({"alg":")") + c.algorithm + R"(","typ":"JWT","kid":"k1"})");
    std::string forged = *jwt;
    forged[forged.find('.') + 1] ^= 1;
    EXPECT_FALSE(Verifies(forged, c.key, c.digest, c.pss, c.is_ec)) << c.algorithm;
  }
  EXPECT_EQ(*DefaultAlgorithm(Pem(rsa)), "RS256");
  EXPECT_EQ(*DefaultAlgorithm(Pem(ec)), "ES256");
  for (const char* wrong : {"RS256", "none", "HS256", "ES384", "EdDSA"}) {
    EXPECT_FALSE(SignJwt("{}", Pem(ec), wrong, "").ok()) << wrong;
  }
  for (EVP_PKEY* key : {ec, ec384, rsa, ed}) EVP_PKEY_free(key);
}

TEST(JwtTest, BadKeysAreRefusedWithoutShowingThem) {
  for (const char* pem : {"", "secret-text", "-----BEGIN PRIVATE KEY-----\nsecret-text\n"}) {
    const auto jwt = SignJwt("{}", pem, "", "");
    EXPECT_FALSE(jwt.ok());
    EXPECT_EQ(std::string(jwt.status().message()).find("secret-text"), std::string::npos);
  }
}

}  // namespace
}  // namespace metamcp::oauth
