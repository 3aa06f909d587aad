// Arguments of one step: from the words of the task, from earlier steps, or asked for.
#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "services/ai/plan/draft.h"
#include "services/ai/plan/schema_type.h"

namespace metamcp::ai {
namespace {

using Kind = Literal::Kind;
constexpr int kDepthMax = 4;
constexpr double kKnown = 1.0, kFlows = 0.9, kGuess = 0.6, kAsked = 0.45;

std::string Lower(std::string_view text) {
  std::string out(text);
  absl::AsciiStrToLower(&out);
  return out;
}

class Binder {
 public:
  Binder(Draft* draft, const Clause& clause, const Tool& tool, bool looped)
      : draft_(draft),
        clause_(clause),
        tool_(tool),
        looped_(looped),
        used_(clause.literals.size(), false) {}

  Binding Run() {
    Binding out;
    out.arguments = Object(tool_.input, 0);
    double sum = 0;
    for (const double one : sure_) sum += one;
    out.unused = static_cast<size_t>(std::count(used_.begin(), used_.end(), false));
    out.sure = sure_.empty() ? 1.0 : sum / static_cast<double>(sure_.size());
    return out;
  }

 private:
  struct Found {
    Json value;
    double sure;
  };
  using MaybeFound = std::optional<Found>;

  Json Object(const Json& schema, int depth) {
    Json out = Json::object();
    const auto properties = schema.find("properties");
    if (properties == schema.end() || !properties->is_object()) return out;
    std::set<std::string> required;
    if (const auto list = schema.find("required"); list != schema.end() && list->is_array()) {
      for (const Json& one : *list) {
        if (one.is_string()) required.insert(one.get<std::string>());
      }
    }
    // What must be there chooses first.
    for (const bool must : {true, false}) {
      for (auto it = properties->begin(); it != properties->end(); ++it) {
        if ((required.count(it.key()) > 0) != must || !it->is_object()) continue;
        MaybeFound found = Value(it.key(), *it, must, depth);
        if (!found && must && !it->contains("default")) {
          found = Found{Asked(it.key(), *it), kAsked};
        }
        if (!found) continue;
        out[it.key()] = std::move(found->value);
        if (must) sure_.push_back(found->sure);
      }
    }
    return out;
  }

  Json Asked(const std::string& name, const Json& schema) {
    return draft_->Ask(InputName(name, clause_, tool_), Inner(schema));
  }

  MaybeFound Value(const std::string& name, const Json& schema, bool required, int depth) {
    if (schema.contains("const")) {
      return required ? MaybeFound(Found{schema["const"], kKnown}) : std::nullopt;
    }
    const Json& inner = Inner(schema);
    if (inner.contains("enum") && inner["enum"].is_array()) return Enum(inner, required);
    const std::string type = TypeOf(inner);
    const Role role = RoleOf(name, inner);
    if (type == "boolean") {
      return FlagNamed(name, clause_) ? MaybeFound(Found{true, kKnown}) : std::nullopt;
    }
    if (type == "integer" || type == "number") return Number(name, type, required);
    if (type == "array") return Array(name, inner, role, required, depth);
    if (type == "object") {
      if (!required || depth >= kDepthMax || !inner.contains("properties")) return std::nullopt;
      return Found{Object(inner, depth + 1), kFlows};
    }
    if (type == "string" || type.empty()) return Text(name, role, required);
    return std::nullopt;
  }

  MaybeFound Enum(const Json& schema, bool required) {
    const Json named = EnumNamed(schema, clause_);
    if (!named.is_null()) return Found{named, kKnown};
    if (required && !schema.contains("default") && schema["enum"].size() == 1) {
      return Found{schema["enum"][0], kKnown};
    }
    return std::nullopt;
  }

  // The first literal of those kinds that is not used yet.
  const Literal* Take(std::initializer_list<Kind> kinds, const std::vector<std::string>& labels) {
    for (const bool labelled : {true, false}) {
      if (labelled && labels.empty()) continue;
      for (size_t i = 0; i < used_.size(); ++i) {
        const Literal& literal = clause_.literals[i];
        if (used_[i] || std::find(kinds.begin(), kinds.end(), literal.kind) == kinds.end()) {
          continue;
        }
        const bool named = std::find(labels.begin(), labels.end(), literal.label) != labels.end();
        if (labelled && !named) continue;
        used_[i] = true;
        return &literal;
      }
    }
    return nullptr;
  }

  MaybeFound Number(const std::string& name, const std::string& type, bool required) {
    const std::vector<std::string> labels = Words(name);
    for (size_t i = 0; i < used_.size(); ++i) {
      const Literal& literal = clause_.literals[i];
      if (used_[i] || literal.kind != Kind::kNumber) continue;
      const bool named = std::find(labels.begin(), labels.end(), literal.label) != labels.end();
      const bool counts = literal.label == "last" || literal.label == "first" ||
                          literal.label == "latest" || literal.label == "top";
      const bool limit = std::any_of(labels.begin(), labels.end(), [](const std::string& word) {
        return word == "limit" || word == "count" || word == "max" || word == "head" ||
               word == "tail" || word == "top" || word == "n";
      });
      if (!named && !required && !(counts && limit)) continue;
      const Json value = NumberOf(literal.text, type);
      if (value.is_null()) continue;
      used_[i] = true;
      return Found{value, kKnown};
    }
    return std::nullopt;
  }

