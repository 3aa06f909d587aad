#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace metamcp::mcp {

// The released protocol revisions, oldest first.
enum class Revision : std::uint8_t { k20241105, k20250326, k20250618, k20251125, k20260728 };

// Legacy revisions have the initialize handshake and sessions; modern ones are stateless.
enum class Era : std::uint8_t { kLegacy, kModern };

inline constexpr std::array<Revision, 5> kRevisions = {Revision::k20241105, Revision::k20250326,
                                                       Revision::k20250618, Revision::k20251125,
                                                       Revision::k20260728};
inline constexpr Revision kLatestLegacy = Revision::k20251125;
inline constexpr Revision kLatestModern = Revision::k20260728;
// What a legacy HTTP request without a version header means when no session tells otherwise.
inline constexpr Revision kHttpDefault = Revision::k20250326;

constexpr std::string_view RevisionName(Revision r) {
  constexpr std::array<std::string_view, 5> kNames = {"2024-11-05", "2025-03-26", "2025-06-18",
                                                      "2025-11-25", "2026-07-28"};
  return kNames[static_cast<std::size_t>(r)];
}

constexpr std::optional<Revision> ParseRevision(std::string_view text) {
  for (const Revision r : kRevisions) {
    if (RevisionName(r) == text) return r;
  }
  return std::nullopt;
}

constexpr Era EraOf(Revision r) { return r >= Revision::k20260728 ? Era::kModern : Era::kLegacy; }
constexpr bool IsModern(Revision r) { return EraOf(r) == Era::kModern; }

// Feature predicates, one per line of the revisions' change logs that concerns a gateway.
constexpr bool HasBatch(Revision r) { return r == Revision::k20250326; }
// 2024-11-05 has no word on batches; they are tolerated there.
constexpr bool ToleratesBatch(Revision r) { return r <= Revision::k20250326; }
constexpr bool HasAudio(Revision r) { return r >= Revision::k20250326; }
constexpr bool HasToolAnnotations(Revision r) { return r >= Revision::k20250326; }
constexpr bool HasCompletionsCapability(Revision r) { return r >= Revision::k20250326; }
constexpr bool HasProgressMessage(Revision r) { return r >= Revision::k20250326; }
constexpr bool HasResourceLink(Revision r) { return r >= Revision::k20250618; }
constexpr bool HasStructuredContent(Revision r) { return r >= Revision::k20250618; }
// From 2026-07-28 outputSchema and structuredContent may be any JSON, not only objects.
constexpr bool HasAnyOutputSchema(Revision r) { return r >= Revision::k20260728; }
constexpr bool HasElicitation(Revision r) { return r >= Revision::k20250618; }
constexpr bool HasUrlElicitation(Revision r) { return r >= Revision::k20251125; }
constexpr bool HasRichElicitationSchema(Revision r) { return r >= Revision::k20251125; }
constexpr bool HasElicitationId(Revision r) { return r == Revision::k20251125; }
constexpr bool HasSamplingTools(Revision r) { return r >= Revision::k20251125; }
constexpr bool HasVersionHeader(Revision r) { return r >= Revision::k20250618; }
constexpr bool HasCoreTasks(Revision r) { return r == Revision::k20251125; }
constexpr bool HasSessions(Revision r) { return !IsModern(r); }
constexpr bool HasPollingSse(Revision r) { return r == Revision::k20251125; }
constexpr bool HasResultType(Revision r) { return IsModern(r); }
constexpr bool HasIcons(Revision r) { return r >= Revision::k20251125; }
constexpr bool HasServerRequests(Revision r) { return !IsModern(r); }

}  // namespace metamcp::mcp
