#pragma once

#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/detect/detector.h"

// How good the detectors are on a corpus that people have labelled.
namespace metamcp::detect {

struct Sample {
  std::string text;
  Kinds kinds;  // that people see in it
};

struct Score {
  int hits = 0;
  int misses = 0;
  int false_alarms = 0;
  int others = 0;  // texts without it
  std::vector<std::string> wrong;

  double precision() const { return hits == 0 ? 0 : double(hits) / (hits + false_alarms); }
  double recall() const { return hits == 0 ? 0 : double(hits) / (hits + misses); }
};

// One {"text":…,"kinds":[…]} a line. Errors: INVALID_ARGUMENT with the number of the line.
absl::StatusOr<std::vector<Sample>> ReadCorpus(std::istream& in);

Score Evaluate(const std::vector<Sample>& corpus, Kind kind);

}  // namespace metamcp::detect