  MaybeFound Array(const std::string& name, const Json& schema, Role role, bool required,
                   int depth) {
    const Json items =
        schema.contains("items") && schema["items"].is_object() ? schema["items"] : Json::object();
    const std::string type = TypeOf(Inner(items));
    if (type == "object") {
      if (!required || depth >= kDepthMax || !Inner(items).contains("properties")) {
        return std::nullopt;
      }
      return Found{Json::array({Object(Inner(items), depth + 1)}), kFlows};
    }
    if (type == "integer" || type == "number") {
      Json list = Json::array();
      while (const Literal* literal = Take({Kind::kNumber}, {})) {
        const Json value = NumberOf(literal->text, type);
        if (!value.is_null()) list.push_back(value);
      }
      if (list.empty()) return std::nullopt;
      return Found{std::move(list), kKnown};
    }
    if (type == "array") return std::nullopt;
    const Role each = role == Role::kOther ? RoleOf(Stem(Lower(name)), items) : role;
    if (each == Role::kContent && required) return Lines();
    const bool path = each == Role::kPath || each == Role::kTarget || each == Role::kFolder;
    if (path && !looped_ && draft_->collection && draft_->collection->role == Role::kPath &&
        required) {
      return Found{Expression(draft_->collection->expression), kFlows};
    }
    Json list = Json::array();
    while (true) {
      if (!required && !path) break;
      MaybeFound one = Text(name, each, false);
      if (!one || !one->value.is_string()) break;
      list.push_back(std::move(one->value));
      if (looped_ || list.size() > 50 || list.back().get<std::string>().starts_with("${")) break;
    }
    if (list.empty()) return std::nullopt;
    return Found{std::move(list), kKnown};
  }

  // A list of texts, one for each line that was found.
  MaybeFound Lines() {
    if (const Literal* literal = Take({Kind::kText}, {})) {
      return Found{Json::array({Safe(*literal, "content")}), kKnown};
    }
    const Made* source = draft_->Source();
    if (source == nullptr) {
      const std::string rest = TextAfter(clause_.text, {"that", "saying", "about"});
      if (rest.empty()) return std::nullopt;
      return Found{Json::array({rest}), kGuess};
    }
    return Found{Expression(draft_->LinesOf(*source, looped_)), kFlows};
  }

  MaybeFound Text(const std::string& name, Role role, bool required) {
    const std::vector<std::string> labels = Words(name);
    switch (role) {
      case Role::kPath:
      case Role::kTarget:
      case Role::kFolder:
        return Path(name, role, labels, required);
      case Role::kUrl:
        if (const Literal* literal = Take({Kind::kUrl}, labels)) return Known(*literal, name);
        if (looped_ && draft_->collection->role == Role::kUrl) return Item();
        if (required && !draft_->urls.empty()) return Found{draft_->urls.back(), kFlows};
        return std::nullopt;
      case Role::kQuery:
        return Query(name, labels, required);
      case Role::kContent:
        return Content(name, labels, required);
      case Role::kKind:
        if (const auto word = Labelled(labels)) return Found{*word, kKnown};
        if (!required || clause_.words.empty()) return std::nullopt;
        return Found{clause_.words.front(), kGuess};
      case Role::kDate:
        return OfKind(Kind::kDate, labels, name);
      case Role::kTime:
        return OfKind(Kind::kTime, labels, name);
      case Role::kZone:
        return OfKind(Kind::kZone, labels, name);
      case Role::kCells:
        return OfKind(Kind::kCells, labels, name);
      case Role::kRef:
        if (const auto word = Labelled(labels)) return Found{*word, kKnown};
        if (!required) return std::nullopt;
        if (const Literal* literal = Take({Kind::kRef, Kind::kText}, labels)) {
          return Known(*literal, name);
        }
        return FromOutputs(name);
      default:
        break;
    }
    if (const auto word = Labelled(labels)) return Found{*word, kKnown};
    if (!required) return std::nullopt;
    if (const Literal* literal = Take({Kind::kText, Kind::kRef}, labels)) {
      return Known(*literal, name);
    }
    if (looped_ && !item_used_) return Item();
    if (auto flows = FromOutputs(name)) return flows;
    return std::nullopt;
  }

  MaybeFound OfKind(Kind kind, const std::vector<std::string>& labels, const std::string& name) {
    const Literal* literal = Take({kind}, labels);
    return literal == nullptr ? std::nullopt : Known(*literal, name);
  }

