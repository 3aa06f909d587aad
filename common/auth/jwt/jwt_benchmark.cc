// What a bearer token costs: the first time, and every time after.
#include <benchmark/benchmark.h>

#include "common/auth/jwt/test_keys.h"
#include "common/auth/jwt/verifier.h"
#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::jwt {
namespace {

void Verify(benchmark::State& state, const char* kind, const char* algorithm, size_t remembered) {
  const TestKey key = MakeTestKey(kind, "k");
  IssuerOptions issuer;
  issuer.name = "idp";
  issuer.issuer = "https://login.example";
  issuer.audiences = {"api"};
  TokenVerifier::Options options;
  options.remembered_max = remembered;
  TokenVerifier verifier({issuer}, options);
  verifier.SetKeys(0, std::make_shared<KeySet>(*ParseKeySet(KeySetOf({key}))));
  // About the size of what Entra issues.
  const std::string payload =
      StrCat(R"({"iss":"https://login.example","sub":"alice","aud":"api","roles":["viewer"],"x":")",
             std::string(900, 'x'), R"(","exp":)", NowMicros() / 1'000'000 + 3600, "}");
  const std::string token = Signed(payload, key, algorithm);
  for (auto _ : state) {
    auto verified = verifier.Verify(token);
    if (!verified.ok()) state.SkipWithError("refused");
    benchmark::DoNotOptimize(verified);
  }
}

BENCHMARK_CAPTURE(Verify, remembered, "RSA", "RS256", 1000);
BENCHMARK_CAPTURE(Verify, rs256, "RSA", "RS256", 0);
BENCHMARK_CAPTURE(Verify, ps256, "RSA", "PS256", 0);
BENCHMARK_CAPTURE(Verify, es256, "P-256", "ES256", 0);
BENCHMARK_CAPTURE(Verify, es384, "P-384", "ES384", 0);
BENCHMARK_CAPTURE(Verify, eddsa, "Ed25519", "EdDSA", 0);

}  // namespace
}  // namespace metamcp::jwt

BENCHMARK_MAIN();
