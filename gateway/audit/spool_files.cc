#include "gateway/audit/spool_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway {
namespace {

constexpr int kProcessesMax = 8;
constexpr size_t kHead = 8;  // length and the first bytes of the content's hash
constexpr size_t kEventMax = size_t{64} << 20;
constexpr const char* kSuffix = ".events";

absl::Status SystemError(std::string_view what) {
  return absl::ErrnoToStatus(errno, StrCat("audit spool: ", what));
}

void AppendNumber(uint32_t number, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(number >> shift));
}

uint32_t NumberAt(std::string_view text) {
  uint32_t out = 0;
  for (size_t i = 0; i < 4; ++i) out = out << 8 | static_cast<uint8_t>(text[i]);
  return out;
}

// The event at the begin of `text`; empty where there is no whole one.
std::string_view EventAt(std::string_view text) {
  if (text.size() < kHead) return {};
  const size_t size = NumberAt(text);
  if (size == 0 || size > kEventMax || text.size() < kHead + size) return {};
  const std::string_view event = text.substr(kHead, size);
  return Sha256(event).substr(0, 4) == text.substr(4, 4) ? event : std::string_view();
}

absl::StatusOr<std::string> ReadAt(const std::string& path, int64_t offset, int64_t size) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError(path);
  std::string out(static_cast<size_t>(size), '\0');
  size_t have = 0;
  while (have < out.size()) {
    const ssize_t n = ::pread(fd, out.data() + have, out.size() - have,
                              static_cast<off_t>(offset) + static_cast<off_t>(have));
    if (n <= 0) break;
    have += static_cast<size_t>(n);
  }
  ::close(fd);
  out.resize(have);
  return out;
}

absl::Status SyncFolder(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError(path);
  const bool synced = ::fsync(fd) == 0;
  ::close(fd);
  return synced ? absl::OkStatus() : SystemError(path);
}

}  // namespace

SpoolFiles::SpoolFiles(SpoolFiles&& other) noexcept
    : options_(std::move(other.options_)),
      folder_(std::move(other.folder_)),
      lock_(std::exchange(other.lock_, -1)),
      file_(std::exchange(other.file_, -1)),
      confirmed_file_(std::exchange(other.confirmed_file_, -1)),
      segments_(std::move(other.segments_)),
      read_(other.read_),
      confirmed_(other.confirmed_) {}

SpoolFiles::~SpoolFiles() {
  for (const int fd : {file_, confirmed_file_, lock_}) {
    if (fd >= 0) ::close(fd);
  }
}

absl::StatusOr<SpoolFiles> SpoolFiles::Open(const SpoolOptions& options) {
  SpoolFiles out;
  out.options_ = options;
  METAMCP_RETURN_IF_ERROR(out.Lock());
  METAMCP_RETURN_IF_ERROR(out.Scan());
  return out;
}

