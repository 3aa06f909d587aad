#include "common/audit/chain.h"

#include <algorithm>
#include <cstring>

#include "absl/container/flat_hash_set.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::audit {

const std::string kChainStart(32, '\0');

std::string ChainHash(std::string_view previous, std::string_view record) {
  return Sha256(StrCat(previous, record));
}

// Event ids seen, as the first bytes of their hashes: a replayed event shows even where the chain
// was computed anew.
struct ChainVerifier::Ids {
  absl::flat_hash_set<uint64_t> seen;
};

ChainVerifier::ChainVerifier(std::string tenant, std::string origin, ChainStart start)
    : tenant_(std::move(tenant)),
      origin_(std::move(origin)),
      previous_(std::move(start.previous)),
      tree_(std::move(start.removed)),
      ids_(std::make_unique<Ids>()),
      proved_(tree_.size()) {}

ChainVerifier::~ChainVerifier() = default;

void ChainVerifier::Expect(const Checkpoint& checkpoint, std::string source) {
  if (checkpoint.origin != origin_) {
    Fail(tree_.size() + 1, StrCat(source, " has a checkpoint of another log (", checkpoint.origin,
                                  "), not of ", origin_));
    return;
  }
  if (checkpoint.size < tree_.size()) {
    ++older_;
    return;
  }
  expected_.emplace(checkpoint.size, Expected{checkpoint, std::move(source)});
  if (begun_) CheckExpected();
}

bool ChainVerifier::Fail(int64_t seq, std::string what) {
  if (!fault_) fault_ = ChainFault{seq, std::move(what)};
  return false;
}

bool ChainVerifier::CheckContent(int64_t seq, std::string_view record) {
  const auto view = json::ScanObject(record);
  if (!view.ok()) return Fail(seq, "the record is not a JSON object");
  if (json::RawInt64(view->Raw("seq")) != seq) {
    return Fail(seq, StrCat("the record says that it is number ", view->Raw("seq")));
  }
  if (view->String("tenant") != tenant_) return Fail(seq, "the record is of another tenant");
  const std::string id = Sha256(view->String("id").value_or(""));
  uint64_t key = 0;
  std::memcpy(&key, id.data(), sizeof(key));
  if (!ids_->seen.insert(key).second) {
    return Fail(seq, StrCat("event ", view->String("id").value_or("?"), " is recorded twice"));
  }
  return true;
}

bool ChainVerifier::CheckExpected() {
  const auto [begin, end] = expected_.equal_range(tree_.size());
  if (begin == end) return true;
  const std::string root = tree_.Root();
  for (auto it = begin; it != end; ++it) {
    const Checkpoint& checkpoint = it->second.checkpoint;
    if (checkpoint.root != root || checkpoint.chain != previous_) {
      return Fail(proved_ + 1, StrCat("records ", proved_ + 1, " to ", checkpoint.size,
                                      " are not those that were signed (checkpoint of ",
                                      it->second.source, "): the log was rewritten or forked"));
    }
    ++matched_;
  }
  proved_ = tree_.size();
  expected_.erase(begin, end);
  return true;
}

bool ChainVerifier::Add(int64_t seq, std::string_view record, std::string_view hash) {
  if (fault_) return false;
  if (!begun_) {
    begun_ = true;
    if (tree_.size() > 0 && !CheckExpected()) return false;
  }
  const int64_t wanted = tree_.size() + 1;
  if (seq != wanted) {
    return Fail(std::min(seq, wanted),
                seq > wanted
                    ? StrCat("record ", wanted, " is missing: ", seq, " follows ", wanted - 1)
                    : StrCat("record ", seq, " comes again after ", wanted - 1));
  }
  if (!CheckContent(seq, record)) return false;
  const std::string computed = ChainHash(previous_, record);
  if (computed != hash) {
    return Fail(seq, StrCat("the hash of record ", seq,
                            " does not fit: it, or one before it, was altered"));
  }
  previous_ = computed;
  tree_.Append(computed);
  ++records_;
  return CheckExpected();
}

bool ChainVerifier::Finish() {
  if (fault_) return false;
  if (!begun_ && tree_.size() > 0 && !CheckExpected()) return false;
  const auto later = expected_.upper_bound(tree_.size());
  if (later == expected_.end()) return true;
  return Fail(tree_.size() + 1,
              StrCat("the log ends with record ", tree_.size(), ", but ", later->second.source,
                     " has a checkpoint of ", later->first, ": the end is missing"));
}

bool ChainVerifier::Finish(int64_t seq, std::string_view hash) {
  if (!Finish()) return false;
  if (seq != tree_.size()) {
    return Fail(std::min(seq, tree_.size()) + 1,
                StrCat("the log's head is record ", seq, ", but the last one is ", tree_.size()));
  }
  if (hash != previous_) return Fail(seq, "the log's head has another hash than its last record");
  return true;
}

}  // namespace metamcp::audit
