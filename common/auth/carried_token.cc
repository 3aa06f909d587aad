#include "common/auth/carried_token.h"

#include <openssl/crypto.h>

#include <string>
#include <utility>

namespace metamcp::auth {
namespace {

// Keeps the principal, whose memory is not ours to free, and the token beside it.
struct Carrier {
  std::shared_ptr<const Principal> principal;
  std::string token;
  void operator()(const Principal*) {
    OPENSSL_cleanse(token.data(), token.size());
    principal.reset();
  }
};

}  // namespace

std::shared_ptr<const Principal> CarryToken(std::shared_ptr<const Principal> principal,
                                            std::string_view token) {
  if (principal == nullptr || token.empty()) return principal;
  const Principal* object = principal.get();
  Carrier carrier{std::move(principal), std::string(token)};
  return std::shared_ptr<const Principal>(object, std::move(carrier));
}

std::string_view CarriedToken(const std::shared_ptr<const Principal>& principal) {
  const Carrier* carrier = std::get_deleter<Carrier>(principal);
  return carrier == nullptr ? std::string_view() : std::string_view(carrier->token);
}

}  // namespace metamcp::auth
