#include "broker/app/file_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

#include "broker/platform/system.h"

namespace weir::app {
namespace {

const char* level_tag(Level level) {
  switch (level) {
    case Level::kTrace: return "TRC";
    case Level::kDebug: return "DBG";
    case Level::kInfo: return "INF";
    case Level::kWarn: return "WRN";
    case Level::kError: return "ERR";
    case Level::kFatal: return "FTL";
  }
  return "INF";
}

void append_time(std::string& out, bool utc) {
  std::int64_t ns = platform::wall_now().ns;
  auto seconds = static_cast<std::time_t>(ns / kSecond);
  std::tm tm{};
  utc ? gmtime_r(&seconds, &tm) : localtime_r(&seconds, &tm);
  char text[96];
  std::snprintf(text, sizeof text, "%04d/%02d/%02d %02d:%02d:%02d.%06d ", tm.tm_year + 1900, tm.tm_mon + 1,
                tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, static_cast<int>(ns % kSecond / kMicrosecond));
  out += text;
}

Result<int> open_log(const std::string& file) {
  int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) return platform::errno_error(errno, "error opening log file " + file);
  return fd;
}

}  // namespace

FileLog::~FileLog() {
  if (fd_ != 2) ::close(fd_);
}

Status FileLog::configure(const LogOptions& options) {
  std::lock_guard lock(mutex_);
  if (options.file != options_.file) {
    int fd = 2;
    if (!options.file.empty()) {
      ASSIGN_OR_RETURN(fd, open_log(options.file));
    }
    if (fd_ != 2) ::close(fd_);
    fd_ = fd;
  }
  options_ = options;
  debug_ = options.debug;
  trace_ = options.trace;
  return ok();
}

Status FileLog::reopen() {
  std::lock_guard lock(mutex_);
  if (options_.file.empty()) return ok();
  ASSIGN_OR_RETURN(int fd, open_log(options_.file));
  ::close(fd_);
  fd_ = fd;
  return ok();
}

bool FileLog::enabled(Level level) const {
  switch (level) {
    case Level::kTrace: return trace_.load(std::memory_order_relaxed);
    case Level::kDebug: return debug_.load(std::memory_order_relaxed);
    default: return true;
  }
}

void FileLog::write(Level level, std::string_view line) {
  std::lock_guard lock(mutex_);
  buffer_.clear();
  buffer_ += '[';
  buffer_ += std::to_string(::getpid());
  buffer_ += "] ";
  if (options_.with_time) append_time(buffer_, options_.utc);
  buffer_ += '[';
  buffer_ += level_tag(level);
  buffer_ += "] ";
  // One line is one record: text that came from outside cannot forge another.
  for (char c : line) buffer_ += c == '\n' || c == '\r' ? ' ' : c;
  buffer_ += '\n';
  for (std::size_t at = 0; at < buffer_.size();) {
    ssize_t n = ::write(fd_, buffer_.data() + at, buffer_.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    at += static_cast<std::size_t>(n);
  }
}

}  // namespace weir::app
