// Text that speaks to the model instead of to its user. Patterns are short sequences of words with
// few others between them; each is tried only where its first word stands.
#include <algorithm>
#include <array>
#include <bitset>
#include <string>
#include <unordered_map>

#include "common/detect/rules.h"

namespace metamcp::detect {
namespace {

struct Word {
  size_t begin = 0;
  size_t size = 0;
  std::string_view text;  // lower case, in Words::lower
};

constexpr std::array<bool, 256> kWordChars = [] {
  std::array<bool, 256> out{};
  for (int i = 0; i < 256; ++i) {
    const char c = static_cast<char>(i);
    out[static_cast<size_t>(i)] = IsAlnum(c) || c == '_' || c == '\'' || c == '/' || c == '.' ||
                                  c == '~' || c == '-' || i >= 0x80;
  }
  return out;
}();
bool IsWordChar(char c) { return kWordChars[static_cast<unsigned char>(c)]; }

// One step of a pattern: one of `words` (separated by spaces), at most `gap` others before it.
struct Step {
  std::string_view words;
  int gap;
};

struct Pattern {
  std::string_view rule;
  std::array<Step, 4> steps;  // the first is where it is tried; unused ones are empty
};

constexpr std::string_view kEarlier =
    "previous prior above earlier preceding existing original system safety other all any your";
constexpr std::string_view kRules =
    "instructions instruction prompts prompt rules rule messages guidelines directives directions "
    "constraints policies restrictions training";

constexpr Pattern kPatterns[] = {
    {"override",
     {{{"ignore disregard forget override bypass", 0}, {kEarlier, 2}, {kRules, 3}, {}}}},
    {"override", {{{"new updated real", 0}, {"instructions", 1}, {"follow are override", 2}, {}}}},
    {"override",
     {{{"you", 0}, {"are", 0}, {"now", 0}, {"in an a the root admin unrestricted dan", 0}}}},
    {"conceal",
     {{{"not never don't dont", 0},
       {"tell mention inform reveal show notify alert disclose", 1},
       {"user users human person them anyone", 3},
       {}}}},
    {"conceal",
     {{{"without", 0},
       {"telling informing notifying asking mentioning alerting", 0},
       {"user users human person", 2},
       {}}}},
    {"conceal", {{{"keep", 0}, {"this it", 0}, {"secret hidden", 1}, {"from user users", 1}}}},
    {"before-tools",
     {{{"before", 0},
       {"using calling invoking running", 1},
       {"tool tools function", 2},
       {"must always first read call send pass include", 10}}}},
    {"before-tools",
     {{{"must always", 0}, {"call use invoke run", 2}, {"this", 0}, {"first before instead", 6}}}},
    {"before-tools", {{{"instead", 0}, {"of", 0}, {"using calling", 0}, {"other any the", 0}}}},
    {"read-secret",
     {{{"read cat open load include send pass upload attach copy fetch", 0},
       {"~/.ssh ~/.ssh/id_rsa id_rsa id_ed25519 .env ~/.env /etc/passwd /etc/shadow "
        "~/.aws/credentials "
        "~/.cursor/mcp.json mcp.json ~/.bash_history ~/.netrc ~/.kube/config",
        7},
       {},
       {}}}},
    {"send-away",
     {{{"send forward post upload email bcc transmit exfiltrate", 0},
       {"conversation history credentials password passwords secrets keys tokens context messages",
        5},
       {"to", 4},
       {}}}},
    {"reveal-prompt",
     {{{"reveal print repeat output show leak dump", 0},
       {"system hidden initial", 3},
       {"prompt instructions message", 1},
       {}}}},
    {"assistant-order",
     {{{"assistant ai model agent llm claude chatgpt", 0},
       {"must should shall will", 1},
       {"now always never immediately", 1},
       {"ignore follow execute send call obey", 4}}}},
};

// Marks that only prompts have.
constexpr std::string_view kMarks[] = {
    "<important>", "<system>",     "</system>",  "<system_prompt>", "<instructions>",
    "<secret>",    "<|im_start|>", "<|system|>", "<|endoftext|>",   "[inst]",
    "[/inst]",     "[system]",     "<<sys>>",    "### system:",     "### instruction:",
    "<admin>",     "<hidden>",     "<assistant>"};

struct FirstWords {
  std::unordered_map<std::string_view, std::vector<const Pattern*>> patterns;
  std::bitset<26 * 26> pairs;  // first two letters of the words: most others are left out by these

