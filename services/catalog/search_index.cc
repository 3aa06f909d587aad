#include "services/catalog/search_index.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "absl/strings/ascii.h"

namespace metamcp::catalog {
namespace {

constexpr size_t kWordBytesMax = 48;
constexpr size_t kWordsPerFieldMax = 400;
constexpr size_t kQueryWordsMax = 32;
constexpr double kK1 = 1.2;
constexpr double kB = 0.75;

bool IsWordByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         (static_cast<unsigned char>(c) & 0x80);
}

// A new word begins inside a run of word bytes: "fooBar", "HTTPServer" before the S.
bool BreaksBefore(std::string_view text, size_t i) {
  const auto upper = [&](size_t at) {
    return absl::ascii_isupper(static_cast<unsigned char>(text[at]));
  };
  const auto lower = [&](size_t at) {
    return at < text.size() && absl::ascii_islower(static_cast<unsigned char>(text[at]));
  };
  if (!upper(i)) return false;
  return !upper(i - 1) || lower(i + 1);
}

std::string Normalize(std::string_view word) {
  std::string out(word.substr(0, kWordBytesMax));
  absl::AsciiStrToLower(&out);
  for (const std::string_view plural : {"ches", "shes", "sses", "xes"}) {
    if (!out.ends_with(plural)) continue;
    out.resize(out.size() - 2);
    return out;
  }
  const size_t n = out.size();
  if (n > 3 && out[n - 1] == 's' && out[n - 2] != 's') out.pop_back();
  return out;
}

}  // namespace

void Tokenize(std::string_view text, size_t words_max,
              const std::function<void(std::string&&)>& emit) {
  size_t i = 0;
  for (size_t count = 0; i < text.size() && count < words_max;) {
    if (!IsWordByte(text[i])) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    while (end < text.size() && IsWordByte(text[end]) && !BreaksBefore(text, end)) ++end;
    emit(Normalize(text.substr(i, end - i)));
    ++count;
    i = end;
  }
}

void SearchDocBuilder::Add(std::string_view text, float weight) {
  Tokenize(text, kWordsPerFieldMax,
           [this, weight](std::string&& word) { words_[std::move(word)] += weight; });
}

SearchDoc SearchDocBuilder::Build() && {
  SearchDoc doc;
  doc.reserve(words_.size());
  for (auto& [word, weight] : words_) doc.emplace_back(word, weight);
  return doc;
}

SearchIndex::DocId SearchIndex::Add(ItemPtr item, const SearchDoc& words) {
  DocId id;
  if (free_.empty()) {
    id = static_cast<DocId>(docs_.size());
    docs_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  Doc& doc = docs_[id];
  doc.item = std::move(item);
  doc.length = 0;
  for (const auto& [word, weight] : words) {
    terms_[word].push_back({id, weight});
    doc.length += weight;
  }
  total_length_ += doc.length;
  return id;
}

void SearchIndex::Remove(DocId id) {
  Doc& doc = docs_[id];
  if (doc.item == nullptr) return;
  doc.item = nullptr;
  total_length_ -= doc.length;
  ++dead_;
  if (dead_ > 64 && dead_ * 4 > docs_.size()) Compact();
}

void SearchIndex::Compact() {
  for (auto it = terms_.begin(); it != terms_.end();) {
    auto& postings = it->second;
    std::erase_if(postings, [this](const Posting& p) { return docs_[p.doc].item == nullptr; });
    it = postings.empty() ? terms_.erase(it) : std::next(it);
  }
  free_.clear();
  for (DocId id = 0; id < docs_.size(); ++id) {
    if (docs_[id].item == nullptr) free_.push_back(id);
  }
  dead_ = 0;
}

std::vector<SearchIndex::Hit> SearchIndex::Search(std::string_view query) const {
  std::unordered_set<std::string> words;
  Tokenize(query, kQueryWordsMax, [&words](std::string&& word) { words.insert(std::move(word)); });
  std::vector<float> scores(docs_.size(), 0.0f);
  const double n = static_cast<double>(std::max<size_t>(size(), 1));
  const double average = std::max(total_length_ / n, 1.0);
  for (const std::string& word : words) {
    const auto it = terms_.find(word);
    if (it == terms_.end()) continue;
    const double df = std::min(static_cast<double>(it->second.size()), n);
    const double idf = std::log(1.0 + (n - df + 0.5) / (df + 0.5));
    for (const Posting& p : it->second) {
      const double norm = kK1 * (1.0 - kB + kB * docs_[p.doc].length / average);
      scores[p.doc] += static_cast<float>(idf * p.weight * (kK1 + 1.0) / (p.weight + norm));
    }
  }
  std::vector<Hit> hits;
  for (DocId id = 0; id < scores.size(); ++id) {
    if (scores[id] > 0 && docs_[id].item != nullptr) hits.push_back({id, scores[id]});
  }
  std::sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) {
    return a.score != b.score ? a.score > b.score : a.doc < b.doc;
  });
  return hits;
}

size_t SearchIndex::MemoryBytes() const {
  size_t bytes = docs_.capacity() * sizeof(Doc);
  for (const auto& [word, postings] : terms_) {
    bytes += 64 + word.capacity() + postings.capacity() * sizeof(Posting);
  }
  return bytes;
}

}  // namespace metamcp::catalog
