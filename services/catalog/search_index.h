#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "services/catalog/item.h"

namespace metamcp::catalog {

// Splits text into lower-case words at camelCase, snake_case, dots and other punctuation; a plural
// 's' goes. Bytes of other scripts stay together. Calls `emit` at most `words_max` times.
void Tokenize(std::string_view text, size_t words_max,
              const std::function<void(std::string&&)>& emit);

// Collects the words of one document, each field with its weight.
class SearchDocBuilder {
 public:
  void Add(std::string_view text, float weight);
  SearchDoc Build() &&;

 private:
  std::unordered_map<std::string, float> words_;
};

// An inverted index with BM25 ranking (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75; fields are
// weighted in the term frequency, as in BM25F), updated one document at a time. Removed documents
// leave their postings behind until a quarter is dead; then the postings are compacted.
// Thread: one.
class SearchIndex {
 public:
  using DocId = uint32_t;
  struct Hit {
    DocId doc;
    float score;
  };

  DocId Add(ItemPtr item, const SearchDoc& words);
  void Remove(DocId doc);

  // Documents that contain at least one word of `query`, best first, ties by document id.
  std::vector<Hit> Search(std::string_view query) const;

  const ItemPtr& item(DocId doc) const { return docs_[doc].item; }
  size_t size() const { return docs_.size() - free_.size() - dead_; }
  // Approximate heap bytes of the index.
  size_t MemoryBytes() const;

 private:
  struct Posting {
    DocId doc;
    float weight;
  };
  struct Doc {
    ItemPtr item;  // null when removed
    float length = 0;
  };
  void Compact();

  std::unordered_map<std::string, std::vector<Posting>> terms_;
  std::vector<Doc> docs_;
  std::vector<DocId> free_;  // reusable: no posting names them
  size_t dead_ = 0;          // removed, postings still name them
  double total_length_ = 0;
};

}  // namespace metamcp::catalog
