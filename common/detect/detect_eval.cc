// usage: detect_eval CORPUS.jsonl
// Measures the detectors on texts of which people have said what is in them, and prints a table in
// Markdown: of each detector what it found rightly, wrongly and not. With -v as a second argument
// also the texts that it got wrong.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

#include "common/detect/detector.h"
#include "common/detect/evaluate.h"

int main(int argc, char** argv) {
  using namespace metamcp::detect;
  if (argc < 2) {
    std::cerr << "usage: detect_eval CORPUS.jsonl [-v]\n";
    return 2;
  }
  std::ifstream file(argv[1]);
  const auto corpus = ReadCorpus(file);
  if (!corpus.ok()) {
    std::cerr << "detect_eval: " << corpus.status().message() << "\n";
    return 1;
  }
  std::cout
      << "| detector | texts with it | found | missed | found wrongly | precision | recall |\n"
         "|---|---|---|---|---|---|---|\n";
  for (const Kind kind : kAllKinds) {
    const Score score = Evaluate(*corpus, kind);
    char line[256];
    std::snprintf(line, sizeof(line), "| `%s` | %d | %d | %d | %d of %d | %.2f | %.2f |",
                  std::string(KindName(kind)).c_str(), score.hits + score.misses, score.hits,
                  score.misses, score.false_alarms, score.others, score.precision(),
                  score.recall());
    std::cout << line << "\n";
    if (argc < 3) continue;
    for (const std::string& text : score.wrong) std::cout << "    " << text << "\n";
  }
  return 0;
}
