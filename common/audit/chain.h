#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/audit/checkpoint.h"
#include "common/audit/merkle.h"

namespace metamcp::audit {

// Hash of a record: SHA-256 over the hash of the one before and the record's canonical bytes. 32
// raw bytes; before the first record stands kChainStart.
std::string ChainHash(std::string_view previous, std::string_view record);
extern const std::string kChainStart;

// Where a chain begins: at its first record, or behind what retention has removed.
struct ChainStart {
  ChainStart() : previous(kChainStart) {}
  std::string previous;    // hash of the record before the first one
  MerkleFrontier removed;  // over the hashes of all before
};

// The first thing that is wrong with a log.
struct ChainFault {
  int64_t seq = 0;  // of the first record that is missing, altered or not proved
  std::string what;
};

// Checks the records of one tenant, given in their order, against their hashes and against what
// checkpoints say the log was. Feed it, then Finish; the first fault stays.
class ChainVerifier {
 public:
  ChainVerifier(std::string tenant, std::string origin, ChainStart start);
  ~ChainVerifier();

  // What the log was, and who says so ("the database", a file's name): before the records, or right
  // after the last record that it covers. Its signature has been checked.
  void Expect(const Checkpoint& checkpoint, std::string source);

  // False when something is wrong; then nothing more is looked at. `hash` is what the log gives as
  // the record's hash (32 raw bytes).
  bool Add(int64_t seq, std::string_view record, std::string_view hash);
  // A fault that the caller found itself in the record that it is about to add.
  bool Fail(int64_t seq, std::string what);
  // All records were given; `seq` and `hash` are what the log says its end is (nothing for an
  // export, which does not say it).
  bool Finish();
  bool Finish(int64_t seq, std::string_view hash);

  const std::optional<ChainFault>& fault() const { return fault_; }
  int64_t records() const { return records_; }
  // Checkpoints that fit, and those older than what is kept.
  int64_t checkpoints() const { return matched_; }
  int64_t older() const { return older_; }
  int64_t size() const { return tree_.size(); }
  // Records behind the last checkpoint: their order and content are proved by nobody yet.
  int64_t unproved() const { return tree_.size() - proved_; }

 private:
  struct Expected {
    Checkpoint checkpoint;
    std::string source;
  };
  struct Ids;
  bool CheckContent(int64_t seq, std::string_view record);
  bool CheckExpected();

  const std::string tenant_;
  const std::string origin_;
  std::string previous_;
  MerkleFrontier tree_;
  std::multimap<int64_t, Expected> expected_;  // by size
  std::unique_ptr<Ids> ids_;
  std::optional<ChainFault> fault_;
  bool begun_ = false;
  int64_t records_ = 0;
  int64_t matched_ = 0;
  int64_t older_ = 0;
  int64_t proved_ = 0;
};

}  // namespace metamcp::audit
