#include "common/auth/password_hash.h"

#include <argon2.h>

#include <cstdio>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::auth {
namespace {

// OWASP's first choice for one lane.
constexpr uint32_t kMemoryKib = 19 << 10;
constexpr uint32_t kPasses = 2;
constexpr uint32_t kLanes = 1;
constexpr size_t kSaltBytes = 16;
constexpr size_t kHashBytes = 32;
constexpr size_t kPasswordBytesMax = 1024;
constexpr size_t kEncodedBytesMax = 512;

constexpr unsigned kMemoryKibMin = 8 << 10;
constexpr unsigned kMemoryKibMax = 256 << 10;
constexpr unsigned kPassesMin = 3;
constexpr unsigned kPassesMax = 10;
constexpr unsigned kLanesMax = 8;

}  // namespace

absl::StatusOr<std::string> HashPasswordBlocking(std::string_view password) {
  if (password.empty() || password.size() > kPasswordBytesMax) {
    return MakeError("ARGUMENT_INVALID", "gateway",
                     StrCat("a password has 1 to ", kPasswordBytesMax, " bytes"));
  }
  const std::string salt = RandomBytes(kSaltBytes);
  std::string out(kEncodedBytesMax, '\0');
  const int code =
      argon2id_hash_encoded(kPasses, kMemoryKib, kLanes, password.data(), password.size(),
                            salt.data(), salt.size(), kHashBytes, out.data(), out.size());
  if (code != ARGON2_OK) return absl::InternalError(argon2_error_message(code));
  out.resize(out.find('\0'));
  return out;
}

bool CheckPasswordBlocking(const std::string& hash, std::string_view password) {
  if (password.size() > kPasswordBytesMax) return false;
  return argon2id_verify(hash.c_str(), password.data(), password.size()) == ARGON2_OK;
}

absl::Status CheckPasswordHash(const std::string& hash) {
  unsigned memory = 0, passes = 0, lanes = 0;
  const int read =
      std::sscanf(hash.c_str(), "$argon2id$v=19$m=%u,t=%u,p=%u$", &memory, &passes, &lanes);
  const auto wrong = [](std::string_view why) {
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat(why, "; make the hash with 'meta-mcp token password'"));
  };
  if (read != 3 || hash.size() > kEncodedBytesMax) return wrong("it is no Argon2id hash");
  if (memory > kMemoryKibMax || passes > kPassesMax || lanes == 0 || lanes > kLanesMax) {
    return wrong("checking it would cost too much");
  }
  if (memory < kMemoryKibMin && passes < kPassesMin) return wrong("it is too cheap to try");
  return absl::OkStatus();
}

}  // namespace metamcp::auth
