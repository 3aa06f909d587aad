#include "services/ai/plan/rank.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "services/ai/plan/draft.h"

namespace metamcp::ai {
namespace {

bool Contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// 1 for the word itself, less for one that means the same.
double Overlap(const std::vector<std::string>& words, std::string_view word) {
  if (Contains(words, word)) return 1.0;
  for (const std::string_view other : Synonyms(word)) {
    if (Contains(words, other)) return 0.6;
  }
  return 0.0;
}

// Words that few tools have say more.
class Rarity {
 public:
  explicit Rarity(const std::vector<Tool>& tools) : count_(tools.size()) {
    for (const Tool& tool : tools) {
      std::set<std::string_view> own(tool.name_words.begin(), tool.name_words.end());
      own.insert(tool.text_words.begin(), tool.text_words.end());
      for (const std::string_view word : own) ++tools_[word];
    }
  }
  double Of(std::string_view word) const {
    const auto it = tools_.find(word);
    const double with = it == tools_.end() ? 0.0 : it->second;
    return 0.35 + std::log((1.0 + static_cast<double>(count_)) / (1.0 + with));
  }

 private:
  size_t count_;
  std::map<std::string_view, double> tools_;
};

struct Needs {
  bool url = false, path = false, number = false, cells = false, date = false, ref = false;
  size_t zones = 0;
};

Needs NeedsOf(const Tool& tool, bool required_only) {
  Needs needs;
  const auto properties = tool.input.find("properties");
  if (properties == tool.input.end() || !properties->is_object()) return needs;
  for (auto it = properties->begin(); it != properties->end(); ++it) {
    if (required_only && !tool.Requires(it.key())) continue;
    switch (RoleOf(it.key(), *it)) {
      case Role::kUrl:
        needs.url = true;
        break;
      case Role::kPath:
      case Role::kTarget:
      case Role::kFolder:
        needs.path = true;
        break;
      case Role::kNumber:
        needs.number = true;
        break;
      case Role::kZone:
        ++needs.zones;
        break;
      case Role::kDate:
        needs.date = true;
        break;
      case Role::kRef:
        needs.ref = true;
        break;
      case Role::kCells:
        needs.cells = true;
        break;
      default:
        break;
    }
  }
  return needs;
}

// Workbooks are for spreadsheet tools, and these for workbooks.
double FileFit(const Clause& clause, const Tool& tool) {
  const bool sheets = Contains(tool.text_words, "workbook") || Contains(tool.text_words, "excel") ||
                      tool.server.find("excel") != std::string::npos;
  for (const Literal& literal : clause.literals) {
    if (literal.kind != Literal::Kind::kPath) continue;
    const bool workbook = literal.text.find(".xls") != std::string::npos ||
                          literal.text.find(".csv") != std::string::npos;
    const bool extension = literal.text.rfind('.') != std::string::npos;
    if (sheets && workbook) return 0.3;
    if (sheets && extension) return -0.8;
  }
  return 0;
}

// Pictures and sounds are for tools of their own.
double MediaFit(const Clause& clause, const Tool& tool) {
  bool wanted = false;
  for (const char* word : {"image", "picture", "photo", "logo", "media", "audio", "video"}) {
    wanted = wanted || Contains(clause.words, word);
  }
  for (const Literal& literal : clause.literals) {
    for (const char* ending : {".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".mp3", ".wav"}) {
      wanted = wanted || (literal.kind == Literal::Kind::kPath && literal.text.ends_with(ending));
    }
  }
  const bool media = Contains(tool.name_words, "media") || Contains(tool.name_words, "image") ||
                     Contains(tool.name_words, "audio");
  if (media) return wanted ? 0.05 : -0.10;
  return 0;
}

// What stands in the clause and what the tool takes belong together.
double LiteralFit(const Clause& clause, const Tool& tool) {
  const Needs takes = NeedsOf(tool, false);
  const Needs must = NeedsOf(tool, true);
  double fit = 0;
  bool url = false, path = false, cells = false, date = false, ref = false;
  size_t paths = 0, numbers = 0, zones = 0;
  for (const Literal& literal : clause.literals) {
    if (literal.kind == Literal::Kind::kPath) ++paths;
    if (literal.kind == Literal::Kind::kNumber) ++numbers;
    url = url || literal.kind == Literal::Kind::kUrl;
    path = path || literal.kind == Literal::Kind::kPath;
    date = date || literal.kind == Literal::Kind::kDate;
    ref = ref || literal.kind == Literal::Kind::kRef;
    if (literal.kind == Literal::Kind::kZone) ++zones;
    cells = cells || literal.kind == Literal::Kind::kCells;
  }
  if (url) fit += takes.url ? 0.5 : -0.4;
  if (!url && must.url) fit -= 0.35;
  if (path) fit += takes.path ? 0.3 + FileFit(clause, tool) : -0.6;
  if (zones > 0) fit += takes.zones > 0 ? 0.5 : -0.1;
  if (must.zones > zones) fit -= 0.5;
  if (zones > takes.zones) fit -= 0.2;
  if (date) fit += takes.date ? 0.5 : -0.2;
  if (ref) fit += must.ref ? 0.4 : 0.0;
  if (numbers > 1) fit += must.number ? 0.5 : 0.0;
  const bool list = TakesMany(tool, Role::kPath) && !TakesOne(tool, Role::kPath);
  if (list && paths == 1 && clause.many.empty()) fit -= 0.3;
  if (cells) fit += takes.cells ? 0.4 : -0.1;
  return fit;
}

double Score(const Clause& clause, const Tool& tool, const Rarity& rarity) {
  double weight = 0, named = 0, told = 0;
  std::vector<std::string> words = clause.words;
  if (words.empty() && !clause.each.empty()) words.push_back(clause.each);
  for (const std::string& word : words) {
    const double rare = rarity.Of(word);
    weight += rare;
    double by_name = Overlap(tool.name_words, word);
    if (word == tool.server || tool.server.find(word) != std::string::npos) {
      by_name = std::max(by_name, word.size() > 2 ? 0.8 : 0.0);
    }
    named += rare * by_name;
    told += rare * std::max(Overlap(tool.text_words, word), 0.7 * Overlap(tool.input_words, word));
  }
  if (weight > 0) {
    named /= weight;
    told /= weight;
  }
  // A name that says more than was asked for fits less.
  double extra = 0;
  for (const std::string& word : tool.name_words) {
    if (ActionOf(word) != Action::kNone || tool.server.find(word) != std::string::npos) continue;
    bool asked = Contains(words, word);
    for (const std::string_view other : Synonyms(word)) {
      asked = asked || Contains(words, other) || other == clause.verb;
    }
    if (!asked) extra += 1;
  }
  const double verb = clause.verb.empty() ? 0.0
                                          : std::max(Overlap(tool.name_words, clause.verb),
                                                     0.4 * Overlap(tool.text_words, clause.verb));
  double score = 0.30 * named + 0.20 * told + 0.18 * tool.found +
                 0.16 * Compatibility(clause.action, tool.action) + 0.12 * verb +
                 0.25 * LiteralFit(clause, tool) - 0.03 * std::min(extra, 3.0);
  const bool covered = words.size() > 1 && std::all_of(words.begin(), words.end(), [&](auto& word) {
                         return Contains(tool.text_words, word) || Contains(tool.name_words, word);
                       });
  if (covered) score += 0.08;
  const bool changes = clause.action != Action::kNone && !OnlyReads(clause.action) &&
                       clause.action != Action::kRun && clause.action != Action::kSend;
  if (changes && tool.read_only) score -= 0.12;
  // Something new is not added to something old.
  if (clause.action == Action::kCreate &&
      tool.description.find("to existing") != std::string::npos) {
    score -= 0.17;
  }
  score += MediaFit(clause, tool);
  if (!tool.reachable) score -= 0.15;
  if (tool.trusted) score += 0.03;
  if (Contains(tool.text_words, "deprecated")) score -= 0.15;
  for (const std::string& server : clause.servers) {
    if (server.size() > 1 && tool.server.find(server) != std::string::npos) score += 0.15;
  }
  if (tool.destructive && clause.action != Action::kNone && OnlyReads(clause.action) &&
      tool.action == Action::kDelete) {
    score -= 0.3;
  }
  return score;
}

}  // namespace

std::vector<Ranked> Rank(const Clause& clause, const std::vector<Tool>& tools) {
  const Rarity rarity(tools);
  std::vector<Ranked> out;
  for (const Tool& tool : tools) {
    Ranked one;
    one.tool = &tool;
    one.score = std::clamp(Score(clause, tool, rarity), 0.0, 1.0);
    out.push_back(one);
  }
  std::stable_sort(out.begin(), out.end(), [](const Ranked& a, const Ranked& b) {
    return a.score != b.score ? a.score > b.score : a.tool->name < b.tool->name;
  });
  return out;
}

std::vector<const Tool*> Merge(const std::vector<std::vector<Ranked>>& ranked, size_t limit) {
  std::vector<const Tool*> out;
  std::set<std::string_view> seen;
  for (size_t place = 0; out.size() < limit; ++place) {
    bool any = false;
    for (const std::vector<Ranked>& one : ranked) {
      if (place >= one.size() || out.size() == limit) continue;
      any = true;
      if (seen.insert(one[place].tool->name).second) out.push_back(one[place].tool);
    }
    if (!any) break;
  }
  return out;
}

}  // namespace metamcp::ai
