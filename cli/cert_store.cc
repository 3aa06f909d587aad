#include "cli/cert_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "cli/context.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/atomic_file.h"

namespace metamcp::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".pem";
constexpr std::string_view kKeySuffix = "-key.pem";

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

std::string CertStore::CertificatePath(const std::string& name) const {
  return StrCat(folder_, "/", name, kSuffix);
}

std::string CertStore::KeyPath(const std::string& name) const {
  return StrCat(folder_, "/", name, kKeySuffix);
}

bool CertStore::Has(const std::string& name) const {
  std::error_code failed;
  return fs::exists(CertificatePath(name), failed) || fs::exists(KeyPath(name), failed);
}

absl::StatusOr<pki::Issued> CertStore::Read(const std::string& name) const {
  pki::Issued out;
  for (const auto& [path, into] :
       {std::pair(CertificatePath(name), &out.certificate), std::pair(KeyPath(name), &out.key)}) {
    auto text = config::ReadTextBlocking(path);
    if (absl::IsNotFound(text.status())) {
      return Fail("NOT_FOUND", StrCat("there is no ", path),
                  "Make certificates with 'meta-mcp cert init', or name their folder with --dir.");
    }
    METAMCP_RETURN_IF_ERROR(text.status());
    *into = *std::move(text);
  }
  return out;
}

absl::StatusOr<pki::Certificate> CertStore::Describe(const std::string& name) const {
  METAMCP_ASSIGN_OR_RETURN(const std::string pem, config::ReadTextBlocking(CertificatePath(name)));
  METAMCP_ASSIGN_OR_RETURN(const std::vector<pki::Certificate> all, pki::ReadCertificates(pem));
  return all.front();
}

absl::Status CertStore::Write(const std::string& name, const pki::Issued& issued) const {
  std::error_code failed;
  const bool made = fs::create_directories(folder_, failed);
  if (failed)
    return Fail("PERMISSION_DENIED", StrCat("cannot make ", folder_, ": ", failed.message()));
  if (made) fs::permissions(folder_, fs::perms::owner_all, failed);
  // Replacing a file keeps its mode.
  if (::chmod(KeyPath(name).c_str(), 0600) != 0 && errno != ENOENT) {
    return Fail("PERMISSION_DENIED", StrCat("cannot protect ", KeyPath(name)), "");
  }
  METAMCP_RETURN_IF_ERROR(config::ReplaceTextBlocking(KeyPath(name), issued.key));
  return config::ReplaceTextBlocking(CertificatePath(name), issued.certificate);
}

std::vector<std::string> CertStore::Names() const {
  std::vector<std::string> names;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder_, failed)) {
    const std::string file = entry.path().filename().string();
    if (!EndsWith(file, kSuffix) || EndsWith(file, kKeySuffix)) continue;
    const std::string name = file.substr(0, file.size() - kSuffix.size());
    if (name != kAuthority) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace metamcp::cli
