#include "common/json/splice.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::json {
namespace {

void AppendMember(std::string_view quoted_key_inside, std::string_view raw, std::string* out) {
  if (out->size() > 1) out->push_back(',');
  out->push_back('"');
  out->append(quoted_key_inside);
  out->append("\":");
  out->append(raw);
}

}  // namespace

Splicer::Edit* Splicer::FindEdit(std::string_view key) {
  const auto it =
      std::find_if(edits_.begin(), edits_.end(), [key](const Edit& e) { return e.key == key; });
  return it == edits_.end() ? nullptr : &*it;
}

const Splicer::Edit* Splicer::FindEdit(std::string_view key) const {
  return const_cast<Splicer*>(this)->FindEdit(key);
}

void Splicer::Set(std::string_view key, std::string_view raw) {
  if (Edit* edit = FindEdit(key)) {
    edit->raw = raw;
    return;
  }
  edits_.push_back(Edit{std::string(key), std::string(raw)});
}

void Splicer::SetString(std::string_view key, std::string_view value) {
  Set(key, JsonQuote(value));
}

void Splicer::SetIfAbsent(std::string_view key, std::string_view raw) {
  const Edit* edit = FindEdit(key);
  if (edit != nullptr ? edit->raw.empty() : !view_.Has(key)) Set(key, raw);
}

void Splicer::Remove(std::string_view key) {
  if (view_.Has(key)) {
    Set(key, "");
  } else {
    std::erase_if(edits_, [key](const Edit& e) { return e.key == key; });
  }
}

std::string Splicer::Build() const {
  if (edits_.empty() && view_.present()) return std::string(view_.text());
  std::string out;
  std::size_t size = view_.text().size() + 2;
  for (const Edit& e : edits_) size += e.key.size() + e.raw.size() + 4;
  out.reserve(size);
  out.push_back('{');
  for (const Member& m : view_.members()) {
    const Edit* edit = FindEdit(m.key);
    if (edit == nullptr) {
      AppendMember(m.raw_key, m.value.raw, &out);
    } else if (!edit->raw.empty()) {
      AppendMember(m.raw_key, edit->raw, &out);
    }
  }
  for (const Edit& e : edits_) {
    if (e.raw.empty() || view_.Has(e.key)) continue;
    const std::string quoted = JsonQuote(e.key);
    AppendMember(std::string_view(quoted).substr(1, quoted.size() - 2), e.raw, &out);
  }
  out.push_back('}');
  return out;
}

absl::StatusOr<std::string> SetAtPath(std::string_view text, std::span<const std::string_view> path,
                                      std::string_view raw, const ScanLimits& limits) {
  if (path.empty()) return std::string(raw);
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, ScanObject(text, limits));
  const std::string_view child = view.Raw(path[0]);
  METAMCP_ASSIGN_OR_RETURN(
      const std::string inner,
      SetAtPath(child.empty() ? std::string_view("{}") : child, path.subspan(1), raw, limits));
  Splicer splicer(view);
  splicer.Set(path[0], inner);
  return splicer.Build();
}

absl::StatusOr<std::string> RemoveAtPath(std::string_view text,
                                         std::span<const std::string_view> path,
                                         const ScanLimits& limits) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, ScanObject(text, limits));
  if (path.empty() || !view.Has(path[0])) return std::string(text);
  Splicer splicer(view);
  if (path.size() == 1) {
    splicer.Remove(path[0]);
  } else {
    METAMCP_ASSIGN_OR_RETURN(const std::string inner,
                             RemoveAtPath(view.Raw(path[0]), path.subspan(1), limits));
    splicer.Set(path[0], inner);
  }
  return splicer.Build();
}

std::string JoinArray(std::span<const std::string> raw_values) {
  std::string out = "[";
  for (const std::string& raw : raw_values) {
    if (out.size() > 1) out.push_back(',');
    out.append(raw);
  }
  out.push_back(']');
  return out;
}

ObjectWriter& ObjectWriter::Add(std::string_view key, std::string_view raw) {
  if (out_.size() > 1) out_.push_back(',');
  AppendJsonQuoted(key, &out_);
  out_.push_back(':');
  out_.append(raw);
  return *this;
}

ObjectWriter& ObjectWriter::AddString(std::string_view key, std::string_view value) {
  return Add(key, JsonQuote(value));
}

ObjectWriter& ObjectWriter::AddInt(std::string_view key, std::int64_t value) {
  return Add(key, std::to_string(value));
}

ObjectWriter& ObjectWriter::AddBool(std::string_view key, bool value) {
  return Add(key, value ? "true" : "false");
}

}  // namespace metamcp::json
