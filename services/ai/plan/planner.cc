// From clauses and ranked tools to a plan.
#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "services/ai/plan/draft.h"

namespace metamcp::ai {
namespace {

// Below this a tool does something else than what was asked.
constexpr double kFits = 0.30;
// From this on a tool that looks into files is better than reading and looking.
constexpr double kFitsWell = 0.5;
// From this on what it says of itself need not be asked.
constexpr double kFitsVeryWell = 0.6;
// For a server that also does what stands next to it in the task.
constexpr double kNeighbour = 0.05;
// Tools whose scores differ less are told apart by their arguments: at most so many, by so much.
constexpr double kAbout = 0.12;
constexpr size_t kTried = 8;
constexpr double kKnows = 0.15;
constexpr double kIgnores = 0.06;
constexpr size_t kAlternativesMax = 4;
constexpr size_t kConsideredMax = 20;

const Literal* FirstOf(const Clause& clause, Literal::Kind kind) {
  for (const Literal& literal : clause.literals) {
    if (literal.kind == kind) return &literal;
  }
  return nullptr;
}

class Planner {
 public:
  explicit Planner(const PlanRequest& request) : request_(request) {}

  Plan Run() {
    for (size_t i = 0; i < request_.clauses.size(); ++i) {
      ranked_.push_back(Rank(request_.clauses[i], request_.candidates[i]));
      Prefer(request_.clauses[i], &ranked_.back());
    }
    PreferNeighbours();
    for (const Tool* tool : Merge(ranked_, kConsideredMax)) {
      draft_.plan.considered.push_back(tool->name);
    }
    for (size_t i = 0; i < request_.clauses.size(); ++i) Take(i);
    draft_.plan.name = NameOf(request_.clauses);
    draft_.plan.summary = request_.task.substr(0, 300);
    draft_.plan.confidence = ConfidenceOf(draft_.plan);
    return std::move(draft_.plan);
  }

 private:
  void Take(size_t i) {
    const Clause& clause = request_.clauses[i];
    for (const Literal& literal : clause.literals) {
      if (literal.kind == Literal::Kind::kUrl) draft_.urls.push_back(literal.text);
    }
    switch (clause.work) {
      case Clause::Work::kFilter:
        if (!FilterByTool(i)) FilterLines(clause);
        break;
      case Clause::Work::kGenerate:
        Generate(clause);
        break;
      case Clause::Work::kCompose:
        if (clause.action == Action::kSummarize && !Chosen(IdOf(clause)) && !Summarizer(i)) {
          Compose(clause);
        } else {
          ByTool(i, BestOf(i));
        }
        break;
      case Clause::Work::kTool:
        if (clause.implied && i + 1 < request_.clauses.size() &&
            request_.clauses[i + 1].work == Clause::Work::kFilter && SearchTool(i + 1)) {
          break;  // the next one does without reading
        }
        ByTool(i, BestOf(i));
        break;
    }
    for (const Literal& literal : clause.literals) {
      if (literal.kind == Literal::Kind::kPath) draft_.paths.push_back(literal.text);
    }
  }

  void Prefer(const Clause& clause, std::vector<Ranked>* ranked) const {
    if (request_.preferences.empty()) return;
    for (Ranked& one : *ranked) {
      std::vector<std::string> words = one.tool->name_words;
      for (std::string& word : Words(one.tool->server)) words.push_back(std::move(word));
      one.score = std::min(1.0, one.score + PreferenceFor(request_.preferences, clause, words));
    }
    std::stable_sort(ranked->begin(), ranked->end(),
                     [](const Ranked& a, const Ranked& b) { return a.score > b.score; });
  }

  // Parts of one task are often for one server.
  void PreferNeighbours() {
    std::vector<std::string> best;
    for (const auto& ranked : ranked_) best.push_back(ranked.empty() ? "" : ranked[0].tool->server);
    for (size_t i = 0; i < ranked_.size(); ++i) {
      for (Ranked& one : ranked_[i]) {
        const std::string& server = one.tool->server;
        const bool before = i > 0 && best[i - 1] == server;
        const bool after = i + 1 < best.size() && best[i + 1] == server;
        if (one.score > kFits && (before || after)) one.score += kNeighbour;
      }
      std::stable_sort(ranked_[i].begin(), ranked_[i].end(),
                       [](const Ranked& a, const Ranked& b) { return a.score > b.score; });
    }
  }

  const std::string* Chosen(const std::string& id) const {
    const auto it = request_.choices.find(id);
    return it == request_.choices.end() ? nullptr : &it->second;
  }

