#include "common/detect/evaluate.h"

#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::detect {

absl::StatusOr<std::vector<Sample>> ReadCorpus(std::istream& in) {
  std::vector<Sample> out;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    const auto bad = [number] {
      return absl::InvalidArgumentError(StrCat("line ", number, " is not a sample"));
    };
    const auto object = json::ScanObject(line);
    if (!object.ok()) return bad();
    const auto text = object->String("text");
    const auto kinds = json::ScanArray(object->Raw("kinds"));
    if (!text || !kinds.ok()) return bad();
    Sample sample;
    sample.text = *text;
    for (const json::Value& value : *kinds) {
      const auto name = json::JsonUnquote(value.raw);
      bool known = false;
      for (const Kind kind : kAllKinds) {
        if (!name.ok() || KindName(kind) != *name) continue;
        sample.kinds = sample.kinds | kind;
        known = true;
      }
      if (!known) return bad();
    }
    out.push_back(std::move(sample));
  }
  return out;
}

Score Evaluate(const std::vector<Sample>& corpus, Kind kind) {
  Score score;
  for (const Sample& sample : corpus) {
    const bool there = sample.kinds.Has(kind);
    const bool found = !Scan(sample.text, kind).empty();
    score.others += there ? 0 : 1;
    if (there && found) {
      ++score.hits;
    } else if (there) {
      ++score.misses;
    } else if (found) {
      ++score.false_alarms;
    }
    if (there != found) score.wrong.push_back(StrCat(there ? "missed: " : "wrong: ", sample.text));
  }
  return score;
}

}  // namespace metamcp::detect
