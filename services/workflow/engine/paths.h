#pragma once

#include <string>
#include <string_view>

// Places of steps. A path is the place in the definition as a JSON pointer, with `[i]` for rounds
// of loops, `@n` for the nth visit and `#n` for the nth attempt: /do/2/each[7]/do/0/try#2/0/save@3.
// Records of our own end with what they are for: /do/1/ok#approval.
namespace metamcp::workflow {

// A name as a part of a JSON pointer.
std::string EscapePart(std::string_view name);
// Without visits and attempts: as errors name a place.
std::string PlainPath(std::string_view path);
// Without rounds, too: a place in the definition.
std::string PlaceOf(std::string_view path);
// Without the attempts of `try`: the same for all attempts of one effect.
std::string EffectOf(std::string_view path);
// Whether it is a record of our own for a step.
bool IsMark(std::string_view path);
// Whether `path` is `ancestor` or below it.
bool IsBelow(std::string_view path, std::string_view ancestor);

}  // namespace metamcp::workflow
