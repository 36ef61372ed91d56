#include "tests/conformance/broker_process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace weir::conformance {
namespace {

using std::chrono::steady_clock;
constexpr auto kStart = std::chrono::seconds(30);
constexpr auto kStop = std::chrono::seconds(20);
constexpr auto kPoll = std::chrono::milliseconds(10);

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string program() {
  const char* named = std::getenv("WEIR_BROKER");
  if (!named) throw std::runtime_error("WEIR_BROKER does not name the binary under test");
  return named;
}

// The child after fork: only calls that are safe there.
[[noreturn]] void become(const char* file, const char* config, const char* ports, int log) {
  ::dup2(log, 1);
  ::dup2(log, 2);
  ::execl(file, file, "-c", config, "--ports_file_dir", ports, nullptr);
  ::_exit(127);
}

}  // namespace

BrokerProcess::BrokerProcess(const std::string& config, const std::string& jetstream)
    : config_(config), jetstream_(jetstream) {
  std::string pattern = (std::filesystem::temp_directory_path() / "weir-test-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder");
  folder_ = pattern;
  start();
}

BrokerProcess::~BrokerProcess() {
  if (pid_ > 0) wait_for_end(SIGTERM);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void BrokerProcess::start() {
  std::string file = program();
  std::string config = (folder_ / "broker.conf").string();
  std::ofstream(config) << "host: 127.0.0.1\nport: " << port_ << "\nserver_name: test\njetstream {\n"
                        << "  store_dir: \"" << (folder_ / "store").string()
                        << "\"\n  max_mem: 256MB\n  max_file: 2GB\n  " << jetstream_ << "\n}\n"
                        << config_ << "\n";
  int log =
      ::open((folder_ / "broker.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, S_IRUSR | S_IWUSR);
  pid_ = ::fork();
  if (pid_ == 0) become(file.c_str(), config.c_str(), folder_.c_str(), log);
  ::close(log);
  auto ports =
      folder_ / (std::filesystem::path(file).filename().string() + "_" + std::to_string(pid_) + ".ports");
  for (auto until = steady_clock::now() + kStart; steady_clock::now() < until;) {
    std::string text = read_file(ports);
    auto at = text.find("nats://127.0.0.1:");
    if (at != std::string::npos && text.find('}') != std::string::npos) {
      port_ = std::atoi(text.c_str() + at + 17);
      return;
    }
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      throw std::runtime_error("the broker ended:\n" + this->log());
    }
    std::this_thread::sleep_for(kPoll);
  }
  kill();
  throw std::runtime_error("the broker is not ready:\n" + this->log());
}

int BrokerProcess::wait_for_end(int signal) {
  ::kill(pid_, signal);
  int status = 0;
  for (auto until = steady_clock::now() + kStop; ::waitpid(pid_, &status, WNOHANG) == 0;) {
    if (steady_clock::now() > until) ::kill(pid_, SIGKILL);
    std::this_thread::sleep_for(kPoll);
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int BrokerProcess::stop() {
  return pid_ > 0 ? wait_for_end(SIGTERM) : 0;
}

void BrokerProcess::kill() {
  if (pid_ > 0) wait_for_end(SIGKILL);
}

void BrokerProcess::restart() {
  stop();
  start();
}

void BrokerProcess::crash_and_restart() {
  kill();
  start();
}

std::string BrokerProcess::url(const std::string& login) const {
  return "nats://" + (login.empty() ? "" : login + "@") + "127.0.0.1:" + std::to_string(port_);
}

std::string BrokerProcess::log() const {
  return read_file(folder_ / "broker.log");
}

}  // namespace weir::conformance
