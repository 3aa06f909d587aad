#include "services/ai/history/chains.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "common/base/strings.h"

namespace metamcp::ai {
namespace {

constexpr int64_t kPauseUs = 600'000'000;
constexpr size_t kShortest = 2;
constexpr size_t kLongest = 6;
// Of one length, the most frequent ones.
constexpr size_t kEachLength = 200;

// Calls of one client, without longer pauses.
using Session = std::vector<PastCall>;

std::vector<Session> Sessions(std::vector<PastCall> calls) {
  std::stable_sort(calls.begin(), calls.end(), [](const PastCall& a, const PastCall& b) {
    return std::tie(a.client, a.virtual_server, a.time_us) <
           std::tie(b.client, b.virtual_server, b.time_us);
  });
  std::vector<Session> out;
  int64_t last_us = 0;
  for (PastCall& call : calls) {
    const bool goes_on = !out.empty() && out.back().back().client == call.client &&
                         out.back().back().virtual_server == call.virtual_server &&
                         call.time_us - last_us <= kPauseUs;
    last_us = call.time_us;
    if (!goes_on) {
      out.emplace_back();
    } else if (PastCall& before = out.back().back(); before.tool == call.tool) {
      // The same again: what every call had.
      std::set<std::string> both;
      std::set_intersection(before.arguments.begin(), before.arguments.end(),
                            call.arguments.begin(), call.arguments.end(),
                            std::inserter(both, both.begin()));
      before.arguments = std::move(both);
      before.time_us = call.time_us;
      continue;
    }
    out.back().push_back(std::move(call));
  }
  return out;
}

struct Counted {
  Chain chain;
  size_t session = 0;
  size_t free_from = 0;  // in that session: calls before are taken
};
using Counts = std::map<std::string, Counted>;

void Count(const Session& session, size_t number, size_t begin, size_t length, Counts* counts) {
  std::string key =
      StrCat(session[begin].virtual_server.size(), ":", session[begin].virtual_server);
  for (size_t i = 0; i < length; ++i) {
    const std::string& tool = session[begin + i].tool;
    key += StrCat("|", tool.size(), ":", tool);
  }
  auto [at, fresh] = counts->try_emplace(std::move(key));
  Counted& found = at->second;
  if (!fresh && found.session == number && begin < found.free_from) return;
  Chain& chain = found.chain;
  for (size_t i = 0; i < length; ++i) {
    const PastCall& call = session[begin + i];
    if (fresh) {
      chain.tools.push_back(call.tool);
      chain.arguments.push_back(call.arguments);
      chain.virtual_server = call.virtual_server;
      continue;
    }
    std::erase_if(chain.arguments[i],
                  [&call](const std::string& name) { return call.arguments.count(name) == 0; });
  }
  ++chain.occurrences;
  chain.last_us = std::max(chain.last_us, session[begin + length - 1].time_us);
  found.session = number;
  found.free_from = begin + length;
}

std::vector<Chain> Frequent(Counts counts, int64_t occurrences) {
  std::vector<Chain> out;
  for (auto& [key, counted] : counts) {
    if (counted.chain.occurrences >= occurrences) out.push_back(std::move(counted.chain));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Chain& a, const Chain& b) { return a.occurrences > b.occurrences; });
  if (out.size() > kEachLength) out.resize(kEachLength);
  return out;
}

bool Within(const Chain& part, const Chain& whole) {
  return part.tools.size() < whole.tools.size() && part.virtual_server == whole.virtual_server &&
         std::search(whole.tools.begin(), whole.tools.end(), part.tools.begin(),
                     part.tools.end()) != whole.tools.end();
}

}  // namespace

std::vector<Chain> FindChains(std::vector<PastCall> calls, int64_t occurrences, size_t most) {
  const std::vector<Session> sessions = Sessions(std::move(calls));
  std::vector<Chain> out;
  // The longest first, so that a part is known to be one.
  for (size_t length = kLongest; length >= kShortest; --length) {
    Counts counts;
    for (size_t number = 0; number < sessions.size(); ++number) {
      const Session& session = sessions[number];
      for (size_t begin = 0; begin + length <= session.size(); ++begin) {
        Count(session, number, begin, length, &counts);
      }
    }
    for (Chain& chain : Frequent(std::move(counts), occurrences)) {
      const bool part = std::any_of(out.begin(), out.end(), [&chain](const Chain& whole) {
        return Within(chain, whole) && chain.occurrences <= whole.occurrences;
      });
      if (!part) out.push_back(std::move(chain));
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const Chain& a, const Chain& b) {
    const auto weight = [](const Chain& c) {
      return c.occurrences * static_cast<int64_t>(c.tools.size());
    };
    return std::tuple(-weight(a), -a.last_us) < std::tuple(-weight(b), -b.last_us);
  });
  if (out.size() > most) out.erase(out.begin() + static_cast<std::ptrdiff_t>(most), out.end());
  return out;
}

}  // namespace metamcp::ai
