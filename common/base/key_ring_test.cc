#include "common/base/key_ring.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace metamcp {
namespace {

KeyRing Ring(std::vector<std::string> kids) {
  std::vector<KeyRing::Key> keys;
  for (auto& kid : kids) keys.push_back({kid, std::string(32, kid[0])});
  return *KeyRing::Create(std::move(keys));
}

TEST(KeyRingTest, OpensWhatItSealedForTheSamePurposeAndContextOnly) {
  const KeyRing ring = Ring({"a"});
  const std::string sealed = ring.Seal(SealPurpose::kCall, "secret", "ctx");
  EXPECT_EQ(ring.Open(SealPurpose::kCall, sealed, "ctx"), "secret");
  EXPECT_FALSE(ring.Open(SealPurpose::kCursor, sealed, "ctx").has_value());
  EXPECT_FALSE(ring.Open(SealPurpose::kCall, sealed, "other").has_value());
  EXPECT_EQ(ring.Open(SealPurpose::kCall, ring.Seal(SealPurpose::kCall, "", ""), ""), "");
}

TEST(KeyRingTest, RefusesEveryEditedOrCutValue) {
  const KeyRing ring = Ring({"a"});
  const std::string sealed = ring.Seal(SealPurpose::kSession, "secret", "");
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string edited = sealed;
    edited[i] = edited[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(ring.Open(SealPurpose::kSession, edited, "").has_value()) << i;
    EXPECT_FALSE(ring.Open(SealPurpose::kSession, sealed.substr(0, i), "").has_value()) << i;
  }
  EXPECT_FALSE(ring.Open(SealPurpose::kSession, sealed + "A", "").has_value());
}

TEST(KeyRingTest, RotationKeepsOldHandlesUntilTheKeyIsRemoved) {
  const std::string sealed = Ring({"a"}).Seal(SealPurpose::kCall, "x", "");
  EXPECT_EQ(Ring({"b", "a"}).Open(SealPurpose::kCall, sealed, ""), "x");
  EXPECT_FALSE(Ring({"b"}).Open(SealPurpose::kCall, sealed, "").has_value());
}

TEST(KeyRingTest, ReplaceReachesEveryReferenceAndNoCopy) {
  KeyRing ring = Ring({"a"});
  const KeyRing& reference = ring;
  const KeyRing copy = ring;
  const std::string old = ring.Seal(SealPurpose::kSession, "x", "");
  EXPECT_TRUE(ring.Replace(Ring({"b", "a"})));
  EXPECT_EQ(reference.Open(SealPurpose::kSession, old, ""), "x");
  const std::string fresh = reference.Seal(SealPurpose::kSession, "y", "");
  EXPECT_FALSE(copy.Open(SealPurpose::kSession, fresh, "").has_value());
  EXPECT_EQ(copy.Mac(SealPurpose::kToken, "k"), Ring({"a"}).Mac(SealPurpose::kToken, "k"));
  EXPECT_TRUE(ring.Replace(Ring({"b"})));
  EXPECT_FALSE(ring.Replace(Ring({"b"})));
  EXPECT_FALSE(reference.Open(SealPurpose::kSession, old, "").has_value());
  EXPECT_EQ(reference.Open(SealPurpose::kSession, fresh, ""), "y");
}

TEST(KeyRingTest, ASharedFileMayBeReadByItsGroup) {
  char directory[] = "/tmp/metamcp-ring-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/keys.json";
  ASSERT_TRUE(KeyRing::LoadSharedBlocking(path).ok());
  chmod(path.c_str(), 0640);
  EXPECT_TRUE(KeyRing::LoadSharedBlocking(path).ok());
  EXPECT_FALSE(KeyRing::LoadOrCreateBlocking(path).ok());
  chmod(path.c_str(), 0604);
  EXPECT_EQ(KeyRing::LoadSharedBlocking(path).status().code(), absl::StatusCode::kPermissionDenied);
  unlink(path.c_str());
  rmdir(directory);
}

TEST(KeyRingTest, MakesThePrivateFileOnceAndRefusesAReadableOne) {
  std::string directory = testing::TempDir() + "/metamcp-ring-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/keys.json";
  const auto first = KeyRing::LoadOrCreateBlocking(path);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = KeyRing::LoadOrCreateBlocking(path);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->Open(SealPurpose::kCall, first->Seal(SealPurpose::kCall, "x", ""), ""), "x");
  chmod(path.c_str(), 0644);
  EXPECT_EQ(KeyRing::LoadOrCreateBlocking(path).status().code(),
            absl::StatusCode::kPermissionDenied);
  std::ofstream(path) << "{}";
  chmod(path.c_str(), 0600);
  EXPECT_EQ(KeyRing::LoadOrCreateBlocking(path).status().code(),
            absl::StatusCode::kInvalidArgument);
  std::filesystem::remove_all(directory);
}

TEST(KeyRingTest, CreateChecksKeys) {
  EXPECT_FALSE(KeyRing::Create({}).ok());
  EXPECT_FALSE(KeyRing::Create({{"a", "short"}}).ok());
  EXPECT_FALSE(KeyRing::Create({{"", std::string(32, 'x')}}).ok());
  EXPECT_FALSE(KeyRing::Create({{"a", std::string(32, 'x')}, {"a", std::string(32, 'y')}}).ok());
}

TEST(Base64Test, OnlyCanonicalTextDecodes) {
  EXPECT_EQ(Base64Decode("SGVsbG8="), "Hello");
  EXPECT_FALSE(Base64Decode("SGVsbG8").has_value());
  EXPECT_FALSE(Base64Decode("SGVs!G8=").has_value());
  EXPECT_FALSE(Base64UrlDecode("SGVsbG8=").has_value());
  EXPECT_EQ(Base64UrlDecode("SGVsbG8"), "Hello");
}

TEST(KeyRingTest, MacsUnderAKeyThatIsNamed) {
  const KeyRing::Key old_key{"old", std::string(32, 'o')};
  const KeyRing::Key new_key{"new", std::string(32, 'n')};
  const KeyRing before = *KeyRing::Create({old_key});
  const KeyRing after = *KeyRing::Create({new_key, old_key});
  EXPECT_EQ(after.Kids(), (std::vector<std::string>{"new", "old"}));
  EXPECT_EQ(after.Mac(SealPurpose::kToken, "x", "old"), before.Mac(SealPurpose::kToken, "x"));
  EXPECT_EQ(after.Mac(SealPurpose::kToken, "x", "new"), after.Mac(SealPurpose::kToken, "x"));
  EXPECT_EQ(after.Mac(SealPurpose::kToken, "x", "gone"), "");
}

}  // namespace
}  // namespace metamcp
