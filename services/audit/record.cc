#include "services/audit/record.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <memory>
#include <vector>

#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/base/key_ring.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::audit {
namespace {

constexpr size_t kNonce = 12;
constexpr size_t kTag = 16;
constexpr size_t kNameBytesMax = 256;
constexpr size_t kTargetBytesMax = 2048;

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

const unsigned char* In(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* Out(std::string& text, size_t at = 0) {
  return reinterpret_cast<unsigned char*>(text.data()) + at;
}

// A key of its own for each record: so random nonces never meet, however many records a subject
// has.
std::string RecordKey(const SubjectKey& subject, std::string_view id) {
  std::string out(32, '\0');
  unsigned size = 0;
  METAMCP_CHECK(HMAC(EVP_sha256(), subject.key.data(), static_cast<int>(subject.key.size()), In(id),
                     id.size(), Out(out), &size) != nullptr);
  return out;
}

std::string Bound(std::string_view tenant, std::string_view subject, std::string_view id) {
  return StrCat("metamcp.audit.v1\n", tenant, "\n", subject, "\n", id);
}

std::string Encrypt(std::string_view plain, const std::string& key, const std::string& bound) {
  const std::string nonce = RandomBytes(kNonce);
  std::string out = nonce;
  out.resize(kNonce + plain.size() + kTag);
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int n = 0;
  METAMCP_CHECK(
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, In(key), In(nonce)) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &n, In(bound), static_cast<int>(bound.size())) ==
          1 &&
      EVP_EncryptUpdate(cipher.get(), Out(out, kNonce), &n, In(plain),
                        static_cast<int>(plain.size())) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), Out(out, kNonce + static_cast<size_t>(n)), &n) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTag,
                          Out(out, kNonce + plain.size())) == 1);
  return out;
}

std::optional<std::string> Decrypt(std::string_view sealed, const std::string& key,
                                   const std::string& bound) {
  if (sealed.size() < kNonce + kTag) return std::nullopt;
  const std::string nonce(sealed.substr(0, kNonce));
  const std::string_view body = sealed.substr(kNonce, sealed.size() - kNonce - kTag);
  std::string tag(sealed.substr(sealed.size() - kTag));
  std::string out(body.size() + 1, '\0');
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int n = 0;
  const bool opened =
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, In(key), In(nonce)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &n, In(bound), static_cast<int>(bound.size())) ==
          1 &&
      EVP_DecryptUpdate(cipher.get(), Out(out), &n, In(body), static_cast<int>(body.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTag, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), Out(out, body.size()), &n) == 1;
  if (!opened) return std::nullopt;
  out.resize(body.size());
  return out;
}

// Writes an object whose members are given in canonical order; empty ones are left out.
class Members {
 public:
  Members& Text(std::string_view key, std::string_view value) {
    if (!value.empty()) out_.AddString(key, value);
    return *this;
  }
  Members& Number(std::string_view key, int64_t value) {
    if (value != 0) out_.AddInt(key, value);
    return *this;
  }
  Members& Raw(std::string_view key, std::string_view raw) {
    if (!raw.empty()) out_.Add(key, raw);
    return *this;
  }
  template <typename List>
  Members& Texts(std::string_view key, const List& list) {
    if (list.empty()) return *this;
    std::vector<std::string> quoted;
    for (const std::string& text : list) quoted.push_back(json::JsonQuote(text));
    return Raw(key, json::JoinArray(quoted));
  }
  std::string Build() { return std::move(out_).Build(); }

 private:
  json::ObjectWriter out_;
};

// "key:<name>" without the name, which is personal.
std::string MethodKind(std::string_view method) {
  return std::string(method.substr(0, method.find(':')));
}

std::string MakePersonal(const v1::Event& event) {
  const auto& who = event.principal();
  const auto& arguments = event.arguments();
  return Members()
      .Texts("actors", who.actors())
      .Text("client", CleanText(who.client(), kNameBytesMax))
      .Text("digest", HexEncode(arguments.digest()))
      .Text("method", who.method())
      .Text("name", who.subject())
      .Text("payload", arguments.payload())
      .Text("result", event.result())
      .Text("shape", arguments.shape())
      .Text("target", CleanText(event.target(), kTargetBytesMax))
      .Texts("teams", who.teams())
      .Build();
}

}  // namespace