  // The tool for a clause: what a person chose, else the best that fits; null where none does.
  const Ranked* BestOf(size_t i) {
    const Clause& clause = request_.clauses[i];
    if (const std::string* chosen = Chosen(IdOf(clause))) {
      for (const Ranked& one : ranked_[i]) {
        if (one.tool->name == *chosen) return &one;
      }
    }
    std::vector<std::pair<double, const Ranked*>> fitting;
    for (const Ranked& one : ranked_[i]) {
      // What was found out is written somewhere by a tool that takes a text.
      const bool writes = TakesOne(*one.tool, Role::kContent);
      if (clause.work == Clause::Work::kCompose && !Summarizes(*one.tool) && !writes) continue;
      double own = one.score;
      // What was said "per file" must run for one file.
      if (LaterEach(i) && TakesMany(*one.tool, Role::kPath) && !TakesOne(*one.tool, Role::kPath)) {
        own -= 0.15;
      }
      if (own >= kFits) fitting.emplace_back(own, &one);
    }
    return Tried(clause, std::move(fitting));
  }

  // Of tools that fit about as well, the one whose arguments are known.
  const Ranked* Tried(const Clause& clause,
                      std::vector<std::pair<double, const Ranked*>> fitting) const {
    std::stable_sort(fitting.begin(), fitting.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    const Ranked* best = nullptr;
    double score = 0;
    for (size_t n = 0; n < fitting.size() && n < kTried; ++n) {
      if (fitting[n].first < fitting[0].first - kAbout) break;
      const Tool& tool = *fitting[n].second->tool;
      Draft copy = draft_;
      const bool loops = clause.work != Clause::Work::kCompose && Loops(&copy, clause, tool);
      const Binding binding = Bind(&copy, clause, tool, loops);
      const bool ignores = !loops && binding.unused > 0;
      const double own = fitting[n].first + kKnows * binding.sure - (ignores ? kIgnores : 0.0);
      if (best == nullptr || own > score) {
        best = fitting[n].second;
        score = own;
      }
    }
    return best;
  }

  bool LaterEach(size_t i) const {
    for (size_t j = i; j < request_.clauses.size(); ++j) {
      if (!request_.clauses[j].each.empty()) return true;
    }
    return false;
  }

  // A tool that finds words inside files by itself.
  const Ranked* SearchTool(size_t i) const {
    for (const Ranked& one : ranked_[i]) {
      if (one.score < kFitsWell) break;
      const auto& words = one.tool->text_words;
      const bool inside = std::any_of(words.begin(), words.end(), [](const std::string& word) {
        return word == "content" || word == "grep" || word == "regex" || word == "line";
      });
      const bool searches = one.tool->action == Action::kSearch && one.tool->read_only &&
                            TakesOne(*one.tool, Role::kQuery);
      const bool placed = TakesOne(*one.tool, Role::kPath) || TakesMany(*one.tool, Role::kPath);
      // Or it looks for just such things: cells, nodes.
      const auto& wanted = request_.clauses[i].words;
      const bool things = std::any_of(wanted.begin(), wanted.end(), [&](const std::string& word) {
        return !IsFileNoun(word) &&
               std::count(one.tool->name_words.begin(), one.tool->name_words.end(), word) > 0;
      });
      if (searches && placed && (inside || (things && one.score > kFitsVeryWell))) return &one;
    }
    return nullptr;
  }

  bool FilterByTool(size_t i) {
    const std::string* chosen = Chosen(IdOf(request_.clauses[i]));
    const Ranked* tool = chosen != nullptr ? BestOf(i) : SearchTool(i);
    if (tool == nullptr) return false;
    ByTool(i, tool);
    return true;
  }

  // The files have been read by the step before.
  void FilterLines(const Clause& clause) {
    const Literal* word = FirstOf(clause, Literal::Kind::kMark);
    if (word == nullptr) word = FirstOf(clause, Literal::Kind::kText);
    if (draft_.made.empty() || word == nullptr) return;
    draft_.made.back().filter = word->text;
    if (!draft_.plan.steps.empty()) {
      PlanStep& step = draft_.plan.steps.back();
      step.title = StrCat(step.title, ", keep lines with ", word->text);
    }
  }

  bool Summarizer(size_t i) {
    const Ranked* best = BestOf(i);
    if (best == nullptr) return false;
    return Summarizes(*best->tool);
  }

  static bool Summarizes(const Tool& tool) {
    const auto& words = tool.name_words;
    return std::find(words.begin(), words.end(), "summarize") != words.end() ||
           std::find(words.begin(), words.end(), "summary") != words.end();
  }

  void Compose(const Clause& clause) {
    const std::string all = draft_.SummaryExpression();
    if (all.empty()) return AddGap(clause, nullptr);
    if (request_.model) return AiStep(clause, StrCat("Summarize what was found: ", clause.text));
    draft_.plan.output = Json::object();
    draft_.plan.output["summary"] = Expression(all);
    draft_.plan.notes.push_back(
        "No tool and no model writes summaries: the workflow's result lists what was found.");
  }

  void Generate(const Clause& clause) {
    if (request_.model) return AiStep(clause, clause.text);
    Json schema = Json::object();
    schema["type"] = "string";
    const Literal* path = FirstOf(clause, Literal::Kind::kPath);
    schema["description"] =
        StrCat("The new text", path == nullptr ? std::string() : StrCat(" of ", path->text), ": ",
               clause.text);
    generated_ = draft_.Ask("new_content", schema);
    draft_.plan.notes.push_back(
        "No model is configured, so the new text is asked for as an input of the workflow.");
  }

  // A step that a model does: it sees what was found and gives a text.
  void AiStep(const Clause& clause, const std::string& prompt) {
    PlanStep step;
    step.id = FreeId(IdOf(clause));
    step.title = clause.text;
    step.effect = "model";
    step.prompt = prompt;
    step.confidence = 0.7;
    const std::string all = draft_.SummaryExpression();
    if (!all.empty()) step.arguments["input"] = Expression(all);
    Made made;
    made.id = step.id;
    made.action = Action::kRead;
    draft_.made.push_back(made);
    draft_.plan.steps.push_back(std::move(step));
  }

  void ByTool(size_t i, const Ranked* best) {
    const Clause& clause = request_.clauses[i];
    if (best == nullptr) {
      // What nobody said may be left out.
      if (clause.implied && clause.action == Action::kAnalyze) {
        draft_.plan.notes.push_back(
            "No tool examines such a file; the step that would have is left out.");
        return;
      }
      return AddGap(clause, &ranked_[i]);
    }
    const Tool& tool = *best->tool;
    PlanStep step;
    step.id = FreeId(IdOf(clause));
    step.title = clause.text;
    step.tool = tool.name;
    step.effect = std::string(tool.effect());
    const bool loops = clause.work != Clause::Work::kCompose && Loops(&draft_, clause, tool);
    if (loops) step.for_each = Expression(draft_.collection->expression);
    Binding binding = Bind(&draft_, clause, tool, loops);
    if (!generated_.is_null() && clause.implied && clause.action == Action::kCreate) {
      UseGenerated(tool, &binding);
    }
    step.arguments = std::move(binding.arguments);
    const bool chosen = Chosen(IdOf(clause)) != nullptr;
    const double fits = chosen ? 1.0 : std::min(1.0, best->score / 0.75);
    step.confidence = 0.6 * fits + 0.4 * binding.sure;
    for (const Ranked& other : ranked_[i]) {
      if (step.alternatives.size() == kAlternativesMax || other.score < kFits * 0.8) break;
      if (other.tool != &tool) step.alternatives.push_back({other.tool->name, other.score});
    }
    Order(&step, tool);
    Made made;
    made.id = step.id;
    made.tool = &tool;
    made.loops = loops;
    made.action = clause.action;
    draft_.made.push_back(made);
    draft_.plan.steps.push_back(std::move(step));
  }

  // The argument for contents gets the new text instead of the old one.
  void UseGenerated(const Tool& tool, Binding* binding) {
    const auto properties = tool.input.find("properties");
    if (properties == tool.input.end()) return;
    for (auto it = properties->begin(); it != properties->end(); ++it) {
      if (RoleOf(it.key(), *it) != Role::kContent || !binding->arguments.contains(it.key()))
        continue;
      binding->arguments[it.key()] = generated_;
      return;
    }
  }

  // What changes something waits for all that was said before it, and all after it wait for it.
  void Order(PlanStep* step, const Tool& tool) {
    if (!last_change_.empty()) step->depends_on.push_back(last_change_);
    if (tool.read_only) {
      reads_.push_back(step->id);
      return;
    }
    step->depends_on.insert(step->depends_on.end(), reads_.begin(), reads_.end());
    reads_.clear();
    last_change_ = step->id;
  }

  std::string IdOf(const Clause& clause) const {
    std::string id = clause.verb;
    for (const std::string& word : clause.words) {
      const bool plain = std::all_of(word.begin(), word.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c));
      });
      if (!plain) continue;
      id += StrCat(id.empty() ? "" : "_", word);
      break;
    }
    return Identifier(id);
  }

