#include "services/connector/exchange.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/json/scan.h"

namespace metamcp::connector {

bool Capset::Allows(std::string_view method, std::string_view params) const {
  if (method == "roots/list") return features.roots;
  const auto view = json::ScanObject(params);
  if (!view.ok()) return false;
  if (method == "elicitation/create") {
    return view->String("mode") == "url" ? features.elicitation_url : features.elicitation_form;
  }
  if (method != "sampling/createMessage" || !features.sampling) return false;
  return features.sampling_tools || (!view->Has("tools") && !view->Has("toolChoice"));
}

Awaitable<Exchange::Wake> Exchange::Wait(Clock::time_point until) {
  if (!signalled_) {
    waiting_ = true;
    timer_.expires_at(until);
    co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    waiting_ = false;
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) co_return Wake::kCancelled;
    if (!signalled_) co_return Wake::kTimeout;
  }
  signalled_ = false;
  co_return Wake::kSignalled;
}

void Exchange::Signal() {
  signalled_ = true;
  if (waiting_) timer_.cancel();
}

void Exchange::AddNote(bool progress, std::string params) {
  Note note;
  note.kind = progress ? Note::Kind::kProgress : Note::Kind::kLog;
  note.params = std::move(params);
  Add(std::move(note));
}

void Exchange::AddPause(std::chrono::milliseconds retry_after) {
  Note note;
  note.kind = Note::Kind::kPaused;
  note.retry_after = retry_after;
  Add(std::move(note));
}

void Exchange::AddExtension(std::string method, std::string params) {
  Note note;
  note.kind = Note::Kind::kExtension;
  note.method = std::move(method);
  note.params = std::move(params);
  Add(std::move(note));
}

void Exchange::Add(Note note) {
  active_at = Clock::now();
  if (notes.size() >= kNotesMax) {
    // A slow reader loses old progress before anything else: the newest supersedes it.
    auto old = std::find_if(notes.begin(), notes.end(),
                            [](const Note& n) { return n.kind == Note::Kind::kProgress; });
    notes.erase(old != notes.end() ? old : notes.begin());
  }
  notes.push_back(std::move(note));
  Signal();
}

void Exchange::AddQuestion(Question question) {
  active_at = Clock::now();
  questions.push_back(std::move(question));
  Signal();
}

void Exchange::Finish(std::string text) {
  if (done) return;
  done = true;
  result = std::move(text);
  Signal();
}

void Exchange::FinishError(RpcError why) {
  if (done) return;
  done = true;
  error = std::move(why);
  Signal();
}

void Exchange::FinishFailure(absl::Status why) {
  if (done) return;
  done = true;
  failure = std::move(why);
  Signal();
}

}  // namespace metamcp::connector
