// The files of gateway.tls, as far as this machine can read them.
#include <chrono>
#include <fstream>
#include <iterator>

#include "cli/doctor.h"
#include "common/base/strings.h"
#include "common/pki/certificate.h"

namespace metamcp::cli {
namespace {

constexpr int kEndsSoonDays = 14;

std::string TextOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

}  // namespace

void CheckListenerTls(const config::GatewayTlsConfig& tls, Findings* findings) {
  if (tls.certificate.empty()) return;
  const std::string area = "configuration";
  const auto failed = [&](std::string what) {
    findings->Failed(area, "gateway.tls", std::move(what),
                     "Name PEM files that the gateway's user can read.", "tls.md");
  };
  if (!std::ifstream(tls.key)) return failed(StrCat("the key ", tls.key, " cannot be read"));
  const auto chain = pki::ReadCertificates(TextOf(tls.certificate));
  if (!chain.ok()) return failed(StrCat(tls.certificate, " holds no PEM certificate"));
  if (!tls.client_ca.empty() && !pki::ReadCertificates(TextOf(tls.client_ca)).ok()) {
    return failed(StrCat(tls.client_ca, " holds no PEM certificate"));
  }
  const auto left = (*chain)[0].not_after - std::chrono::system_clock::now();
  const auto days = std::chrono::duration_cast<std::chrono::hours>(left).count() / 24;
  if (left <= std::chrono::seconds(0)) return failed(StrCat(tls.certificate, " has ended"));
  const std::string detail = StrCat(tls.certificate, " holds for ", days, " days");
  if (days < kEndsSoonDays) {
    findings->Warn(area, "gateway.tls", detail, "Renew it; the gateway takes new files by itself.",
                   "tls.md");
  } else {
    findings->Ok(area, "gateway.tls", detail);
  }
}

}  // namespace metamcp::cli
