#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include "common/base/status_macros.h"
#include "common/pki/certificate.h"
#include "common/pki/openssl_types.h"

namespace metamcp::pki {
namespace {

absl::StatusOr<KeyPtr> ParseKey(std::string_view pem) {
  const BioPtr bio = ReadBio(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr) return OpenSslError("the authority's key cannot be read");
  return key;
}

absl::StatusOr<std::string> KeyPem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("a key cannot be written");
  }
  return BioText(bio.get());
}

absl::Status AddExtension(X509* to, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, issuer, to, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value.c_str());
  if (extension == nullptr) return OpenSslError(StrCat("cannot say ", value, " in a certificate"));
  X509_add_ext(to, extension, -1);
  X509_EXTENSION_free(extension);
  return absl::OkStatus();
}

void SetTime(ASN1_TIME* to, Time time) {
  ASN1_TIME_set(to, std::chrono::system_clock::to_time_t(time));
}

absl::StatusOr<X509Ptr> Begin(std::string_view name, Time from, Time until, EVP_PKEY* key) {
  X509Ptr out(X509_new());
  X509_set_version(out.get(), X509_VERSION_3);
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof(serial)) != 1) return OpenSslError("no random numbers");
  serial[0] &= 0x7f;  // positive
  BIGNUM* number = BN_bin2bn(serial, sizeof(serial), nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(out.get()));
  BN_free(number);
  SetTime(X509_getm_notBefore(out.get()), from);
  SetTime(X509_getm_notAfter(out.get()), until);
  X509_NAME* subject = X509_get_subject_name(out.get());
  const std::string common(name);
  const auto add = [subject](const char* field, const std::string& value) {
    return X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1,
                                      0) == 1;
  };
  if (!add("O", "Meta-MCP") || !add("CN", common)) return OpenSslError("not a name");
  if (X509_set_pubkey(out.get(), key) != 1) return OpenSslError("not a public key");
  return out;
}

absl::StatusOr<std::string> Sign(X509* what, EVP_PKEY* key) {
  if (X509_sign(what, key, EVP_sha256()) == 0) return OpenSslError("cannot sign a certificate");
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), what);
  return BioText(bio.get());
}

bool IsIp(const std::string& name) {
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

// OpenSSL reads the list as a line of configuration: nothing in it may look like one.
absl::StatusOr<std::string> AlternativeNames(const LeafRequest& request) {
  std::string list;
  const auto add = [&list](const std::string& kind, const std::string& value) {
    list += StrCat(list.empty() ? "" : ",", kind, ":", value);
  };
  for (const std::string& role : request.roles) add("URI", RoleUri(role));
  for (const std::string& name : request.names) {
    const bool plain = !name.empty() && name.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789.-_*:") == std::string::npos;
    const bool ip = IsIp(name);
    if (!plain || (!ip && name.find(':') != std::string::npos)) {
      return MakeError("CONFIG_INVALID", "gateway",
                       StrCat("\"", name, "\" is neither a host name nor an IP address"));
    }
    add(ip ? "IP" : "DNS", name);
  }
  return list;
}

}  // namespace

absl::StatusOr<Issued> MakeAuthority(std::string_view name, Time from, Time until,
                                     std::string_view key_pem) {
  KeyPtr key;
  if (key_pem.empty()) {
    key.reset(EVP_EC_gen("P-256"));
    if (key == nullptr) return OpenSslError("cannot make a key");
  } else {
    METAMCP_ASSIGN_OR_RETURN(key, ParseKey(key_pem));
  }
  METAMCP_ASSIGN_OR_RETURN(X509Ptr made, Begin(name, from, until, key.get()));
  X509* x = made.get();
  X509_set_issuer_name(x, X509_get_subject_name(x));
  METAMCP_RETURN_IF_ERROR(AddExtension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  METAMCP_RETURN_IF_ERROR(AddExtension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign"));
  METAMCP_RETURN_IF_ERROR(AddExtension(x, x, NID_subject_key_identifier, "hash"));
  Issued out;
  METAMCP_ASSIGN_OR_RETURN(out.certificate, Sign(x, key.get()));
  METAMCP_ASSIGN_OR_RETURN(out.key, KeyPem(key.get()));
  return out;
}

absl::StatusOr<Issued> IssueLeaf(const Issued& authority, const LeafRequest& request) {
  METAMCP_ASSIGN_OR_RETURN(const KeyPtr signer, ParseKey(authority.key));
  const BioPtr bio = ReadBio(authority.certificate);
  const X509Ptr issuer(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (issuer == nullptr) return OpenSslError("the authority's certificate cannot be read");
  METAMCP_ASSIGN_OR_RETURN(const std::string names, AlternativeNames(request));
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslError("cannot make a key");
  METAMCP_ASSIGN_OR_RETURN(X509Ptr made,
                           Begin(request.name, request.from, request.until, key.get()));
  X509* x = made.get();
  X509_set_issuer_name(x, X509_get_subject_name(issuer.get()));
  const std::pair<int, std::string> extensions[] = {{NID_basic_constraints, "critical,CA:FALSE"},
                                                    {NID_key_usage, "critical,digitalSignature"},
                                                    {NID_ext_key_usage, "serverAuth,clientAuth"},
                                                    {NID_subject_key_identifier, "hash"},
                                                    {NID_authority_key_identifier, "keyid"}};
  for (const auto& [nid, value] : extensions) {
    METAMCP_RETURN_IF_ERROR(AddExtension(x, issuer.get(), nid, value));
  }
  if (!names.empty()) {
    METAMCP_RETURN_IF_ERROR(AddExtension(x, issuer.get(), NID_subject_alt_name, names));
  }
  Issued out;
  METAMCP_ASSIGN_OR_RETURN(out.certificate, Sign(x, signer.get()));
  METAMCP_ASSIGN_OR_RETURN(out.key, KeyPem(key.get()));
  return out;
}

}  // namespace metamcp::pki