RecordRow MakeRow(std::string_view tenant, const v1::Event& event, const SubjectKey& subject) {
  RecordRow row;
  row.tenant = std::string(tenant);
  row.id = CleanText(event.id(), 64);
  row.time_us = event.time_us();
  row.subject = subject.id;
  row.action = CleanText(event.action(), kNameBytesMax);
  row.item = CleanText(event.item(), kNameBytesMax);
  row.upstream = CleanText(event.upstream(), kNameBytesMax);
  row.virtual_server = CleanText(event.virtual_server(), kNameBytesMax);
  row.outcome = CleanText(event.outcome(), kNameBytesMax);
  row.trace = CleanText(event.trace(), 64);
  return row;
}

std::string MakeRecord(const RecordRow& row, int64_t seq, const v1::Event& event,
                       const SubjectKey& subject) {
  const std::string personal = Encrypt(MakePersonal(event), RecordKey(subject, row.id),
                                       Bound(row.tenant, subject.id, row.id));
  const std::string policy = Members()
                                 .Text("effect", CleanText(event.decision(), kNameBytesMax))
                                 .Text("rule", CleanText(event.rule(), kNameBytesMax))
                                 .Build();
  // In the order of RFC 8785: all names are ASCII, so bytes sort as UTF-16 does.
  return Members()
      .Text("action", row.action)
      .Number("code", event.code())
      .Number("count", event.count())
      .Number("durationUs", event.duration_us())
      .Text("id", row.id)
      .Text("item", row.item)
      .Text("kind", event.principal().kind())
      .Text("outcome", row.outcome)
      .Text("personal", Base64UrlEncode(personal))
      .Raw("policy", policy == "{}" ? "" : policy)
      .Text("provider", CleanText(event.provider(), kNameBytesMax))
      .Text("reason", CleanText(event.reason(), kNameBytesMax))
      .Number("requestBytes", event.arguments().size())
      .Number("resultBytes", event.result_size())
      .Texts("roles", event.principal().roles())
      .Number("seq", seq)
      .Text("source", CleanText(event.source(), kNameBytesMax))
      .Text("subject", row.subject)
      .Text("tenant", row.tenant)
      .Number("timeUs", row.time_us)
      .Text("trace", row.trace)
      .Text("upstream", row.upstream)
      .Number("v", 1)
      .Text("via", MethodKind(event.principal().method()))
      .Text("virtualServer", row.virtual_server)
      .Build();
}

std::string DifferenceOf(const RecordRow& row) {
  const auto view = json::ScanObject(row.record);
  if (!view.ok()) return "the record is not a JSON object";
  const std::pair<const char*, const std::string*> texts[] = {
      {"id", &row.id},
      {"subject", &row.subject},
      {"action", &row.action},
      {"item", &row.item},
      {"upstream", &row.upstream},
      {"virtualServer", &row.virtual_server},
      {"outcome", &row.outcome},
      {"trace", &row.trace}};
  for (const auto& [key, column] : texts) {
    if (view->String(key).value_or("") != *column) {
      return StrCat("the column beside the record has another ", key);
    }
  }
  if (json::RawInt64(view->Raw("timeUs")).value_or(0) != row.time_us) {
    return "the column beside the record has another timeUs";
  }
  return "";
}

std::string SubjectOf(std::string_view record) {
  const auto view = json::ScanObject(record);
  return view.ok() ? view->String("subject").value_or("") : "";
}

std::optional<std::string> OpenPersonal(std::string_view record, const SubjectKey& subject) {
  const auto view = json::ScanObject(record);
  if (!view.ok()) return std::nullopt;
  const auto sealed = Base64UrlDecode(view->String("personal").value_or(""));
  const std::string id = view->String("id").value_or("");
  if (!sealed) return std::nullopt;
  return Decrypt(*sealed, RecordKey(subject, id),
                 Bound(view->String("tenant").value_or(""), subject.id, id));
}

}  // namespace metamcp::audit
