#pragma once

#include <string>

namespace metamcp::http {

// A certificate and its key in PEM files.
struct TestCertificate {
  std::string cert_file;
  std::string key_file;
};

// An authority made for one test, in a folder that goes away with it.
class TestAuthority {
 public:
  TestAuthority();
  ~TestAuthority();
  // A certificate for `host` (a name or an address), valid now, or only in the past.
  TestCertificate Issue(const std::string& host, bool expired = false);
  // The same with these alternative names, as OpenSSL writes them ("URI:spiffe://x/y,email:a@b").
  TestCertificate IssueFor(const std::string& name, const std::string& names, bool expired = false);
  std::string ca_file() const { return folder_ + "/ca.pem"; }

 private:
  struct Keys;
  std::string folder_;
  Keys* keys_;
  int serial_ = 1;
};

}  // namespace metamcp::http
