#include "common/audit/chain.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "common/audit/export_check.h"
#include "common/audit/text.h"
#include "common/base/ids.h"
#include "common/base/key_ring.h"
#include "common/base/strings.h"

namespace metamcp::audit {
namespace {

std::string Hex(const std::string& bytes) { return HexEncode(bytes); }

// Leaves and roots of the tests of Certificate Transparency (RFC 6962 and 9162 hash alike).
TEST(MerkleFrontier, HasTheRootsOfTheReferenceTree) {
  RecordProperty("req", "M-FR-007.5");
  const std::vector<std::string> leaves = {
      "",
      std::string("\x00", 1),
      "\x10",
      "\x20\x21",
      "\x30\x31",
      "\x40\x41\x42\x43",
      "\x50\x51\x52\x53\x54\x55\x56\x57",
      "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f"};
  const std::vector<std::string> roots = {
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  MerkleFrontier tree;
  EXPECT_EQ(Hex(tree.Root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (size_t i = 0; i < leaves.size(); ++i) {
    tree.Append(leaves[i]);
    EXPECT_EQ(Hex(tree.Root()), roots[i]) << i;
    const auto again = MerkleFrontier::Decode(tree.Encode());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->Root(), tree.Root());
    EXPECT_EQ(again->size(), static_cast<int64_t>(i) + 1);
  }
  EXPECT_FALSE(MerkleFrontier::Decode(tree.Encode().substr(1)));
  EXPECT_FALSE(MerkleFrontier::Decode(tree.Encode() + std::string(32, 'x')));
}

TEST(Checkpoint, IsASignedNote) {
  const SigningKey key = SigningKey::Generate();
  Checkpoint out;
  out.origin = MakeOrigin("log1", "acme corp");
  EXPECT_EQ(out.origin, "meta-mcp/audit/log1/acme%20corp");
  out.size = 7;
  out.root = std::string(32, 'r');
  out.chain = std::string(32, 'c');
  out.time_us = 1234;
  const std::string note = SignCheckpoint(out, key);
  const auto again = OpenCheckpoint(note, key.verify_key());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, out);
  EXPECT_TRUE(
      absl::IsPermissionDenied(OpenCheckpoint(note, SigningKey::Generate().verify_key()).status()));
  for (size_t i = 0; i < note.size(); ++i) {
    std::string bad = note;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(OpenCheckpoint(bad, key.verify_key()).ok()) << i;
  }
  const auto pem = VerifyKey::FromPem(key.verify_key().Pem());
  ASSERT_TRUE(pem.ok());
  EXPECT_TRUE(OpenCheckpoint(note, *pem).ok());
}

TEST(SigningKey, IsMadeOnceAndReadByItsOwnerOnly) {
  const std::string folder = std::filesystem::temp_directory_path() / StrCat("key-", NewUuidV7());
  std::filesystem::create_directory(folder);
  const std::string path = folder + "/key.pem";
  const auto first = SigningKey::LoadOrCreateBlocking(path);
  ASSERT_TRUE(first.ok()) << first.status();
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto second = SigningKey::LoadOrCreateBlocking(path);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(first->verify_key().raw(), second->verify_key().raw());
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(SigningKey::LoadOrCreateBlocking(path).status()));
  std::filesystem::remove_all(folder);
}

TEST(CleanText, IsWhatDatabasesTake) {
  EXPECT_EQ(CleanText("a\xC3\xA9", 10), "a\xC3\xA9");
  EXPECT_EQ(CleanText("a\xC3\xA9", 2), "a");
  EXPECT_EQ(CleanText("a\xFF\xC3\xA9", 10), "a???");
  EXPECT_EQ(CleanText(std::string_view("a\0b", 3), 10), "a?b");
}

// A log as an export, to be spoilt.
class ExportTest : public testing::Test {
 protected:
  struct Line {
    int64_t seq;
    std::string record;
    std::string hash;
  };

  void SetUp() override {
    for (int64_t seq = 1; seq <= 9; ++seq) {
      Append(StrCat("{\"id\":\"e", seq, "\",\"seq\":", seq, ",\"tenant\":\"t\",\"v\":1}"));
      if (seq % 3 == 0) notes_.push_back(Note());
    }
  }

  void Append(const std::string& record) {
    previous_ = ChainHash(previous_, record);
    tree_.Append(previous_);
    lines_.push_back({tree_.size(), record, previous_});
  }

  std::string Note() const {
    Checkpoint out;
    out.origin = origin_;
    out.size = tree_.size();
    out.root = tree_.Root();
    out.chain = previous_;
    return SignCheckpoint(out, key_);
  }

