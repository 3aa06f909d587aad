#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "common/config/config.h"
#include "common/detect/detector.h"
#include "gateway/routing/call_stage.h"
#include "gateway/routing/mirror.h"

namespace metamcp::gateway {

// Where something was found.
enum class Place { kDefinition, kArguments, kResult };
inline constexpr size_t kPlaces = 3;
std::string_view PlaceName(Place place);

// Looks for what must not pass (common/detect) in the arguments and results of calls, and in the
// definitions of items, and logs, masks or blocks it as detectors.* say. What is off costs nothing.
// Not looked at: progress and log messages of a running call, and answers to questions.
// Thread: the io thread.
class DetectorStage final : public CallStage {
 public:
  explicit DetectorStage(const config::DetectorsConfig& config) { SetConfig(config); }

  // Takes effect with the next call. Whether definitions have to be inspected anew.
  bool SetConfig(const config::DetectorsConfig& config);

  // Errors: CONTENT_BLOCKED, domain policy; the message names detectors and rules, nothing else.
  absl::Status Before(const StageCall& call) override;
  void After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) override;

  // The verdict on the definition of one item, for the mirror.
  Inspected Inspect(const std::string& name, const std::string& definition);

  using Count = std::function<void(detect::Kind, Place, std::string_view action, uint64_t)>;
  void ForEachFinding(const Count& fn) const;

 private:
  // What is done in one place.
  struct Rules {
    detect::Kinds look, mask, block;
  };
  const Rules& At(Place place) const { return rules_[static_cast<size_t>(place)]; }
  // Counts and logs; the reason to block, or empty.
  std::string Judge(Place place, std::string_view name, const detect::JsonScan& scan);
  // Masks `json` in place. The reason to block, or empty.
  std::string Pass(Place place, std::string_view name, std::string& json);
  std::string PassQuestions(std::string_view name, std::string& result);
  std::string PassError(std::string_view name, CallOutcome& outcome);

  std::array<Rules, kPlaces> rules_;
  std::array<std::array<uint64_t, kPlaces>, detect::kKinds> found_{};
};

}  // namespace metamcp::gateway
