#include "common/pki/certificate.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <ctime>

#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/pki/openssl_types.h"

namespace metamcp::pki {
namespace {

constexpr std::string_view kRolePrefix = "spiffe://meta-mcp/";

absl::Status Unusable(std::string what) {
  return MakeError("CONFIG_INVALID", "gateway", std::move(what));
}

std::vector<X509Ptr> ParseAll(std::string_view pem) {
  std::vector<X509Ptr> out;
  const BioPtr bio = ReadBio(pem);
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) out.emplace_back(one);
  ERR_clear_error();
  return out;
}

std::string NameText(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  return BioText(bio.get());
}

Time ToTime(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Time();
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

std::string AddressText(const ASN1_OCTET_STRING* octets) {
  char text[INET6_ADDRSTRLEN] = "";
  const int family = octets->length == 4 ? AF_INET : AF_INET6;
  if (octets->length != 4 && octets->length != 16) return {};
  ::inet_ntop(family, octets->data, text, sizeof(text));
  return text;
}

void ReadNames(X509* from, Certificate& to) {
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(from, NID_subject_alt_name, nullptr, nullptr));
  if (names == nullptr) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_IPADD) {
      to.addresses.push_back(AddressText(name->d.iPAddress));
    } else if (name->type == GEN_URI || name->type == GEN_DNS || name->type == GEN_EMAIL) {
      const ASN1_IA5STRING* text = name->d.ia5;
      std::string value(reinterpret_cast<const char*>(text->data),
                        static_cast<size_t>(text->length));
      auto& list = name->type == GEN_URI   ? to.uris
                   : name->type == GEN_DNS ? to.dns_names
                                           : to.emails;
      list.push_back(std::move(value));
    }
  }
  GENERAL_NAMES_free(names);
}

std::string Day(Time time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  char text[32];
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &parts);
  return text;
}

// Whether one of `authorities` vouches for the first of `chain` at `now`.
absl::Status Verify(const std::vector<X509Ptr>& authorities, const std::vector<X509Ptr>& chain,
                    Time now) {
  const std::unique_ptr<X509_STORE, Free<X509_STORE_free>> store(X509_STORE_new());
  for (const X509Ptr& one : authorities) X509_STORE_add_cert(store.get(), one.get());
  STACK_OF(X509)* between = sk_X509_new_null();
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(between, chain[i].get());
  const std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX_free>> ctx(X509_STORE_CTX_new());
  X509_STORE_CTX_init(ctx.get(), store.get(), chain[0].get(), between);
  X509_STORE_CTX_set_time(ctx.get(), 0, std::chrono::system_clock::to_time_t(now));
  const bool good = X509_verify_cert(ctx.get()) == 1;
  const int error = X509_STORE_CTX_get_error(ctx.get());
  sk_X509_free(between);
  ERR_clear_error();
  if (good) return absl::OkStatus();
  return Unusable(StrCat("services.tls.ca does not vouch for services.tls.certificate (",
                         X509_verify_cert_error_string(error),
                         "); issue it with this authority, or name the one that did"));
}

}  // namespace

Certificate DescribeX509(X509* from) {
  Certificate to;
  to.subject = NameText(X509_get_subject_name(from));
  to.issuer = NameText(X509_get_issuer_name(from));
  BIGNUM* serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(from), nullptr);
  char* hex = BN_bn2hex(serial);
  to.serial = hex == nullptr ? "" : hex;
  OPENSSL_free(hex);
  BN_free(serial);
  to.not_before = ToTime(X509_get0_notBefore(from));
  to.not_after = ToTime(X509_get0_notAfter(from));
  to.authority = X509_check_ca(from) == 1;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  X509_digest(from, EVP_sha256(), digest, &size);
  to.fingerprint = HexEncode(std::string_view(reinterpret_cast<char*>(digest), size));
  ReadNames(from, to);
  return to;
}

std::string RoleUri(std::string_view role) { return StrCat(kRolePrefix, role); }

std::vector<std::string> RolesOf(const std::vector<std::string>& uris) {
  std::vector<std::string> roles;
  for (const std::string& uri : uris) {
    if (uri.rfind(kRolePrefix, 0) == 0) roles.push_back(uri.substr(kRolePrefix.size()));
  }
  return roles;
}

absl::StatusOr<std::vector<Certificate>> ReadCertificates(std::string_view pem) {
  std::vector<Certificate> out;
  for (const X509Ptr& one : ParseAll(pem)) out.push_back(DescribeX509(one.get()));
  if (out.empty()) return Unusable("this is no PEM certificate");
  return out;
}

absl::Status CheckMaterial(const Material& material, Time now) {
  const std::vector<X509Ptr> authorities = ParseAll(material.ca);
  if (authorities.empty()) return Unusable("services.tls.ca holds no PEM certificate");
  const std::vector<X509Ptr> chain = ParseAll(material.certificate);
  if (chain.empty()) return Unusable("services.tls.certificate holds no PEM certificate");
  const BioPtr bio = ReadBio(material.key);
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (key == nullptr)
    return Unusable("services.tls.key holds no PEM private key without a password");
  const int fits = X509_check_private_key(chain[0].get(), key.get());
  ERR_clear_error();
  if (fits != 1) return Unusable("services.tls.key is not the key of services.tls.certificate");
  const Certificate leaf = DescribeX509(chain[0].get());
  if (now < leaf.not_before) {
    return Unusable(StrCat("services.tls.certificate is valid from ", Day(leaf.not_before),
                           " only; is this machine's clock right?"));
  }
  if (now >= leaf.not_after) {
    return Unusable(StrCat("services.tls.certificate ended on ", Day(leaf.not_after),
                           "; renew it, for example with 'meta-mcp cert renew'"));
  }
  METAMCP_RETURN_IF_ERROR(Verify(authorities, chain, now));
  if (RolesOf(leaf.uris).empty()) {
    return Unusable(StrCat("services.tls.certificate names no role: it needs the URI ", kRolePrefix,
                           "gateway, …connector or …catalog among its alternative names"));
  }
  return absl::OkStatus();
}

}  // namespace metamcp::pki
