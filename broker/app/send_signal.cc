#include "broker/app/send_signal.h"

#include <dirent.h>
#include <glob.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <fstream>

#include "broker/base/text.h"
#include "broker/platform/system.h"

namespace weir::app {
namespace {

int number_of(config::Signal signal) {
  switch (signal) {
    case config::Signal::kStop: return SIGKILL;
    case config::Signal::kQuit: return SIGINT;
    case config::Signal::kTerm: return SIGTERM;
    case config::Signal::kReopen: return SIGUSR1;
    case config::Signal::kReload: return SIGHUP;
    case config::Signal::kLameDuck: return SIGUSR2;
  }
  return SIGTERM;
}

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 = 0
}

// First argument of a process, as it was started; empty if it is gone or not ours to see.
std::string command_of(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/cmdline", std::ios::binary);
  std::string first;
  std::getline(in, first, '\0');
  return first;
}

std::vector<int> processes_named(const std::string& name) {
  std::vector<int> out;
  DIR* proc = ::opendir("/proc");
  if (!proc) return out;
  while (dirent* e = ::readdir(proc)) {
    auto pid = parse_u64(e->d_name);
    if (!pid || *pid > INT_MAX || static_cast<int>(*pid) == ::getpid()) continue;
    if (base_name(command_of(static_cast<int>(*pid))) == name) out.push_back(static_cast<int>(*pid));
  }
  ::closedir(proc);
  std::sort(out.begin(), out.end());
  return out;
}

Result<int> to_pid(const std::string& text) {
  auto pid = parse_u64(text);
  if (!pid || *pid == 0 || *pid > INT_MAX) return Error(Code::kInvalid, "invalid pid: " + text);
  return static_cast<int>(*pid);
}

Result<int> pid_from_file(const std::string& path) {
  std::ifstream in(path);
  if (!in) return Error(Code::kNotFound, "cannot read pid file " + path);
  std::string text;
  in >> text;
  return to_pid(text);
}

Result<std::vector<int>> by_name(const std::string& name, const std::string& prefix) {
  std::vector<int> out;
  for (int pid : processes_named(name)) {
    if (std::to_string(pid).rfind(prefix, 0) == 0) out.push_back(pid);
  }
  if (out.empty()) return Error(Code::kNotFound, "no " + name + " processes running");
  return out;
}

Result<std::vector<int>> from_files(const std::string& pattern) {
  glob_t found{};
  int rc = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (rc != 0) return Error(Code::kNotFound, "no pid file matches " + pattern);
  std::vector<int> out;
  for (const auto& path : paths) {
    ASSIGN_OR_RETURN(int pid, pid_from_file(path));
    out.push_back(pid);
  }
  return out;
}

}  // namespace

Result<std::vector<int>> find_targets(const std::string& target, const std::string& process_name) {
  if (target.find('/') != std::string::npos && target.find('*') != std::string::npos)
    return from_files(target);
  if (!target.empty() && target.back() == '*') {
    return by_name(process_name, target.substr(0, target.size() - 1));
  }
  if (target.empty()) {
    ASSIGN_OR_RETURN(auto found, by_name(process_name, ""));
    if (found.size() == 1) return found;
    std::string list;
    for (int pid : found) list += "\n" + std::to_string(pid);
    return Error(Code::kInvalid, "multiple " + process_name + " processes running:" + list);
  }
  bool digits = std::all_of(target.begin(), target.end(), [](char c) { return c >= '0' && c <= '9'; });
  ASSIGN_OR_RETURN(int pid, digits ? to_pid(target) : pid_from_file(target));
  return std::vector<int>{pid};
}

Status send_signal(const config::SignalRequest& request, const std::string& process_name) {
  ASSIGN_OR_RETURN(auto pids, find_targets(request.target, process_name));
  for (int pid : pids) {
    if (::kill(pid, number_of(request.signal)) != 0) {
      return platform::errno_error(errno, "unable to signal process " + std::to_string(pid));
    }
  }
  return ok();
}

}  // namespace weir::app