absl::Status SpoolFiles::Lock() {
  if (::mkdir(options_.folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return SystemError(options_.folder);
  }
  for (int i = 0; i < kProcessesMax; ++i) {
    folder_ = StrCat(options_.folder, "/", i);
    if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) return SystemError(folder_);
    lock_ = ::open((folder_ + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock_ < 0) return SystemError(folder_);
    if (::flock(lock_, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
    ::close(std::exchange(lock_, -1));
  }
  return absl::ResourceExhaustedError(
      StrCat(kProcessesMax, " processes use the audit spool ", options_.folder));
}

std::string SpoolFiles::PathOf(int64_t index) const {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "%012" PRId64 "%s", index, kSuffix);
  return StrCat(folder_, "/", name.data());
}

void SpoolFiles::ReadConfirmed() {
  std::array<char, 64> text{};
  const ssize_t n = ::pread(confirmed_file_, text.data(), text.size() - 1, 0);
  Spool::Position at;
  if (n > 0 && std::sscanf(text.data(), "%" SCNd64 " %" SCNd64, &at.segment, &at.offset) == 2) {
    confirmed_ = at;
  }
}

// What is there from before: whole events up to the first that is not.
absl::Status SpoolFiles::Scan() {
  confirmed_file_ = ::open((folder_ + "/confirmed").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (confirmed_file_ < 0) return SystemError(folder_);
  DIR* dir = ::opendir(folder_.c_str());
  if (dir == nullptr) return SystemError(folder_);
  while (const dirent* entry = ::readdir(dir)) {
    Segment segment;
    const std::string name = entry->d_name;
    const size_t dot = name.find(kSuffix);
    if (dot == std::string::npos || dot + std::string_view(kSuffix).size() != name.size()) continue;
    if (std::sscanf(name.c_str(), "%" SCNd64, &segment.index) != 1) continue;
    struct stat info {};
    if (::stat(PathOf(segment.index).c_str(), &info) == 0) segment.size = info.st_size;
    segments_.push_back(segment);
  }
  ::closedir(dir);
  std::sort(segments_.begin(), segments_.end(),
            [](const Segment& a, const Segment& b) { return a.index < b.index; });
  if (segments_.empty()) {
    ReadConfirmed();
    METAMCP_RETURN_IF_ERROR(OpenSegment(confirmed_.segment + 1));
    confirmed_ = Spool::Position{segments_.back().index, 0};
    read_ = confirmed_;
    return absl::OkStatus();
  }
  Segment& last = segments_.back();
  METAMCP_ASSIGN_OR_RETURN(const std::string text, ReadAt(PathOf(last.index), 0, last.size));
  std::string_view rest = text;
  for (auto event = EventAt(rest); !event.empty(); event = EventAt(rest)) {
    rest.remove_prefix(kHead + event.size());
  }
  const int64_t whole = static_cast<int64_t>(text.size() - rest.size());
  if (::truncate(PathOf(last.index).c_str(), static_cast<off_t>(whole)) != 0) {
    return SystemError(PathOf(last.index));
  }
  last.size = whole;
  confirmed_ = Spool::Position{segments_.front().index, 0};
  const Spool::Position least = confirmed_;
  ReadConfirmed();
  const bool known = std::any_of(segments_.begin(), segments_.end(), [this](const Segment& one) {
    return one.index == confirmed_.segment && confirmed_.offset <= one.size;
  });
  if (!known) confirmed_ = least;
  read_ = confirmed_;
  file_ = ::open(PathOf(last.index).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  return file_ < 0 ? SystemError(PathOf(last.index)) : absl::OkStatus();
}

absl::Status SpoolFiles::OpenSegment(int64_t index) {
  const int fd =
      ::open(PathOf(index).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError(PathOf(index));
  if (file_ >= 0) ::close(file_);
  file_ = fd;
  Segment segment;
  segment.index = index;
  segments_.push_back(segment);
  return SyncFolder(folder_);
}

absl::Status SpoolFiles::Write(const std::vector<std::string_view>& events) {
  std::string text;
  for (const std::string_view event : events) {
    AppendNumber(static_cast<uint32_t>(event.size()), &text);
    text += Sha256(event).substr(0, 4);
    text += event;
  }
  if (bytes() + static_cast<int64_t>(text.size()) > options_.bytes_max) {
    return absl::ResourceExhaustedError(
        StrCat("the audit spool holds ", bytes(), " bytes (audit.spoolBytesMax)"));
  }
  if (segments_.back().size >= options_.segment_bytes) {
    METAMCP_RETURN_IF_ERROR(Sync());
    METAMCP_RETURN_IF_ERROR(OpenSegment(segments_.back().index + 1));
  }
  Segment& segment = segments_.back();
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = ::write(file_, text.data() + written, text.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    written += static_cast<size_t>(n);
  }
  if (written == text.size()) {
    segment.size += static_cast<int64_t>(text.size());
    return absl::OkStatus();
  }
  absl::Status failed = SystemError("write");
  // Half an event must not stand before whole ones.
  if (::ftruncate(file_, static_cast<off_t>(segment.size)) != 0) {
    const absl::Status next = OpenSegment(segment.index + 1);
    if (!next.ok()) return next;
  }
  return failed;
}

absl::Status SpoolFiles::Sync() {
  return ::fdatasync(file_) == 0 ? absl::OkStatus() : SystemError("fdatasync");
}

absl::StatusOr<Spool::Batch> SpoolFiles::Read(size_t events_max) {
  constexpr int64_t kChunk = int64_t{1} << 20;
  Spool::Batch batch;
  batch.end = read_;
  auto at = std::find_if(segments_.begin(), segments_.end(),
                         [this](const Segment& one) { return one.index == read_.segment; });
  if (at == segments_.end()) return absl::InternalError("the spool's segment is gone");
  if (read_.offset >= at->size) {
    if (std::next(at) == segments_.end()) return batch;
    ++at;
    read_ = Spool::Position{at->index, 0};
  }
  int64_t want = std::min(kChunk, at->size - read_.offset);
  METAMCP_ASSIGN_OR_RETURN(std::string text, ReadAt(PathOf(at->index), read_.offset, want));
  if (EventAt(text).empty() && want < at->size - read_.offset) {
    want = at->size - read_.offset;  // one event that is larger
    METAMCP_ASSIGN_OR_RETURN(text, ReadAt(PathOf(at->index), read_.offset, want));
  }
  std::string_view rest = text;
  while (batch.events.size() < events_max) {
    const std::string_view event = EventAt(rest);
    if (event.empty()) break;
    batch.events.emplace_back(event);
    rest.remove_prefix(kHead + event.size());
  }
  read_.offset += static_cast<int64_t>(text.size() - rest.size());
  if (batch.events.empty() && want == at->size - read_.offset) {
    Log(LogLevel::kError, "audit.spool_damaged",
        {{"file", PathOf(at->index)}, {"offset", read_.offset}, {"lost_bytes", want}});
    read_.offset = at->size;
  }
  batch.end = read_;
  return batch;
}

absl::Status SpoolFiles::Confirm(Spool::Position end) {
  confirmed_ = end;
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "%020" PRId64 " %020" PRId64 "\n",
                                 end.segment, end.offset);
  if (::pwrite(confirmed_file_, text.data(), static_cast<size_t>(size), 0) != size) {
    return SystemError("confirmed");
  }
  while (segments_.front().index < end.segment) {
    ::unlink(PathOf(segments_.front().index).c_str());
    segments_.pop_front();
  }
  return absl::OkStatus();
}

int64_t SpoolFiles::bytes() const {
  int64_t out = 0;
  for (const Segment& segment : segments_) {
    if (segment.index < confirmed_.segment) continue;
    out += segment.size - (segment.index == confirmed_.segment ? confirmed_.offset : 0);
  }
  return out;
}

}  // namespace metamcp::gateway
