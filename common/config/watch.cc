#include "common/config/watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <tuple>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::config {
namespace {

namespace fs = std::filesystem;

constexpr int kLinksMax = 40;  // as the kernel follows
constexpr uint32_t kEvents =
    IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB;

// What tells one state of a file from another without reading it.
using Identity = std::tuple<bool, dev_t, ino_t, off_t, int64_t, int64_t>;

Identity IdentityOf(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return {};
  return {true, info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

// Every folder in which an entry decides what `path` leads to: its own, and that of each link,
// links among the folders on the way included.
std::set<std::string> FoldersOf(const std::string& path) {
  std::set<std::string> out;
  fs::path rest = fs::absolute(path).lexically_normal();
  for (int links = 0; links <= kLinksMax; ++links) {
    fs::path walked = rest.root_path();
    bool followed = false;
    const fs::path parts = rest.relative_path();
    for (auto it = parts.begin(); it != parts.end(); ++it) {
      std::error_code error;
      const fs::path target = fs::read_symlink(walked / *it, error);
      if (error) {
        walked /= *it;
        continue;
      }
      out.insert(walked.string());
      fs::path next = target.is_absolute() ? target : walked / target;
      for (auto tail = std::next(it); tail != parts.end(); ++tail) next /= *tail;
      rest = next.lexically_normal();
      followed = true;
      break;
    }
    if (!followed) break;
  }
  out.insert(rest.parent_path().string());
  return out;
}

}  // namespace

class FileWatcher::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::any_io_executor executor, int fd, std::string path, Options options,
       std::function<void()> on_change)
      : path_(std::move(path)),
        options_(options),
        on_change_(std::move(on_change)),
        events_(executor),
        timer_(executor),
        identity_(IdentityOf(path_)),
        polls_(fd < 0) {
    if (!polls_) events_.assign(fd);
  }

  // Watches what the path leads to now. Adding a folder twice is one watch.
  absl::Status Rewatch() {
    std::set<std::string> folders = FoldersOf(path_);
    if (polls_) return CheckFolders(folders);
    for (const auto& [folder, watch] : watches_) {
      if (!folders.contains(folder)) inotify_rm_watch(events_.native_handle(), watch);
    }
    std::map<std::string, int> watches;
    absl::Status status;
    for (const std::string& folder : folders) {
      const int watch = inotify_add_watch(events_.native_handle(), folder.c_str(), kEvents);
      if (watch >= 0) {
        watches.emplace(folder, watch);
      } else if (errno == ENOSPC) {
        polls_ = true;
        boost::system::error_code ignored;
        events_.close(ignored);
        return CheckFolders(folders);
      } else {
        status = MakeError(errno == ENOENT ? "NOT_FOUND" : "INTERNAL", "config",
                           StrCat(folder, ": cannot be watched: ", std::strerror(errno)));
      }
    }
    watches_ = std::move(watches);
    return status;
  }

  void Start() {
    if (polls_) return Poll();
    events_.async_read_some(boost::asio::buffer(buffer_),
                            [self = shared_from_this()](boost::system::error_code error, size_t) {
                              if (self->stopped_) return;
                              if (self->polls_) return self->Poll();
                              if (error) return;
                              // What the events say does not matter: the state of the path is
                              // compared instead.
                              self->Arm();
                              self->Start();
                            });
  }

  void Stop() {
    stopped_ = true;
    on_change_ = nullptr;
    boost::system::error_code ignored;
    events_.close(ignored);
    timer_.cancel();
  }

 private:
  static absl::Status CheckFolders(const std::set<std::string>& folders) {
    for (const std::string& folder : folders) {
      std::error_code error;
      if (fs::is_directory(folder, error)) continue;
      return MakeError("NOT_FOUND", "config", StrCat(folder, ": cannot be watched: no folder"));
    }
    return absl::OkStatus();
  }

  void Poll() {
    timer_.expires_after(options_.poll);
    timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (error || self->stopped_) return;
      self->Compare();
      if (!self->stopped_) self->Poll();
    });
  }

  void Arm() {
    timer_.expires_after(options_.debounce);
    timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error && !self->stopped_) self->Compare();
    });
  }

  void Compare() {
    // First the watches, then the look: a change between the two arms the timer again.
    (void)Rewatch();
    const Identity now = IdentityOf(path_);
    if (now == identity_) return;
    identity_ = now;
    // The callback may destroy the watcher.
    const auto callback = on_change_;
    callback();
  }

  const std::string path_;
  const Options options_;
  std::function<void()> on_change_;
  boost::asio::posix::stream_descriptor events_;
  boost::asio::steady_timer timer_;
  Identity identity_;
  std::map<std::string, int> watches_;
  bool polls_ = false;  // without inotify
  alignas(inotify_event) char buffer_[4096];
  bool stopped_ = false;
};

absl::StatusOr<std::unique_ptr<FileWatcher>> FileWatcher::Create(
    boost::asio::any_io_executor executor, std::string path, Options options,
    std::function<void()> on_change) {
  const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0 && errno != EMFILE && errno != ENFILE && errno != ENOMEM) {
    return MakeError("INTERNAL", "config",
                     StrCat(path, ": cannot be watched: ", std::strerror(errno)));
  }
  auto impl = std::make_shared<Impl>(std::move(executor), fd, std::move(path), options,
                                     std::move(on_change));
  METAMCP_RETURN_IF_ERROR(impl->Rewatch());
  impl->Start();
  return std::unique_ptr<FileWatcher>(new FileWatcher(std::move(impl)));
}

FileWatcher::FileWatcher(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileWatcher::~FileWatcher() { impl_->Stop(); }

}  // namespace metamcp::config
