#include "common/policy/parse.h"

#include <map>
#include <set>

#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/policy/operands.h"

namespace metamcp::policy {
namespace {

// Of parentheses and "not".
constexpr int kDepthMax = 64;
constexpr size_t kNameBytesMax = 128;
constexpr size_t kReasonBytesMax = 1024;

struct Word {
  std::string_view text;
  Attribute attribute;
};
constexpr Word kAttributes[] = {
    {"subject", Attribute::kSubject},     {"role", Attribute::kRole},
    {"team", Attribute::kTeam},           {"scope", Attribute::kScope},
    {"principal", Attribute::kPrincipal}, {"virtual-server", Attribute::kVirtualServer},
    {"upstream", Attribute::kUpstream},   {"item", Attribute::kItem},
    {"tool", Attribute::kTool},           {"resource", Attribute::kResource},
    {"prompt", Attribute::kPrompt},       {"kind", Attribute::kKind},
    {"time", Attribute::kTime},           {"day", Attribute::kDay},
    {"client", Attribute::kClient},       {"size", Attribute::kSize},
    {"bytes", Attribute::kBytes},
};
constexpr Word kFlags[] = {{"read-only", Attribute::kReadOnly},
                           {"destructive", Attribute::kDestructive},
                           {"idempotent", Attribute::kIdempotent},
                           {"open-world", Attribute::kOpenWorld},
                           {"says-destructive", Attribute::kSaysDestructive},
                           {"anonymous", Attribute::kAnonymous}};

bool IsEffect(std::string_view word) {
  return word == "allow" || word == "deny" || word == "consent";
}

template <size_t N>
const Word* FindWord(const Word (&words)[N], std::string_view text) {
  for (const Word& word : words) {
    if (word.text == text) return &word;
  }
  return nullptr;
}

class Parser {
 public:
  Parser(std::vector<Token> tokens, std::string_view file)
      : tokens_(std::move(tokens)), file_(file) {}

  absl::StatusOr<std::vector<std::unique_ptr<Rule>>> Run() {
    std::vector<std::unique_ptr<Rule>> out;
    std::map<std::string, Place> names;
    while (now().kind != TokenKind::kEnd) {
      METAMCP_ASSIGN_OR_RETURN(auto rule, ReadRule());
      const auto [known, fresh] = names.emplace(rule->name, rule->at);
      if (!fresh) {
        return Wrong(rule->at,
                     StrCat("found a second rule \"", rule->name, "\"; the first is at line ",
                            known->second.line),
                     "give each rule a name of its own");
      }
      if (out.size() == kRulesMax) {
        return Wrong(rule->at, StrCat("found more than ", kRulesMax, " rules"), "join some");
      }
      rule->order = out.size();
      out.push_back(std::move(rule));
    }
    return out;
  }

 private:
  using NodeOr = absl::StatusOr<std::unique_ptr<Node>>;

  const Token& now() const { return tokens_[i_]; }
  const Token& Take() {
    const Token& token = tokens_[i_];
    if (i_ + 1 < tokens_.size()) ++i_;
    return token;
  }
  bool AtWord(std::string_view text) const {
    return now().kind == TokenKind::kWord && now().text == text;
  }
  bool AtSign(std::string_view text) const {
    return now().kind == TokenKind::kSign && now().text == text;
  }
  bool TakeWord(std::string_view text) {
    const bool there = AtWord(text);
    if (there) Take();
    return there;
  }
  std::string Shown() const {
    return now().kind == TokenKind::kEnd ? std::string("the end")
                                         : StrCat("\"", now().text.substr(0, 64), "\"");
  }
  absl::Status Wrong(Place at, std::string_view message, std::string_view mend) const {
    return PolicyError(file_, at, message, mend);
  }
  absl::Status WrongHere(std::string_view expected, std::string_view mend) const {
    return Wrong(now().at, StrCat("found ", Shown(), ", expected ", expected), mend);
  }

