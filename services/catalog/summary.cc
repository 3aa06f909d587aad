#include "services/catalog/summary.h"

#include <string>

#include "common/base/names.h"
#include "common/base/strings.h"

namespace metamcp::catalog {
namespace {

pb::ItemSummary Begin(const Model::UpstreamSlot& upstream, const ItemEntry& entry,
                      const std::string& definition) {
  const pb::Item& item = entry.item;
  pb::ItemSummary out;
  out.set_kind(item.kind());
  out.set_qualified_name(QualifiedName(upstream.name(), item.original_name()));
  out.set_upstream(upstream.name());
  const ItemText text = ReadItemText(definition);
  out.set_title(text.title);
  out.set_description(text.description);
  out.set_definition(definition);
  out.set_version(item.version());
  out.set_fingerprint(item.fingerprint());
  out.set_first_seen_us(item.first_seen_us());
  out.set_last_seen_us(upstream.record->lists[item.kind()].seen_us);
  out.set_breaking_change(item.breaking_change());
  return out;
}

void Hide(HiddenReason reason, std::string detail, pb::ItemSummary* out) {
  out->set_hidden_reason(std::string(HiddenReasonName(reason)));
  out->set_hidden_detail(std::move(detail));
}

std::string Mend(HiddenReason reason, std::string_view view, std::string_view slug) {
  switch (reason) {
    case HiddenReason::kDisabled:
      return StrCat("enable it: 'meta-mcp server enable ", slug, "', or change the override in '",
                    view, "'");
    case HiddenReason::kFiltered:
      return StrCat("change the selectors of '", view, "'");
    case HiddenReason::kConflict:
      return "rename one of the two with an override";
    case HiddenReason::kInvalidDefinition:
      return StrCat("correct it in the server ", slug, "; see 'meta-mcp server logs ", slug, "'");
    case HiddenReason::kQuarantined:
      return "look at it: 'meta-mcp tool diff NAME', then 'meta-mcp tool approve NAME'";
    default:
      return "";
  }
}

// A fact about an exposed item that its user may want to know.
std::string Note(const Model::UpstreamSlot& upstream) {
  const pb::UpstreamStatus& status = upstream.record->upstream.status();
  if (status.reachable()) return "";
  return StrCat("the server ", upstream.name(), " is not reachable now (",
                status.state().empty() ? "unknown" : status.state(),
                "); this is what it offered last, calls fail until it is back");
}

}  // namespace

std::string DownDetail(const Model::UpstreamSlot& upstream) {
  const pb::UpstreamStatus& status = upstream.record->upstream.status();
  std::string out = StrCat("the server ", upstream.name(), " is ",
                           status.state().empty() ? "not connected yet" : status.state(),
                           " and has reported nothing yet");
  if (!status.detail().empty()) out += StrCat(": ", status.detail());
  return StrCat(out, "; 'meta-mcp doctor ", upstream.name(), "' finds out why");
}

pb::ItemSummary Summarize(const View& view, const Model::UpstreamSlot& upstream,
                          const Candidate& candidate) {
  const View::Outcome outcome = view.OutcomeOf(candidate);
  pb::ItemSummary out = Begin(
      upstream, *candidate.item,
      candidate.definition.empty() ? candidate.item->item.definition() : candidate.definition);
  if (outcome.hidden == HiddenReason::kNone) {
    out.set_name(std::string(outcome.name));
    out.set_hidden_detail(outcome.detail.empty() ? Note(upstream) : std::string(outcome.detail));
    return out;
  }
  const std::string mend = Mend(outcome.hidden, view.spec().name, upstream.name());
  Hide(outcome.hidden,
       mend.empty() ? std::string(outcome.detail) : StrCat(outcome.detail, "; ", mend), &out);
  return out;
}

pb::ItemSummary SummarizeOutside(const View& view, const Model::UpstreamSlot& upstream,
                                 const ItemEntry& item) {
  pb::ItemSummary out = Begin(upstream, item, item.item.definition());
  Hide(HiddenReason::kFiltered,
       StrCat("the server ", upstream.name(), " does not belong to the virtual server '",
              view.spec().name, "'; add it to its 'servers'"),
       &out);
  return out;
}

pb::ItemSummary SummarizeDown(const Model::UpstreamSlot& upstream, std::string_view name) {
  pb::ItemSummary out;
  out.set_qualified_name(std::string(name));
  out.set_upstream(upstream.name());
  if (!upstream.record->upstream.enabled()) {
    Hide(HiddenReason::kDisabled,
         StrCat("the server ", upstream.name(), " is disabled; enable it: 'meta-mcp server enable ",
                upstream.name(), "'"),
         &out);
  } else {
    Hide(HiddenReason::kUpstreamDown, DownDetail(upstream), &out);
  }
  return out;
}

}  // namespace metamcp::catalog
