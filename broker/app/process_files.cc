#include "broker/app/process_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "broker/platform/system.h"

namespace weir::app {
namespace {

Status write_file(const std::string& path, const std::string& text, mode_t mode) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return platform::errno_error(errno, "open " + path);
  Status status;
  for (std::size_t at = 0; at < text.size();) {
    ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      status = platform::errno_error(errno, "write " + path);
      break;
    }
    at += static_cast<std::size_t>(n);
  }
  ::close(fd);
  return status;
}

}  // namespace

Status write_pid_file(const std::string& path) {
  return write_file(path, std::to_string(::getpid()), 0660);
}

std::string format_ports(const Ports& ports) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const auto& [kind, urls] : ports) {
    if (!urls.empty()) out[kind] = urls;
  }
  return out.dump();
}

Status PortsFile::write(const std::string& dir, const std::string& program, const Ports& ports) {
  std::string path = dir + "/" + program + "_" + std::to_string(::getpid()) + ".ports";
  std::string aside = path + ".tmp";
  RETURN_IF_ERROR(write_file(aside, format_ports(ports), 0666));
  if (::rename(aside.c_str(), path.c_str()) != 0) {
    int error = errno;
    ::unlink(aside.c_str());
    return platform::errno_error(error, "rename to " + path);
  }
  path_ = path;
  return ok();
}

PortsFile::~PortsFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

}  // namespace weir::app
