#pragma once

#include <string>
#include <vector>

#include "services/ai/plan/clause.h"
#include "services/ai/plan/tool.h"

// What a JSON Schema says of one argument, and which words of a clause stand for it. Internal to
// this folder.
namespace metamcp::ai {

// "string", "array", …; empty where it says nothing. Of several the first that is not null.
std::string TypeOf(const Json& schema);
// The alternative that is not null, so that its items and properties are seen.
const Json& Inner(const Json& schema);
// Null where the text is no number of that type.
Json NumberOf(const std::string& text, const std::string& type);

// The value of an enum that the clause names; null where it names none.
Json EnumNamed(const Json& schema, const Clause& clause);
// Whether the clause has all words of a flag's name.
bool FlagNamed(const std::string& name, const Clause& clause);
// "main" of "branch main": the word behind one of the labels; empty where there is none.
std::string WordAfter(const std::string& text, const std::vector<std::string>& labels);
// What follows the first of these words; empty where none is there, or it must not be in a plan.
std::string TextAfter(const std::string& text, std::initializer_list<std::string_view> words);

}  // namespace metamcp::ai
