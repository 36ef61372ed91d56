#include "broker/app/disk_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "broker/platform/system.h"

namespace weir::app {

Result<std::string> DiskSource::read_file(const std::string& path) {
  const std::size_t limit = config::ConfLimits{}.file_bytes_max;
  // O_NONBLOCK: a fifo without a writer must not hang the start.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return platform::errno_error(errno, "open " + path);
  struct stat st {};
  std::string text;
  Status status;
  if (::fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
    status = Error(Code::kInvalid, "read " + path + ": is a directory");
  char chunk[16 * 1024];
  while (status && text.size() <= limit) {
    ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status = platform::errno_error(errno, "read " + path);
    if (n <= 0) break;
    text.append(chunk, static_cast<std::size_t>(n));
  }
  ::close(fd);
  if (!status) return status.error();
  if (text.size() > limit)
    return Error(Code::kLimit, path + ": larger than " + std::to_string(limit) + " bytes");
  return text;
}

std::optional<std::string> DiskSource::env(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

}  // namespace weir::app
