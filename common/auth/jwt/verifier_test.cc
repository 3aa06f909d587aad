#include "common/auth/jwt/verifier.h"

#include <gtest/gtest.h>

#include "common/auth/jwt/issue.h"
#include "common/auth/jwt/test_keys.h"
#include "common/base/error.h"
#include "common/base/key_ring.h"
#include "common/base/strings.h"

namespace metamcp::jwt {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr char kIssuer[] = "https://login.example";
constexpr char kSecret[] = "a secret of the gateway, 32 bytes or more";

std::string Payload(int64_t exp = kNow + 300, const std::string& more = "",
                    const std::string& issuer = kIssuer) {
  return StrCat("{\"iss\":\"", issuer, "\",\"sub\":\"alice\",\"aud\":\"api\",\"exp\":", exp, more,
                "}");
}

class VerifierTest : public ::testing::Test {
 protected:
  static const TestKey& Rsa() {
    static const TestKey key = MakeTestKey("RSA", "r1");
    return key;
  }
  static const TestKey& Ec() {
    static const TestKey key = MakeTestKey("P-256", "e1");
    return key;
  }
  void SetUp() override {
    IssuerOptions own;
    own.issuer = "meta-mcp";
    own.audiences = {"meta-mcp"};
    own.algorithms = {"HS256"};
    own.teams_claim = "teams";
    IssuerOptions idp;
    idp.name = "idp";
    idp.issuer = kIssuer;
    idp.audiences = {"api"};
    Make({own, idp});
  }
  void Make(std::vector<IssuerOptions> issuers) {
    TokenVerifier::Options options;
    options.remembered_max = 3;
    options.now_us = [this] { return now_s_ * 1'000'000; };
    verifier_ = std::make_unique<TokenVerifier>(std::move(issuers), options);
    verifier_->SetKeys(0, std::make_shared<KeySet>(KeySet{VerifyKey::FromSecret(kSecret, "")}));
    verifier_->SetKeys(1, std::make_shared<KeySet>(*ParseKeySet(KeySetOf({Rsa(), Ec()}))));
  }
  // The message of the refusal; "good" where there is none.
  std::string Why(std::string_view token) {
    const auto found = verifier_->Verify(token);
    if (found.ok()) return "good";
    const std::string reason = GetErrorInfo(found.status()).value_or(ErrorInfo()).reason;
    EXPECT_TRUE(reason == "AUTH_INVALID" || reason == "AUTH_KEYS_MISSING") << reason;
    return std::string(found.status().message());
  }
  int64_t now_s_ = kNow;
  std::unique_ptr<TokenVerifier> verifier_;
};

TEST_F(VerifierTest, EveryAlgorithmThatIsAllowed) {
  RecordProperty("req", "P1-Auth-1");
  const TestKey ed = MakeTestKey("Ed25519", "d1");
  const TestKey ec384 = MakeTestKey("P-384", "e2");
  verifier_->SetKeys(1, std::make_shared<KeySet>(*ParseKeySet(KeySetOf({Rsa(), Ec(), ed, ec384}))));
  EXPECT_EQ(Why(Signed(Payload(), Rsa(), "RS256")), "good");
  EXPECT_EQ(Why(Signed(Payload(), Rsa(), "PS256")), "good");
  EXPECT_EQ(Why(Signed(Payload(), Ec(), "ES256")), "good");
  EXPECT_EQ(Why(Signed(Payload(), ec384, "ES384")), "good");
  EXPECT_EQ(Why(Signed(Payload(), ed, "EdDSA")), "good");
  NewToken token;
  token.issuer = token.audience = "meta-mcp";
  token.subject = "ops";
  token.roles = {"admin"};
  token.expires_s = kNow + 60;
  EXPECT_EQ(Why(IssueToken(token, kSecret, "")), "good");
}

TEST_F(VerifierTest, NoAlgorithmIsTakenForAnother) {
  RecordProperty("req", "P1-Auth-1");
  // The public key, which everybody has, as the secret of an HMAC.
  for (const std::string& secret : {Rsa().public_pem, Rsa().jwk}) {
    EXPECT_NE(Why(SignedHs256(R"({"alg":"HS256","kid":"r1"})", Payload(), secret)), "good");
    EXPECT_NE(Why(SignedHs256(R"({"alg":"RS256","kid":"r1"})", Payload(), secret)), "good");
  }
  for (const char* none : {"none", "None", "NONE", "nOnE", ""}) {
    const std::string text = StrCat(Base64UrlEncode(StrCat("{\"alg\":\"", none, "\"}")), ".",
                                    Base64UrlEncode(Payload()), ".");
    EXPECT_NE(Why(text), "good") << none;
    EXPECT_NE(Why(text + "AAAA"), "good") << none;
  }
  EXPECT_NE(Why(SignedHs256(R"({"typ":"JWT"})", Payload(), kSecret)), "good");
  // Our own secret does not speak for somebody else's issuer, nor an EC key for RSA.
  EXPECT_NE(Why(SignedHs256(R"({"alg":"HS256"})", Payload(), kSecret)), "good");
  TestKey named = Ec();
  named.kid = "r1";
  EXPECT_NE(Why(Signed(Payload(), named, "ES256")), "good");
}

TEST_F(VerifierTest, ForgedAndForeignTokens) {
  const std::string good = Signed(Payload(), Rsa(), "RS256");
  std::string changed = good;
  changed[good.find('.') + 10] ^= 1;
  EXPECT_NE(Why(changed), "good");
  const std::string other = Signed(Payload(), MakeTestKey("RSA", "r1"), "RS256");
  EXPECT_EQ(Why(other), "the token has a signature that does not verify");
  EXPECT_FALSE(verifier_->TakeWanted()) << "a wrong signature is no reason to ask the issuer";
  EXPECT_EQ(Why(Signed(Payload(kNow + 300, "", "https://evil.example"), Rsa(), "RS256")),
            "the token is of an issuer that is not known here");
  EXPECT_NE(Why(Signed(Payload(kNow + 300, "", "https://login.example/"), Rsa(), "RS256")), "good");
  EXPECT_NE(Why(Signed(R"({"sub":"alice","aud":"api","exp":1800000300})", Rsa(), "RS256")), "good");
}

TEST_F(VerifierTest, AnUnknownKidAsksForKeysAndPathsAreJustNames) {
  for (const char* kid :
       {"r2", "../../../../dev/null", "' OR 1=1 --", "/proc/self/environ", "\\u0000"}) {
    TestKey key = Rsa();
    key.kid = kid;
    EXPECT_EQ(Why(Signed(Payload(), key, "RS256")),
              "the token is signed with a key that its issuer does not publish");
    EXPECT_EQ(verifier_->TakeWanted(), std::optional<size_t>(1));
  }
  // An empty secret, which is what a file such as /dev/null would give.
  EXPECT_NE(Why(SignedHs256(R"({"alg":"HS256","kid":"/dev/null"})", Payload(), "")), "good");
}

TEST_F(VerifierTest, TimesHoldWithinTheSkew) {
  EXPECT_EQ(Why(Signed(Payload(kNow - 59), Rsa(), "RS256")), "good");
  EXPECT_EQ(Why(Signed(Payload(kNow - 60), Rsa(), "RS256")), "the token has expired");
  EXPECT_EQ(Why(Signed(Payload(kNow + 300, ",\"nbf\":1800000060"), Rsa(), "RS256")), "good");
  EXPECT_EQ(Why(Signed(Payload(kNow + 300, ",\"nbf\":1800000061"), Rsa(), "RS256")),
            "the token is not valid yet");
  EXPECT_EQ(Why(Signed(Payload(kNow + 300, ",\"iat\":1800000061.5"), Rsa(), "RS256")),
            "the token was issued in the future");
  for (const char* exp : {"\"1800000300\"", "-1", "1e400", "null", "true", "253402300800"}) {
    const std::string payload =
        StrCat(R"({"iss":"https://login.example","sub":"a","aud":"api","exp":)", exp, "}");
    EXPECT_NE(Why(Signed(payload, Rsa(), "RS256")), "good") << exp;
  }
  EXPECT_EQ(Why(Signed(R"({"iss":"https://login.example","sub":"a","aud":"api"})", Rsa(), "RS256")),
            "the token never ends (it has no exp)");
}

TEST_F(VerifierTest, ARememberedTokenEndsToo) {
  const std::string token = Signed(Payload(kNow + 10), Rsa(), "RS256");
  const auto first = *verifier_->Verify(token);
  EXPECT_EQ(*verifier_->Verify(token), first);
  now_s_ = kNow + 10 + 60;
  EXPECT_EQ(Why(token), "the token has expired");
  EXPECT_EQ(verifier_->remembered(), 0u);
}

TEST_F(VerifierTest, RemembersABoundedNumberAndNothingThatIsWrong) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Why(Signed(Payload(kNow + 300 + i), Ec(), "ES256")), "good");
    EXPECT_NE(Why(Signed(Payload(kNow - 300 - i), Ec(), "ES256")), "good");
  }
  EXPECT_EQ(verifier_->remembered(), 3u);
}

TEST_F(VerifierTest, RotationForgetsWhatTheOldKeySigned) {
  RecordProperty("req", "P3-Sec-3");
  const std::string token = Signed(Payload(), Rsa(), "RS256");
  EXPECT_EQ(Why(token), "good");
  const TestKey next = MakeTestKey("P-256", "e9");
  verifier_->SetKeys(1, std::make_shared<KeySet>(*ParseKeySet(KeySetOf({next}))));
  EXPECT_NE(Why(token), "good");
  EXPECT_EQ(Why(Signed(Payload(), next, "ES256")), "good");
}

TEST_F(VerifierTest, MalformedTokens) {
  const std::string header = Base64UrlEncode(R"({"alg":"HS256"})");
  const std::string body = Base64UrlEncode(Payload(kNow + 300, "", "meta-mcp"));
  const auto signed_by = [](std::string_view h, std::string_view p) {
    return SignedHs256(h, p, kSecret);
  };
  const std::string own = Payload(kNow + 300, "", "meta-mcp");
  EXPECT_EQ(Why(signed_by(R"({"alg":"HS256"})", own)), "good");
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), header + "." + body,
        header + "." + body + ".a.b", header + "." + body + ".!!!!", header + "=." + body + ".AA",
        header + "." + body + ". AAAA", "\xff\xfe." + body + ".AAAA"}) {
    EXPECT_NE(Why(bad), "good") << bad;
  }
  for (const char* head :
       {R"({"alg":"HS256","crit":["exp"]})", R"({"alg":"HS256","crit":[]})",
        R"({"alg":"HS256","b64":false})", R"({"alg":"HS256","zip":"DEF"})",
        R"({"alg":"HS256","alg":"HS256"})", R"({"alg":"HS256","\u0061lg":"none"})",
        R"({"alg":["HS256"]})", R"(["HS256"])", R"({"alg":"HS256","kid":1})",
        R"({"alg":"HS256","typ":"logout+jwt"})", R"({"alg":"HS256")",
        "\xEF\xBB\xBF{\"alg\":\"HS256\"}"}) {
    EXPECT_NE(Why(signed_by(head, own)), "good") << head;
  }
  for (const std::string& payload :
       {Payload(kNow + 300, R"(,"sub":"bob")", "meta-mcp"),
        Payload(kNow + 300, R"(,"\u0065xp":1900000000)", "meta-mcp"),
        Payload(kNow + 300, R"(,"deep":)" + std::string(40, '[') + std::string(40, ']'),
                "meta-mcp"),
        Payload(kNow + 300, ",\"x\":\"\xff\"", "meta-mcp"), std::string("[]"),
        std::string("null")}) {
    EXPECT_NE(Why(signed_by(R"({"alg":"HS256"})", payload)), "good") << payload;
  }
  EXPECT_EQ(Why(signed_by(
                R"({"alg":"HS256"})",
                Payload(kNow + 300, ",\"x\":\"" + std::string(16'000, 'x') + "\"", "meta-mcp"))),
            "the token has more than 16384 bytes");
}

TEST_F(VerifierTest, AudiencesAreKeptForWhoeverKnowsTheAddress) {
  const auto all = *verifier_->Verify(Signed(Payload(), Rsa(), "RS256"));
  EXPECT_TRUE(all->everywhere);
  const auto one = *verifier_->Verify(Signed(
      R"({"iss":"https://login.example","sub":"a","aud":["x","http://127.0.0.1/mcp"],"exp":1800000300})",
      Rsa(), "RS256"));
  EXPECT_FALSE(one->everywhere);
  EXPECT_EQ(one->audiences.size(), 2u);
  const auto none = *verifier_->Verify(
      Signed(R"({"iss":"https://login.example","sub":"a","exp":1800000300})", Rsa(), "RS256"));
  EXPECT_FALSE(none->everywhere);
}

TEST_F(VerifierTest, ClaimsLikeEntraAndOktaMakeAPrincipal) {
  RecordProperty("req", "P1-Auth-1");
  IssuerOptions own;
  IssuerOptions entra;
  entra.name = "entra";
  entra.issuer = kIssuer;
  entra.subject_claim = "oid";
  entra.tenant_claim = "tid";
  entra.role_map = {{"Mcp.Admin", "admin"}, {"62e90394-69f5-4237-9190-012177145e10", "operator"}};
  entra.default_role = "viewer";
  Make({own, entra});
  const auto verify = [this](const std::string& payload) {
    return (*verifier_->Verify(Signed(payload, Rsa(), "RS256")))->principal;
  };
  const std::string head =
      R"({"iss":"https://login.example","aud":"api","exp":1800000300,"sub":"p",)";
  auto who =
      verify(head + R"("oid":"00-11","tid":"contoso","name":"Ann","roles":["Mcp.Admin","other"],
    "groups":["g1","g2"],"scp":"Tools.Read Tools.Call","azp":"app"})");
  EXPECT_EQ(who->subject, "entra:00-11");
  EXPECT_EQ(who->tenant, "contoso");
  EXPECT_EQ(who->roles, std::vector<std::string>{"admin"});
  EXPECT_EQ(who->teams, (std::vector<std::string>{"g1", "g2"}));
  EXPECT_EQ(who->scopes, (std::vector<std::string>{"Tools.Read", "Tools.Call"}));
  EXPECT_EQ(who->display_name, "Ann");
  EXPECT_EQ(who->method, "jwt:entra");
  EXPECT_EQ(who->kind, "user");
  // A name of ours that is not mapped is nobody's right; the default role holds then.
  who = verify(head + R"("oid":"1","tid":"contoso","roles":["admin"]})");
  EXPECT_EQ(who->roles, std::vector<std::string>{"viewer"});
  for (const char* bad : {R"("oid":"1"})", R"("oid":"1","tid":"Con toso"})", R"("tid":"contoso"})",
                          R"("oid":"","tid":"contoso"})", R"("oid":"a\u0000b","tid":"contoso"})"}) {
    EXPECT_NE(Why(Signed(head + bad, Rsa(), "RS256")), "good") << bad;
  }

  IssuerOptions okta;
  okta.name = "okta";
  okta.issuer = kIssuer;
  okta.roles_claim = "realm_access.roles";
  Make({own, okta});
  who = verify(
      head +
      R"("scp":["a","b"],"realm_access":{"roles":["operator","operator"]},"client_id":"p"})");
  EXPECT_EQ(who->subject, "okta:p");
  EXPECT_EQ(who->kind, "service");
  EXPECT_EQ(who->scopes, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(who->roles, std::vector<std::string>{"operator"});
  EXPECT_EQ(who->expires_us, (1'800'000'300 + 60) * int64_t{1'000'000});
}

TEST(VerifyKeyTest, RefusesWhatVerifiesNothing) {
  const TestKey rsa = MakeTestKey("RSA", "r");
  EXPECT_FALSE(VerifyKey::FromJwk(MakeTestKey("RSA1024", "s").jwk).ok());
  for (const std::string& bad :
       {std::string(R"({"kty":"oct","k":"c2VjcmV0"})"), std::string(R"({"kty":"RSA"})"),
        std::string(R"({"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"})"),
        std::string(R"({"kty":"EC","crv":"secp256k1","x":"AAAA","y":"AAAA"})"),
        std::string(R"({"kty":"OKP","crv":"X25519","x":"AAAA"})"),
        std::string(R"({"kty":"RSA","n":"AQAB","e":"AQ"})"), StrCat("[", rsa.jwk, "]")}) {
    EXPECT_FALSE(VerifyKey::FromJwk(bad).ok()) << bad;
  }
  const auto with = [&rsa](std::string_view member) {
    return VerifyKey::FromJwk(StrCat(rsa.jwk.substr(0, rsa.jwk.size() - 1), ",", member, "}"));
  };
  EXPECT_TRUE(with(R"("alg":"PS256")").ok());
  EXPECT_FALSE(with(R"("alg":"PS256")")->Fits("RS256")) << "bound to the one that it names";
  EXPECT_FALSE(with(R"("alg":"ES256")").ok());
  EXPECT_FALSE(with(R"("key_ops":["sign"])").ok());
  EXPECT_FALSE(with(R"("d":"AQAB")").ok());
  EXPECT_FALSE(with(R"("use":"sig")").ok()) << "twice";
  EXPECT_TRUE(VerifyKey::FromPem(rsa.public_pem, "p").ok());
  EXPECT_FALSE(VerifyKey::FromPem(rsa.private_pem, "p").ok());
  // A point that is not on its curve.
  const TestKey ec = MakeTestKey("P-256", "e");
  std::string off = ec.jwk;
  const size_t y = off.find("\"y\":\"") + 5;
  off[y] = off[y] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(VerifyKey::FromJwk(off).ok());
  EXPECT_EQ(ParseKeySet(StrCat(R"({"keys":[{"kty":"oct","k":"AA"},)", ec.jwk, "]}"))->size(), 1u);
  std::string many;
  for (int i = 0; i < 65; ++i) many += StrCat(i > 0 ? "," : "", ec.jwk);
  EXPECT_FALSE(ParseKeySet(StrCat("{\"keys\":[", many, "]}")).ok());
}

}  // namespace
}  // namespace metamcp::jwt