  // Computes every hash anew, as somebody who can write the whole database would.
  void Rehash() {
    std::string previous = kChainStart;
    int64_t seq = 0;
    for (Line& line : lines_) {
      line.seq = ++seq;
      line.record.replace(line.record.find("\"seq\":"), 7, StrCat("\"seq\":", seq));
      previous = line.hash = ChainHash(previous, line.record);
    }
  }

  std::optional<ChainFault> Check(bool with_kept_notes = true) {
    ExportCheckOptions options;
    options.key = key_.verify_key();
    if (with_kept_notes) {
      for (const std::string& note : notes_) options.checkpoints.emplace_back(note, "kept.jsonl");
    }
    ExportChecker check(std::move(options));
    EXPECT_TRUE(
        check
            .Line(StrCat("{\"format\":\"meta-mcp-audit/1\",\"tenant\":\"t\",\"origin\":\"", origin_,
                         "\",\"previous\":\"", Hex(kChainStart), "\",\"removed\":\"",
                         Base64Encode(MerkleFrontier().Encode()), "\"}"))
            .ok());
    for (const Line& line : lines_) {
      const absl::Status status =
          check.Line(StrCat("{\"type\":\"record\",\"seq\":", line.seq, ",\"hash\":\"",
                            Hex(line.hash), "\",\"record\":", line.record, "}"));
      EXPECT_TRUE(status.ok()) << status;
    }
    EXPECT_TRUE(check.Finish().ok());
    return check.fault();
  }

  int64_t FirstBad(bool with_kept_notes = true) {
    const auto fault = Check(with_kept_notes);
    return fault ? fault->seq : 0;
  }

  const SigningKey key_ = SigningKey::Generate();
  const std::string origin_ = MakeOrigin("log", "t");
  std::string previous_ = kChainStart;
  MerkleFrontier tree_;
  std::vector<Line> lines_;
  std::vector<std::string> notes_;
};

TEST_F(ExportTest, AnUntouchedLogIsFine) { EXPECT_EQ(FirstBad(), 0); }

TEST_F(ExportTest, NamesTheFirstRecordThatWasAltered) {
  RecordProperty("req", "M-FR-007.5");
  lines_[4].record.replace(lines_[4].record.find("e5"), 2, "x5");
  EXPECT_EQ(FirstBad(), 5);
}

TEST_F(ExportTest, ARecordLeftOutShows) {
  lines_.erase(lines_.begin() + 4);
  EXPECT_EQ(FirstBad(), 5);
}

TEST_F(ExportTest, ACutEndShowsByKeptCheckpointsOnly) {
  lines_.resize(7);
  EXPECT_EQ(FirstBad(), 8);
  EXPECT_EQ(FirstBad(false), 0);
}

TEST_F(ExportTest, RecordsInAnotherOrderShow) {
  std::swap(lines_[3], lines_[4]);
  EXPECT_EQ(FirstBad(), 4);
}

TEST_F(ExportTest, ARewrittenLogShowsByItsCheckpoints) {
  lines_[4].record.replace(lines_[4].record.find("e5"), 2, "x5");
  Rehash();
  EXPECT_EQ(FirstBad(false), 0);
  EXPECT_EQ(FirstBad(), 4);  // the first behind the checkpoint of 3
}

TEST_F(ExportTest, AnInsertedRecordShows) {
  lines_.insert(lines_.begin() + 4, {5, "{\"id\":\"n\",\"seq\":5,\"tenant\":\"t\",\"v\":1}", "x"});
  EXPECT_EQ(FirstBad(), 5);
  Rehash();
  EXPECT_EQ(FirstBad(), 4);
}

TEST_F(ExportTest, AReplayedRecordShowsEvenWhereHashesFit) {
  Line copy = lines_[7];
  copy.record.replace(copy.record.find("\"seq\":8"), 7, "\"seq\":9");
  lines_.back() = copy;
  Rehash();
  EXPECT_EQ(FirstBad(false), 9);
}

TEST_F(ExportTest, CheckpointsOfAForkShow) {
  Append("{\"id\":\"e10\",\"seq\":10,\"tenant\":\"t\",\"v\":1}");
  notes_.push_back(Note());
  lines_.back().record = "{\"id\":\"other\",\"seq\":10,\"tenant\":\"t\",\"v\":1}";
  Rehash();
  EXPECT_EQ(FirstBad(), 10);
}

TEST_F(ExportTest, ACheckpointOfAnotherLogShows) {
  Checkpoint other;
  other.origin = MakeOrigin("another", "t");
  other.size = 3;
  other.root = other.chain = std::string(32, 'x');
  notes_.push_back(SignCheckpoint(other, key_));
  EXPECT_NE(FirstBad(), 0);
}

}  // namespace
}  // namespace metamcp::audit
