#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "cli/command_fixture.h"
#include "common/pki/certificate.h"

namespace metamcp::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class CertCommandsTest : public CommandTest {
 protected:
  std::string Cert(const std::string& file) const { return Path(".meta-mcp/certs/" + file); }
  pki::Material MaterialOf(const std::string& name) {
    pki::Material material;
    material.ca = Read(Cert("ca.pem"));
    material.certificate = Read(Cert(name + ".pem"));
    material.key = Read(Cert(name + "-key.pem"));
    return material;
  }
  static absl::Status Usable(const pki::Material& material) {
    return pki::CheckMaterial(material, std::chrono::system_clock::now());
  }
};

TEST_F(CertCommandsTest, InitMakesWhatEachServiceNeeds) {
  RecordProperty("req", "M-FR-007.3");
  ASSERT_EQ(Run({"cert", "init", "--san", "h.example", "--san", "10.0.0.7"}), 0) << err_;
  for (const char* role : {"gateway", "connector", "catalog", "workflow", "audit"}) {
    EXPECT_TRUE(Usable(MaterialOf(role)).ok()) << Usable(MaterialOf(role));
    const auto one = pki::ReadCertificates(Read(Cert(StrCat(role, ".pem"))));
    EXPECT_THAT(pki::RolesOf(one->front().uris), ElementsAre(role));
    EXPECT_THAT(one->front().dns_names, ElementsAre("h.example"));
    EXPECT_THAT(one->front().addresses, ElementsAre("10.0.0.7"));
  }
  for (const char* file : {"ca-key.pem", "ca.pem", "gateway-key.pem", "gateway.pem"}) {
    struct stat info {};
    ASSERT_EQ(::stat(Cert(file).c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << file;
  }
  struct stat folder {};
  ::stat(Cert("").c_str(), &folder);
  EXPECT_EQ(folder.st_mode & 0777, 0700u);
  EXPECT_EQ(Run({"cert", "init"}), 1);
  EXPECT_THAT(err_, HasSubstr("has an authority already"));
}

TEST_F(CertCommandsTest, IssueMakesOneForAMix) {
  EXPECT_EQ(Run({"cert", "issue", "edge", "--role", "gateway"}), 1);
  EXPECT_THAT(err_, HasSubstr("meta-mcp cert init"));
  ASSERT_EQ(Run({"cert", "init"}), 0);
  ASSERT_EQ(Run({"cert", "issue", "edge", "--role", "gateway", "--role", "connector"}), 0) << err_;
  EXPECT_TRUE(Usable(MaterialOf("edge")).ok());
  EXPECT_EQ(Run({"cert", "issue", "edge"}), 2);
  EXPECT_EQ(Run({"cert", "issue", "edge", "--role", "boss"}), 2);
  EXPECT_EQ(Run({"cert", "issue", "../x", "--role", "gateway"}), 2);
  EXPECT_EQ(Run({"cert", "issue", "ca", "--role", "gateway"}), 2);
  ASSERT_EQ(Run({"-o", "json", "cert", "show"}), 0);
  const auto shown = nlohmann::json::parse(out_)["certificates"];
  ASSERT_EQ(shown.size(), 8u);
  EXPECT_EQ(shown[5]["name"], "edge");
  EXPECT_EQ(shown[5]["roles"], nlohmann::json({"gateway", "connector"}));
  EXPECT_EQ(shown[5]["state"], "ok");
}

TEST_F(CertCommandsTest, RenewMakesAnewWhatEndsSoon) {
  ASSERT_EQ(Run({"cert", "init"}), 0);
  const std::string before = Read(Cert("gateway.pem"));
  ASSERT_EQ(Run({"cert", "renew"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("Nothing ends soon"));
  EXPECT_EQ(Read(Cert("gateway.pem")), before);
  ASSERT_EQ(Run({"cert", "renew", "--all"}), 0) << err_;
  EXPECT_NE(Read(Cert("gateway.pem")), before);
  EXPECT_TRUE(Usable(MaterialOf("gateway")).ok());

  // An authority at its end is renewed for its old key.
  const auto now = std::chrono::system_clock::now();
  const std::chrono::hours day{24};
  const auto old =
      pki::MakeAuthority("Meta-MCP services", now - 100 * day, now + day, Read(Cert("ca-key.pem")));
  Write(Cert("ca.pem"), old->certificate);
  const pki::Material kept = MaterialOf("catalog");
  ASSERT_EQ(Run({"cert", "renew"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("ca.pem"));
  EXPECT_THAT(out_, Not(HasSubstr("catalog.pem")));
  EXPECT_TRUE(Usable(kept).ok() && Usable(MaterialOf("catalog")).ok());
}

TEST_F(CertCommandsTest, ShowReadsAnyFile) {
  ASSERT_EQ(Run({"cert", "init", "--days", "2"}), 0);
  ASSERT_EQ(Run({"cert", "show", Cert("gateway.pem")}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("CN=gateway"));
  EXPECT_NE(Run({"cert", "show", Cert("gateway-key.pem")}), 0);
  EXPECT_NE(Run({"cert", "show", Path("nothing.pem")}), 0);
}

TEST_F(CertCommandsTest, DoctorLooksAtTheListenersCertificate) {
  ASSERT_EQ(Run({"cert", "init"}), 0) << err_;
  const auto config = [this](const std::string& key) {
    Write(ConfigFile(), StrCat(R"({"gateway": {"tls": {"certificate": ")", Cert("gateway.pem"),
                               R"(", "key": ")", Cert(key), R"("}}})"));
  };
  config("gateway-key.pem");
  Run({"doctor"});
  EXPECT_THAT(out_, HasSubstr("gateway.pem holds for 89 days"));
  config("none.pem");
  Run({"doctor"});
  EXPECT_THAT(out_, HasSubstr("none.pem cannot be read"));
}

}  // namespace
}  // namespace metamcp::cli