  MaybeFound Path(const std::string& name, Role role, const std::vector<std::string>& labels,
                  bool required) {
    std::vector<std::string> more = labels;
    if (role == Role::kTarget) more.insert(more.end(), {"to", "into", "as"});
    if (role != Role::kTarget) more.insert(more.end(), {"from", "in"});
    const bool reads = tool_.read_only || OnlyReads(clause_.action);
    const bool item = looped_ && draft_->collection->role == Role::kPath && !item_used_;
    if (item && required && (reads || role == Role::kPath) &&
        clause_.work != Clause::Work::kCompose)
      return Item();
    if (const Literal* literal = Take({Kind::kPath}, more)) return Known(*literal, name);
    if (!required) return std::nullopt;
    const bool again = clause_.refers_back || (!reads && role == Role::kPath);
    if (again && !draft_->paths.empty() && clause_.work != Clause::Work::kCompose) {
      return Found{draft_->paths.back(), kFlows};
    }
    return std::nullopt;
  }

  MaybeFound Query(const std::string& name, const std::vector<std::string>& labels, bool required) {
    if (!required && Words(name).front() != "query" && Words(name).front() != "pattern") {
      return std::nullopt;
    }
    if (const Literal* literal = Take({Kind::kText, Kind::kMark}, labels)) {
      return Known(*literal, name);
    }
    if (!required) return std::nullopt;
    if (looped_ && !item_used_ && draft_->collection->role != Role::kPath) return Item();
    const bool sql = std::find(labels.begin(), labels.end(), "sql") != labels.end() ||
                     tool_.server.find("sql") != std::string::npos ||
                     tool_.server.find("dbhub") != std::string::npos;
    const std::string rest = TextAfter(clause_.text, {"for", "about", "on", "where", "with", "of"});
    if (rest.empty() || sql) return std::nullopt;
    return Found{rest, kGuess};
  }

  MaybeFound Content(const std::string& name, const std::vector<std::string>& labels,
                     bool required) {
    if (clause_.work == Clause::Work::kCompose) {
      if (!required) return std::nullopt;
      const std::string all = draft_->SummaryExpression();
      if (!all.empty()) return Found{Expression(all), kFlows};
    }
    if (const Literal* literal = Take({Kind::kText}, labels)) {
      if (required || std::find(labels.begin(), labels.end(), literal->label) != labels.end()) {
        return Known(*literal, name);
      }
      used_[static_cast<size_t>(literal - clause_.literals.data())] = false;
    }
    if (!required) return std::nullopt;
    if (const Made* source = draft_->Source()) {
      if (source->filter.empty()) {
        return Found{Expression(draft_->TextOf(*source, looped_)), kFlows};
      }
      return Found{Expression(StrCat(draft_->LinesOf(*source, looped_), " | join(\"\\n\")")),
                   kFlows};
    }
    const std::string rest = TextAfter(clause_.text, {"that", "saying", "about"});
    if (!rest.empty()) return Found{rest, kGuess};
    return std::nullopt;
  }

  // A result of an earlier step that has a member of that name.
  MaybeFound FromOutputs(const std::string& name) {
    const std::string from = draft_->MemberOf(name, looped_);
    if (from.empty()) return std::nullopt;
    return Found{Expression(from), kFlows};
  }

  MaybeFound Item() {
    item_used_ = true;
    return Found{Expression("item"), kFlows};
  }

  MaybeFound Known(const Literal& literal, const std::string& name) {
    return Found{Safe(literal, name), kKnown};
  }

  // Secrets become inputs: a plan is stored and shown.
  Json Safe(const Literal& literal, const std::string& name) {
    // What looks like an expression would be evaluated.
    if (literal.text.find("${") != std::string::npos) return AskedText(name);
    if (LooksSecret(literal.text)) {
      draft_->plan.notes.push_back(
          StrCat("The task holds what looks like a secret; it is not part of the workflow, and \"",
                 name, "\" is asked for at each run."));
      return AskedText(name);
    }
    return Json(literal.text);
  }

  Json AskedText(const std::string& name) {
    Json schema = Json::object();
    schema["type"] = "string";
    return Asked(name, schema);
  }

  // "main" of "branch main", where nobody quoted it.
  std::optional<std::string> Labelled(const std::vector<std::string>& labels) {
    for (size_t i = 0; i < used_.size(); ++i) {
      const Literal& literal = clause_.literals[i];
      const bool named = std::find(labels.begin(), labels.end(), literal.label) != labels.end();
      const bool plain = literal.text.find("${") == std::string::npos && !LooksSecret(literal.text);
      if (used_[i] || !named || !plain) continue;
      used_[i] = true;
      return literal.text;
    }
    const std::string word = WordAfter(clause_.text, labels);
    if (word.empty()) return std::nullopt;
    return word;
  }

  Draft* draft_;
  const Clause& clause_;
  const Tool& tool_;
  const bool looped_;
  std::vector<bool> used_;
  std::vector<double> sure_;
  bool item_used_ = false;
};

}  // namespace

Binding Bind(Draft* draft, const Clause& clause, const Tool& tool, bool looped) {
  Binder binder(draft, clause, tool, looped);
  return binder.Run();
}

}  // namespace metamcp::ai