  static int PairOf(std::string_view word) {
    if (word.size() < 2 || !IsLower(word[0]) || !IsLower(word[1])) return -1;
    return (word[0] - 'a') * 26 + (word[1] - 'a');
  }
  const std::vector<const Pattern*>* Find(std::string_view word) const {
    const int pair = PairOf(word);
    if (pair < 0 || !pairs[static_cast<size_t>(pair)]) return nullptr;
    const auto it = patterns.find(word);
    return it == patterns.end() ? nullptr : &it->second;
  }
};

template <typename Fn>
void ForEachWord(std::string_view words, const Fn& fn) {
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find(' ', at), words.size());
    fn(words.substr(at, end - at));
    at = end + 1;
  }
}

const FirstWords& Firsts() {
  static const FirstWords kFirsts = [] {
    FirstWords out;
    for (const Pattern& pattern : kPatterns) {
      ForEachWord(pattern.steps[0].words, [&](std::string_view word) {
        out.patterns[word].push_back(&pattern);
        out.pairs.set(static_cast<size_t>(FirstWords::PairOf(word)));
      });
    }
    return out;
  }();
  return kFirsts;
}

bool IsOneOf(std::string_view words, std::string_view word) {
  for (size_t at = words.find(word); at != std::string_view::npos; at = words.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || words[at - 1] == ' ') && (end == words.size() || words[end] == ' ')) {
      return true;
    }
  }
  return false;
}

// The index behind the last word of the pattern that begins at `at`; 0 where it does not fit.
size_t Match(const Pattern& pattern, const std::vector<Word>& words, size_t at) {
  size_t next = at + 1;
  for (size_t i = 1; i < pattern.steps.size() && !pattern.steps[i].words.empty(); ++i) {
    const Step& step = pattern.steps[i];
    const size_t last = std::min(words.size(), next + static_cast<size_t>(step.gap) + 1);
    size_t found = next;
    while (found < last && !IsOneOf(step.words, words[found].text)) ++found;
    if (found == last) return 0;
    next = found + 1;
  }
  return next;
}

// Words longer than any of the patterns' are cut: they only fill gaps.
constexpr size_t kWordMax = 48;

std::vector<Word> Split(std::string_view text, std::string& lower) {
  lower.resize(text.size());
  for (size_t i = 0; i < text.size(); ++i) lower[i] = Lower(text[i]);
  std::vector<Word> words;
  words.reserve(text.size() / 5);
  for (size_t at = 0; at < text.size();) {
    if (!IsWordChar(lower[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < text.size() && IsWordChar(lower[end])) ++end;
    size_t stop = end;
    while (stop > at &&
           (lower[stop - 1] == '.' || lower[stop - 1] == '-' || lower[stop - 1] == '\'')) {
      --stop;
    }
    if (stop > at) {
      words.push_back(
          {at, stop - at, std::string_view(lower).substr(at, std::min(stop - at, kWordMax))});
    }
    at = end;
  }
  return words;
}

}  // namespace

void FindInstructions(std::string_view text, std::vector<Finding>& out) {
  std::string lower;
  const std::vector<Word> words = Split(text, lower);
  const FirstWords& firsts = Firsts();
  for (size_t i = 0; i < words.size(); ++i) {
    const auto* patterns = firsts.Find(words[i].text);
    if (patterns == nullptr) continue;
    for (const Pattern* pattern : *patterns) {
      const size_t end = Match(*pattern, words, i);
      if (end == 0) continue;
      const Word& last = words[end - 1];
      Note(out, Kind::kInstructions, pattern->rule, words[i].begin,
           last.begin + last.size - words[i].begin);
      i = end - 1;
      break;
    }
  }
  for (size_t at = 0; at < lower.size(); ++at) {
    const char c = lower[at];
    if (c != '<' && c != '[' && c != '#') continue;
    for (const std::string_view mark : kMarks) {
      if (mark[0] != c || !HasAt(lower, at, mark)) continue;
      Note(out, Kind::kInstructions, "prompt-mark", at, mark.size());
      at += mark.size() - 1;
      break;
    }
  }
}

}  // namespace metamcp::detect
