#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace metamcp::config {

// Calls back when the content behind a path may have changed: writing in place, a rename over it
// (editors), its removal and return, and a swap of any symbolic link on the way to it (Kubernetes
// mounts). Watches folders with inotify, so that the file may be missing; where the machine has no
// inotify to give any more (fs.inotify limits), looks at the file again and again. One callback for
// a burst of changes; none when the file is as it was.
//
// Thread: made, used and destroyed on the io thread; the callback runs there. After destruction no
// callback comes.
class FileWatcher {
 public:
  struct Options {
    // Quiet time after the last event before the callback.
    std::chrono::milliseconds debounce{200};
    // Between two looks without inotify.
    std::chrono::milliseconds poll{1000};
  };

  // Errors: NOT_FOUND when the folder of `path` does not exist; INTERNAL when it cannot be watched,
  // for example because it cannot be read.
  static absl::StatusOr<std::unique_ptr<FileWatcher>> Create(boost::asio::any_io_executor executor,
                                                             std::string path, Options options,
                                                             std::function<void()> on_change);
  ~FileWatcher();
  FileWatcher(const FileWatcher&) = delete;
  FileWatcher& operator=(const FileWatcher&) = delete;

 private:
  class Impl;
  explicit FileWatcher(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace metamcp::config