  std::string FreeId(const std::string& wanted) {
    std::string id = wanted;
    for (int n = 2; !ids_.insert(id).second; ++n) id = StrCat(wanted, "_", n);
    return id;
  }

  void AddGap(const Clause& clause, const std::vector<Ranked>* ranked) {
    Gap gap;
    gap.id = IdOf(clause);
    gap.text = clause.text;
    if (ranked != nullptr) {
      for (const Ranked& one : *ranked) {
        if (gap.nearest.size() == kAlternativesMax) break;
        if (one.score > 0.1) gap.nearest.push_back({one.tool->name, one.score});
      }
    }
    gap.question = gap.nearest.empty()
                       ? StrCat("No tool is known for \"", clause.text,
                                "\". Which server offers it, or shall it be left out?")
                       : StrCat("No tool clearly fits \"", clause.text, "\". Is it ",
                                gap.nearest[0].tool, ", another one, or shall it be left out?");
    draft_.plan.gaps.push_back(std::move(gap));
  }

  const PlanRequest& request_;
  std::vector<std::vector<Ranked>> ranked_;
  Draft draft_;
  std::set<std::string> ids_;
  std::vector<std::string> reads_;
  std::string last_change_;
  Json generated_;
};

}  // namespace

Plan MakePlan(const PlanRequest& request) {
  Planner planner(request);
  return planner.Run();
}

}  // namespace metamcp::ai
