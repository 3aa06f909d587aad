// Linked with block_cache.cc, so that every allocation in here goes through it.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <thread>
#include <vector>

namespace metamcp {
namespace {

TEST(BlockCacheTest, GivesAFreedBlockToTheNextOfItsSize) {
  void* first = ::operator new(700);
  ::operator delete(first, 700);
  void* second = ::operator new(699);
  EXPECT_EQ(first, second);
  ::operator delete(second);
  void* third = ::operator new(700);
  EXPECT_EQ(first, third);
  ::operator delete(third, 700);
}

TEST(BlockCacheTest, GivesBlocksThatHoldWhatWasAskedForAndAreAligned) {
  for (size_t bytes = 0; bytes < 20000; bytes += bytes < 100 ? 1 : 37) {
    for (int round = 0; round < 3; ++round) {
      void* block = ::operator new(bytes);
      EXPECT_GE(malloc_usable_size(block), bytes);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % alignof(std::max_align_t), 0u);
      std::memset(block, 0xa5, bytes);
      if (round == 1) {
        ::operator delete(block);
      } else {
        ::operator delete(block, bytes);
      }
    }
  }
}

TEST(BlockCacheTest, KeepsBlocksApartThatAreInUse) {
  std::mt19937 random(1);
  std::vector<std::vector<unsigned char>> live;
  for (int i = 0; i < 200000; ++i) {
    if (live.size() > 500) {
      const size_t at = random() % live.size();
      const auto& block = live[at];
      for (const unsigned char c : block) ASSERT_EQ(c, static_cast<unsigned char>(block.size()));
      live[at] = std::move(live.back());
      live.pop_back();
    }
    const size_t bytes = 1 + random() % (i % 50 == 0 ? 12000 : 900);
    live.emplace_back(bytes, static_cast<unsigned char>(bytes));
  }
}

TEST(BlockCacheTest, HoldsBackNoMoreThanItsBound) {
  constexpr size_t kBlocks = 40000, kBytes = 1000;
  const size_t before = mallinfo2().uordblks;
  std::vector<void*> blocks(kBlocks);
  for (void*& block : blocks) block = ::operator new(kBytes);
  for (void* block : blocks) ::operator delete(block, kBytes);
  std::vector<void*>().swap(blocks);
  EXPECT_LT(mallinfo2().uordblks, before + (3u << 20));
}

TEST(BlockCacheTest, TakesBlocksOfOtherThreadsAndEmptiesAtAThreadsEnd) {
  std::vector<std::unique_ptr<std::string>> made(3000);
  const auto work = [&made] {
    for (auto& text : made) text = std::make_unique<std::string>(200, 'x');
    std::vector<std::string> own(3000, std::string(300, 'y'));
  };
  std::thread(work).join();
  const size_t full = mallinfo2().uordblks;
  for (int i = 0; i < 20; ++i) {
    for (auto& text : made) text.reset();
    std::thread(work).join();
  }
  // Twenty caches of ended threads would hold 20 times 900 KB.
  EXPECT_LT(mallinfo2().uordblks, full + (4u << 20));
}

TEST(BlockCacheTest, SaysWhenThereIsNoMemory) {
  EXPECT_THROW(static_cast<void>(::operator new (size_t{1} << 60)), std::bad_alloc);
  EXPECT_EQ(::operator new (size_t{1} << 60, std::nothrow), nullptr);
}

}  // namespace
}  // namespace metamcp
