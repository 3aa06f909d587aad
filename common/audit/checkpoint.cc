#include "common/audit/checkpoint.h"

#include <charconv>
#include <vector>

#include "common/base/ids.h"
#include "common/base/key_ring.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::audit {
namespace {

constexpr std::string_view kSigner = "meta-mcp-audit";
constexpr std::string_view kDash = "\xE2\x80\x94 ";  // the em dash that begins a signature line
constexpr size_t kHash = 32;

// The first bytes of a signature line, which tell a verifier which key to try.
std::string KeyHint(const VerifyKey& key) {
  const std::string_view ed25519("\x01", 1);
  return Sha256(StrCat(kSigner, "\n", ed25519, key.raw())).substr(0, 4);
}

std::string Body(const Checkpoint& checkpoint) {
  return StrCat(checkpoint.origin, "\n", checkpoint.size, "\n", Base64Encode(checkpoint.root),
                "\nchain ", HexEncode(checkpoint.chain), "\ntime ", checkpoint.time_us, "\n");
}

bool ReadNumber(std::string_view text, int64_t* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size() && *out >= 0;
}

std::string FromHex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    if (error != std::errc() || end != text.data() + i + 2) return "";
    out.push_back(static_cast<char>(value));
  }
  return text.size() % 2 == 0 ? out : "";
}

absl::Status Bad(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("not a checkpoint: ", what));
}

}  // namespace

std::string MakeOrigin(std::string_view log_id, std::string_view tenant) {
  std::string out = StrCat("meta-mcp/audit/", log_id, "/");
  for (const char c : tenant) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    out += plain ? std::string(1, c) : StrCat("%", HexEncode(std::string_view(&c, 1)));
  }
  return out;
}

std::string SignCheckpoint(const Checkpoint& checkpoint, const SigningKey& key) {
  std::string body = Body(checkpoint);
  const std::string signature = KeyHint(key.verify_key()) + key.Sign(body);
  return StrCat(body, "\n", kDash, kSigner, " ", Base64Encode(signature), "\n");
}

absl::StatusOr<Checkpoint> ReadCheckpoint(std::string_view note) {
  std::vector<std::string_view> lines;
  for (size_t at = 0; at < note.size();) {
    const size_t end = note.find('\n', at);
    if (end == std::string_view::npos) return Bad("it does not end with a line");
    lines.push_back(note.substr(at, end - at));
    at = end + 1;
  }
  if (lines.size() < 7 || !lines[5].empty()) return Bad("lines are missing");
  Checkpoint out;
  out.origin = std::string(lines[0]);
  out.root = Base64Decode(lines[2]).value_or("");
  const bool extended = lines[3].substr(0, 6) == "chain " && lines[4].substr(0, 5) == "time ";
  if (!extended || !ReadNumber(lines[1], &out.size) ||
      !ReadNumber(lines[4].substr(5), &out.time_us)) {
    return Bad("size, chain or time");
  }
  out.chain = FromHex(lines[3].substr(6));
  if (out.root.size() != kHash || out.chain.size() != kHash) return Bad("root or chain hash");
  return out;
}

absl::StatusOr<Checkpoint> OpenCheckpoint(std::string_view note, const VerifyKey& key) {
  METAMCP_ASSIGN_OR_RETURN(Checkpoint checkpoint, ReadCheckpoint(note));
  const std::string body = Body(checkpoint);
  if (note.substr(0, body.size()) != body) return Bad("it is written in another way");
  const std::string start = StrCat(kDash, kSigner, " ");
  std::string_view rest = note.substr(body.size() + 1);
  for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    if (line.substr(0, start.size()) != start) continue;
    const std::string signature = Base64Decode(line.substr(start.size())).value_or("");
    if (signature.size() > 4 && signature.substr(0, 4) == KeyHint(key) &&
        key.Verify(body, std::string_view(signature).substr(4))) {
      return checkpoint;
    }
  }
  return absl::PermissionDeniedError(
      StrCat("the checkpoint of ", checkpoint.size, " records is not signed by the given key"));
}

}  // namespace metamcp::audit
