#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp {

// What a sealed value is for. Each purpose has its own HKDF subkey, so that a value sealed for one
// can never be opened as another.
enum class SealPurpose { kSession, kCall, kCursor, kTask, kToken, kVault };

// The keys that seal handles given to clients: AES-256-GCM with a random 96-bit nonce (NIST SP
// 800-38D), subkeys by HKDF-SHA-256 (RFC 5869). The first key seals, all open; so a key is rotated
// by adding it, promoting it, and removing the old one after the longest lifetime of a handle.
//
// Replace changes the keys under everybody who refers to the ring; a copy keeps those it has.
// Thread: any.
class KeyRing {
 public:
  struct Key {
    std::string kid;     // 1 to 16 characters of [A-Za-z0-9]
    std::string secret;  // 32 raw bytes
  };

  // Errors: INVALID_ARGUMENT for no keys, a wrong kid, a wrong size or a duplicate.
  static absl::StatusOr<KeyRing> Create(std::vector<Key> keys);

  // Returns a ring of one random key that lives as long as the process.
  static KeyRing Ephemeral();

  // Reads {"keys":[{"kid":"…","key":"<base64, 32 bytes>"}]} from `path`; where the file is missing,
  // makes one with a fresh key, mode 0600, atomically (two starters end with the same file).
  // Blocks on the file system. Errors: INVALID_ARGUMENT for a malformed file, PERMISSION_DENIED if
  // others can read it, else the system's.
  static absl::StatusOr<KeyRing> LoadOrCreateBlocking(const std::string& path);

  // As before, for a file that several processes share, such as a mounted Secret: its group may
  // read it, and it is made only if nobody has.
  static absl::StatusOr<KeyRing> LoadSharedBlocking(const std::string& path);

  KeyRing(const KeyRing& other);
  KeyRing(KeyRing&& other) noexcept;
  ~KeyRing();

  // Takes the keys of `other`; returns whether they differ from those before. Values that only a
  // key which is gone could open are refused from now on.
  bool Replace(const KeyRing& other);

  // Returns base64url(version, kid, nonce, ciphertext, tag) of `plain`, bound to `context`.
  std::string Seal(SealPurpose purpose, std::string_view plain, std::string_view context) const;

  // Returns what was sealed, or nothing if the text was not sealed by this ring for this purpose
  // and context.
  std::optional<std::string> Open(SealPurpose purpose, std::string_view sealed,
                                  std::string_view context) const;

  // HMAC-SHA-256 of `data` under the first key's subkey of `purpose` (32 raw bytes).
  std::string Mac(SealPurpose purpose, std::string_view data) const;
  // The same under the key `kid`; empty when the ring has none of that name.
  std::string Mac(SealPurpose purpose, std::string_view data, std::string_view kid) const;
  // The names of the keys, first the one that seals.
  std::vector<std::string> Kids() const;

 private:
  struct Derived;
  using Keys = std::vector<Derived>;
  explicit KeyRing(std::shared_ptr<const Keys> keys);
  static absl::StatusOr<KeyRing> LoadBlocking(const std::string& path, unsigned forbidden_mode);
  std::shared_ptr<const Keys> keys() const;
  std::shared_ptr<const Keys> keys_;  // read and written atomically
};

// base64url without padding (RFC 4648, section 5).
std::string Base64UrlEncode(std::string_view data);
std::optional<std::string> Base64UrlDecode(std::string_view text);
// Canonical standard base64 with padding; anything else is refused.
std::string Base64Encode(std::string_view data);
std::optional<std::string> Base64Decode(std::string_view text);

}  // namespace metamcp
