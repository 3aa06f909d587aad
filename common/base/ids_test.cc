#include "common/base/ids.h"

#include <gtest/gtest.h>

namespace metamcp {
namespace {

TEST(IdsTest, UuidV7IsOrderedByTimeAndMarked) {
  const std::string a = NewUuidV7();
  EXPECT_EQ(a.size(), 36u);
  EXPECT_EQ(a[14], '7');
  EXPECT_NE(std::string("89ab").find(a[19]), std::string::npos);
  EXPECT_NE(a, NewUuidV7());
}

TEST(IdsTest, RequestIdsDiffer) { EXPECT_NE(NewRequestId(), NewRequestId()); }

TEST(IdsTest, ItemIdsAreTheSameForTheSameName) {
  EXPECT_EQ(ItemUuidV5("u/tool/x"), ItemUuidV5("u/tool/x"));
  EXPECT_NE(ItemUuidV5("u/tool/x"), ItemUuidV5("u/tool/y"));
  EXPECT_EQ(ItemUuidV5("x")[14], '5');
}

TEST(IdsTest, Sha256MatchesThePublishedVector) {
  // FIPS 180-2, appendix B.1.
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace metamcp
