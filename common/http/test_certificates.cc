#include "common/http/test_certificates.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace metamcp::http {
namespace {

void Write(const std::string& path, X509* cert, EVP_PKEY* key) {
  FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  if (cert != nullptr) PEM_write_X509(file, cert);
  if (key != nullptr) PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
}

X509* Make(EVP_PKEY* key, const std::string& name, const std::string& san, X509* issuer,
           EVP_PKEY* issuer_key, int serial, bool expired) {
  X509* cert = X509_new();
  X509_set_version(cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
  X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
  X509_gmtime_adj(X509_getm_notAfter(cert), expired ? -3600 : 3600);
  X509_set_pubkey(cert, key);
  X509_NAME* subject = X509_get_subject_name(cert);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509* signer = issuer != nullptr ? issuer : cert;
  X509_set_issuer_name(cert, X509_get_subject_name(signer));
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, signer, cert, nullptr, nullptr, 0);
  const auto add = [&](int nid, const char* value) {
    X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
  };
  if (issuer == nullptr) {
    add(NID_basic_constraints, "critical,CA:TRUE");
  } else {
    add(NID_subject_alt_name, san.c_str());
  }
  X509_sign(cert, issuer_key, EVP_sha256());
  return cert;
}

}  // namespace

struct TestAuthority::Keys {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = Make(key, "Test CA", "", nullptr, key, 1, false);
};

TestAuthority::TestAuthority() {
  std::string pattern = (std::filesystem::temp_directory_path() / "metamcp_ca_XXXXXX").string();
  folder_ = ::mkdtemp(pattern.data());
  keys_ = new Keys();
  Write(ca_file(), keys_->cert, nullptr);
}

TestAuthority::~TestAuthority() {
  X509_free(keys_->cert);
  EVP_PKEY_free(keys_->key);
  delete keys_;
  std::filesystem::remove_all(folder_);
}

TestCertificate TestAuthority::Issue(const std::string& host, bool expired) {
  const bool address = host.find_first_not_of("0123456789.") == std::string::npos;
  return IssueFor(host, (address ? "IP:" : "DNS:") + host, expired);
}

TestCertificate TestAuthority::IssueFor(const std::string& name, const std::string& names,
                                        bool expired) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = Make(key, name, names, keys_->cert, keys_->key, ++serial_, expired);
  TestCertificate out;
  out.cert_file = folder_ + "/" + std::to_string(serial_) + ".pem";
  out.key_file = folder_ + "/" + std::to_string(serial_) + ".key";
  Write(out.cert_file, cert, nullptr);
  Write(out.key_file, nullptr, key);
  X509_free(cert);
  EVP_PKEY_free(key);
  return out;
}

}  // namespace metamcp::http