  absl::StatusOr<std::unique_ptr<Rule>> ReadRule() {
    auto rule = std::make_unique<Rule>();
    rule->at = now().at;
    if (now().kind != TokenKind::kWord || !IsEffect(now().text)) {
      return WrongHere("allow, deny or consent",
                       "a rule is: EFFECT NAME if CONDITION because \"REASON\"");
    }
    const std::string effect = Take().text;
    rule->effect = effect == "allow"  ? Effect::kAllow
                   : effect == "deny" ? Effect::kDeny
                                      : Effect::kConsent;
    const bool named = now().kind == TokenKind::kWord || now().kind == TokenKind::kString;
    if (!named || AtWord("if") || AtWord("because") || now().text.empty() ||
        now().text.size() > kNameBytesMax) {
      return WrongHere("the name of the rule", "name it, for example \"no-deletes\"");
    }
    rule->name = Take().text;
    if (TakeWord("if")) {
      METAMCP_ASSIGN_OR_RETURN(rule->condition, ReadOr(0));
    }
    if (TakeWord("because")) {
      if (now().kind != TokenKind::kString || now().text.size() > kReasonBytesMax) {
        return WrongHere("the reason in double quotes", "write because \"Why it is so.\"");
      }
      rule->reason = Take().text;
    }
    const bool ends =
        now().kind == TokenKind::kEnd || (now().kind == TokenKind::kWord && IsEffect(now().text));
    if (!ends) {
      return WrongHere(rule->condition == nullptr ? "if, because or the next rule"
                                                  : "and, or, because or the next rule",
                       "conditions are joined by \"and\" and \"or\"");
    }
    return rule;
  }

  NodeOr ReadOr(int depth) { return ReadJoined(depth, "or", Node::Kind::kOr); }
  NodeOr ReadAnd(int depth) { return ReadJoined(depth, "and", Node::Kind::kAnd); }
  NodeOr ReadJoined(int depth, std::string_view word, Node::Kind kind) {
    const auto next = [&] { return kind == Node::Kind::kOr ? ReadAnd(depth) : ReadTerm(depth); };
    METAMCP_ASSIGN_OR_RETURN(auto first, next());
    if (!AtWord(word)) return first;
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->children.push_back(std::move(first));
    while (TakeWord(word)) {
      METAMCP_ASSIGN_OR_RETURN(auto child, next());
      node->children.push_back(std::move(child));
    }
    return node;
  }

  static std::unique_ptr<Node> Not(std::unique_ptr<Node> inner) {
    auto node = std::make_unique<Node>();
    node->kind = Node::Kind::kNot;
    node->children.push_back(std::move(inner));
    return node;
  }

  NodeOr ReadTerm(int depth) {
    if (depth > kDepthMax) return WrongHere("less nesting", "take the rule apart");
    if (TakeWord("not")) {
      METAMCP_ASSIGN_OR_RETURN(auto inner, ReadTerm(depth + 1));
      return Not(std::move(inner));
    }
    if (AtSign("(")) {
      Take();
      METAMCP_ASSIGN_OR_RETURN(auto inner, ReadOr(depth + 1));
      if (!AtSign(")")) return WrongHere("\")\"", "close the parenthesis");
      Take();
      return inner;
    }
    if (now().kind != TokenKind::kWord) {
      return WrongHere("a condition", "for example: tool = git.push");
    }
    if (const Word* flag = FindWord(kFlags, now().text)) {
      Take();
      auto node = std::make_unique<Node>();
      node->kind = Node::Kind::kFlag;
      node->attribute = flag->attribute;
      return node;
    }
    if (TakeWord("has")) {
      auto node = std::make_unique<Node>();
      node->kind = Node::Kind::kHas;
      node->attribute = Attribute::kArgument;
      METAMCP_RETURN_IF_ERROR(ReadArgument(*node));
      return node;
    }
    return ReadComparison();
  }

  absl::Status ReadArgument(Node& node) {
    if (now().kind != TokenKind::kWord) {
      return WrongHere("an argument", "write args.NAME, for example args.path");
    }
    auto path = ParseArgumentPath(now().text);
    if (!path) return WrongHere("an argument", "write args.NAME, args.NAME[0] or args.NAME[*]");
    node.path = *std::move(path);
    Take();
    return absl::OkStatus();
  }

