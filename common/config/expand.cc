#include "common/config/expand.h"

#include <unistd.h>

#include <fstream>

#include "absl/strings/ascii.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::config {
namespace {

constexpr int kNestingMax = 8;
constexpr std::string_view kDomain = "config";

// One "${...}" taken apart. `body` is what is between the braces.
struct Parts {
  Reference reference;
  std::string_view default_text;
  size_t end = 0;  // one past the closing brace
};

bool IsName(std::string_view s) {
  if (s.empty() || absl::ascii_isdigit(s[0])) return false;
  for (const char c : s) {
    if (!absl::ascii_isalnum(c) && c != '_') return false;
  }
  return true;
}

absl::Status Malformed(std::string_view what) {
  return MakeError(
      "CONFIG_INVALID", kDomain,
      StrCat(what,
             "; write ${NAME}, ${NAME:-default}, ${env:NAME}, ${file:/path} or ${secret:NAME}, "
             "and $${ for a literal ${"));
}

// Takes apart the reference that starts at text[start] == '$', text[start + 1] == '{'.
absl::StatusOr<Parts> Split(std::string_view text, size_t start) {
  int depth = 0;
  size_t end = start + 2;
  for (; end < text.size(); ++end) {
    if (text[end] == '$' && end + 1 < text.size() && text[end + 1] == '{') {
      if (++depth > kNestingMax) return Malformed("a variable reference is nested too deeply");
      ++end;
    } else if (text[end] == '}' && depth-- == 0) {
      break;
    }
  }
  if (end >= text.size()) return Malformed("a variable reference ${ is not closed");
  std::string_view body = text.substr(start + 2, end - start - 2);
  Parts parts;
  parts.end = end + 1;
  if (body.substr(0, 5) == "file:") {
    parts.reference.kind = Reference::Kind::kFile;
    parts.reference.name = std::string(body.substr(5));
    if (parts.reference.name.empty() || parts.reference.name[0] != '/') {
      return Malformed("a ${file:...} reference has no absolute path");
    }
    return parts;
  }
  if (body.substr(0, 7) == "secret:") {
    parts.reference.kind = Reference::Kind::kSecret;
    parts.reference.name = std::string(body.substr(7));
    if (!IsName(parts.reference.name)) {
      return Malformed(StrCat("'", body.substr(0, 64), "' is no secret's name"));
    }
    return parts;
  }
  if (body.substr(0, 4) == "env:") body.remove_prefix(4);
  if (const size_t colon = body.find(":-"); colon != std::string_view::npos) {
    parts.reference.has_default = true;
    parts.default_text = body.substr(colon + 2);
    body = body.substr(0, colon);
  }
  if (!IsName(body)) return Malformed(StrCat("'", body.substr(0, 64), "' is no variable's name"));
  parts.reference.name = std::string(body);
  return parts;
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path, const ExpandOptions& options) {
  if (!options.allow_files) return Malformed("${file:...} is not allowed here");
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return MakeError("NOT_FOUND", kDomain, StrCat("the file ", path, " cannot be read"));
  }
  std::string content(options.file_bytes_max + 1, '\0');
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<size_t>(in.gcount()));
  if (content.size() > options.file_bytes_max) {
    return MakeError(
        "CONFIG_INVALID", kDomain,
        StrCat("the file ", path, " has more than ", options.file_bytes_max, " bytes"));
  }
  if (!content.empty() && content.back() == '\n') content.pop_back();
  if (!content.empty() && content.back() == '\r') content.pop_back();
  return content;
}

absl::Status ExpandInto(std::string_view text, const Environment& env, const ExpandOptions& options,
                        int depth, std::string* out) {
  if (depth > kNestingMax) return Malformed("a variable reference is nested too deeply");
  for (size_t i = 0; i < text.size();) {
    if (text.substr(i, 3) == "$${") {
      *out += "${";
      i += 3;
      continue;
    }
    if (text.substr(i, 2) != "${") {
      out->push_back(text[i++]);
      continue;
    }
    METAMCP_ASSIGN_OR_RETURN(const Parts parts, Split(text, i));
    i = parts.end;
    if (parts.reference.kind == Reference::Kind::kFile) {
      METAMCP_ASSIGN_OR_RETURN(const std::string content,
                               ReadSecretFile(parts.reference.name, options));
      *out += content;
      continue;
    }
    if (parts.reference.kind == Reference::Kind::kSecret) {
      const auto secret = env.find(StrCat("secret:", parts.reference.name));
      if (secret == env.end()) {
        return MakeError("NOT_FOUND", kDomain,
                         StrCat("the vault has no secret ", parts.reference.name,
                                "; meta-mcp secret set ", parts.reference.name, " adds it"),
                         {{"secret", parts.reference.name}});
      }
      *out += secret->second;
      continue;
    }
    const auto found = env.find(parts.reference.name);
    if (found != env.end() && !(found->second.empty() && parts.reference.has_default)) {
      *out += found->second;
    } else if (parts.reference.has_default) {
      METAMCP_RETURN_IF_ERROR(ExpandInto(parts.default_text, env, options, depth + 1, out));
    } else {
      return MakeError("NOT_FOUND", kDomain,
                       StrCat("the variable ", parts.reference.name, " is not set"),
                       {{"variable", parts.reference.name}});
    }
  }
  return absl::OkStatus();
}

void CollectReferences(std::string_view text, int depth, std::vector<Reference>* out) {
  if (depth > kNestingMax) return;
  for (size_t i = 0; i < text.size();) {
    if (text.substr(i, 3) == "$${") {
      i += 3;
    } else if (text.substr(i, 2) == "${") {
      auto parts = Split(text, i);
      if (!parts.ok()) {
        i += 2;
        continue;
      }
      out->push_back(parts->reference);
      CollectReferences(parts->default_text, depth + 1, out);
      i = parts->end;
    } else {
      ++i;
    }
  }
}

}  // namespace

Environment ProcessEnvironment() {
  Environment out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

absl::StatusOr<std::string> Expand(std::string_view text, const Environment& env,
                                   const ExpandOptions& options) {
  std::string out;
  METAMCP_RETURN_IF_ERROR(ExpandInto(text, env, options, 0, &out));
  return out;
}

std::vector<Reference> References(std::string_view text) {
  std::vector<Reference> out;
  CollectReferences(text, 0, &out);
  return out;
}

}  // namespace metamcp::config
