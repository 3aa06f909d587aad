#include "services/workflow/face/signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/key_ring.h"
#include "common/base/strings.h"

namespace metamcp::workflow {
namespace {

constexpr std::string_view kPrefix = "whsec_";
constexpr size_t kBytesMin = 24;
constexpr size_t kBytesMax = 64;

absl::Status Refused(std::string_view why) { return MakeError("AUTH_INVALID", "workflow", why); }

}  // namespace

std::string MakeSecret() { return StrCat(kPrefix, Base64Encode(RandomBytes(32))); }

absl::StatusOr<std::string> SecretBytes(std::string_view secret) {
  if (secret.rfind(kPrefix, 0) == 0) {
    auto bytes = Base64Decode(secret.substr(kPrefix.size()));
    if (bytes && bytes->size() >= kBytesMin && bytes->size() <= kBytesMax) {
      return *std::move(bytes);
    }
  }
  return MakeError(
      "ARGUMENT_INVALID", "workflow",
      "a secret is whsec_ and 24 to 64 bytes in base64; leave it out to have one made");
}

std::string Sign(std::string_view secret_bytes, std::string_view id, int64_t timestamp,
                 std::string_view body) {
  const std::string text = StrCat(id, ".", timestamp, ".", body);
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret_bytes.data(), static_cast<int>(secret_bytes.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(), &size);
  return StrCat("v1,",
                Base64Encode(std::string_view(reinterpret_cast<const char*>(mac.data()), size)));
}

absl::Status CheckSignature(std::string_view secret_bytes, std::string_view id,
                            std::string_view timestamp, std::string_view header,
                            std::string_view body, int64_t now_s, int64_t tolerance_s) {
  int64_t at = 0;
  if (id.empty() || !absl::SimpleAtoi(Av(timestamp), &at)) {
    return Refused("the headers webhook-id and webhook-timestamp (seconds) are needed");
  }
  if (at < now_s - tolerance_s || at > now_s + tolerance_s) {
    return Refused("webhook-timestamp is too far from now");
  }
  const std::string wanted = Sign(secret_bytes, id, at, body);
  bool fits = false;
  for (const absl::string_view one : absl::StrSplit(Av(header), ' ')) {
    fits |=
        one.size() == wanted.size() && CRYPTO_memcmp(one.data(), wanted.data(), wanted.size()) == 0;
  }
  return fits ? absl::OkStatus() : Refused("webhook-signature does not fit the body");
}

}  // namespace metamcp::workflow