  absl::Status ReadAttribute(Node& node) {
    const std::string_view text = now().text;
    if (text == "args" || text.starts_with("args.") || text.starts_with("args[")) {
      node.attribute = Attribute::kArgument;
      return ReadArgument(node);
    }
    const Word* word = FindWord(kAttributes, text);
    if (word == nullptr) {
      std::vector<std::string_view> known;
      for (const Word& one : kAttributes) known.push_back(one.text);
      for (const Word& one : kFlags) known.push_back(one.text);
      const std::string nearest = Nearest(text, known);
      return WrongHere("something to compare",
                       nearest.empty() ? "docs/security.md has the list: subject, role, tool, ..."
                                       : StrCat("did you mean \"", nearest, "\"?"));
    }
    node.attribute = word->attribute;
    Take();
    if (word->attribute != Attribute::kSize && word->attribute != Attribute::kBytes) {
      return absl::OkStatus();
    }
    const std::string mend = StrCat("write ", word->text, "(args.NAME)");
    if (!AtSign("(")) return WrongHere("\"(\"", mend);
    Take();
    METAMCP_RETURN_IF_ERROR(ReadArgument(node));
    if (!AtSign(")")) return WrongHere("\")\"", mend);
    Take();
    return absl::OkStatus();
  }

  NodeOr ReadComparison() {
    auto node = std::make_unique<Node>();
    node->kind = Node::Kind::kCompare;
    METAMCP_RETURN_IF_ERROR(ReadAttribute(*node));
    bool negated = TakeWord("not");
    bool many = false;
    if (TakeWord("in")) {
      many = true;
    } else if (TakeWord("within")) {
      node->op = Operator::kWithin;
    } else if (!negated && now().kind == TokenKind::kSign && !AtSign("(") && !AtSign(")") &&
               !AtSign(",")) {
      const std::string sign = Take().text;
      negated = sign[0] == '!';
      node->op = sign == "=" || sign == "!="   ? Operator::kEqual
                 : sign == "~" || sign == "!~" ? Operator::kGlob
                 : sign == "<"                 ? Operator::kLess
                 : sign == "<="                ? Operator::kLessEqual
                 : sign == ">"                 ? Operator::kMore
                                               : Operator::kMoreEqual;
      if (sign == "!") return WrongHere("\"!=\" or \"!~\"", "or write \"not\" before it");
    } else {
      return WrongHere("=, !=, ~, !~, <, <=, >, >=, in or within", "compare it with something");
    }
    METAMCP_RETURN_IF_ERROR(ReadOperands(*node, many));
    return negated ? Not(std::move(node)) : std::move(node);
  }

  absl::Status ReadOperands(Node& node, bool many) {
    const Place at = now().at;
    if (many && AtSign("(")) {
      Take();
      do {
        METAMCP_RETURN_IF_ERROR(ReadOperand(node));
        if (AtSign(")")) break;
        if (!AtSign(",")) return WrongHere("\",\" or \")\"", "separate values by commas");
        Take();
      } while (true);
      Take();
    } else {
      METAMCP_RETURN_IF_ERROR(ReadOperand(node));
    }
    std::string zone;
    const bool timed = node.attribute == Attribute::kTime || node.attribute == Attribute::kDay;
    const bool more = now().kind == TokenKind::kWord && !AtWord("and") && !AtWord("or") &&
                      !AtWord("because") && !IsEffect(now().text);
    if (timed && more) zone = Take().text;
    const std::string wrong = CheckOperands(node, many, zone);
    if (!wrong.empty()) {
      const size_t semicolon = wrong.find(';');
      return Wrong(at, wrong.substr(0, semicolon), wrong.substr(semicolon + 2));
    }
    return absl::OkStatus();
  }

  absl::Status ReadOperand(Node& node) {
    if (now().kind != TokenKind::kWord && now().kind != TokenKind::kString) {
      return WrongHere("a value", "write a word, or text between double quotes");
    }
    Operand operand;
    operand.quoted = now().kind == TokenKind::kString;
    operand.text = Take().text;
    node.operands.push_back(std::move(operand));
    return absl::OkStatus();
  }

  const std::vector<Token> tokens_;
  const std::string_view file_;
  size_t i_ = 0;
};

}  // namespace

std::string_view EffectName(Effect effect) {
  switch (effect) {
    case Effect::kAllow:
      return "allow";
    case Effect::kConsent:
      return "consent";
    case Effect::kDeny:
      return "deny";
  }
  return "deny";
}

absl::StatusOr<std::vector<std::unique_ptr<Rule>>> ParseRules(std::string_view text,
                                                              std::string_view file) {
  METAMCP_ASSIGN_OR_RETURN(auto tokens, Tokenize(text, file));
  return Parser(std::move(tokens), file).Run();
}

}  // namespace metamcp::policy
