#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace metamcp::ai {

// What a sentence asks for, and what a tool does, in a few classes.
enum class Action {
  kNone,
  kRead,
  kSearch,
  kList,
  kCreate,
  kUpdate,
  kDelete,
  kMove,
  kCopy,
  kSend,
  kRun,
  kCompute,
  kConvert,
  kAnalyze,
  kSummarize,
};

// Lower-case words of a text, split at camelCase, snake_case and punctuation; plurals and verb
// forms
// ("searching", "stored", "files") are brought to one form.
std::vector<std::string> Words(std::string_view text);
std::string Stem(std::string_view lower_word);

// The class of a verb in its base form, kNone for what is no verb that we know.
Action ActionOf(std::string_view word);
// Words that mean much the same, without the word itself.
std::vector<std::string_view> Synonyms(std::string_view word);
// Words that say nothing of what is wanted.
bool IsStopWord(std::string_view word);

// How well a tool of class `offered` does what `wanted` asks for: 0 to 1, negative where it would
// do harm.
double Compatibility(Action wanted, Action offered);

// Whether an action only looks.
bool OnlyReads(Action action);

// A text that must not be written into a plan or sent to a model: keys, tokens, private keys.
bool LooksSecret(std::string_view text);

}  // namespace metamcp::ai
