#include <fcntl.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <regex>
#include <thread>

#include "broker/app/disk_source.h"
#include "broker/app/file_log.h"
#include "broker/app/http_monitor.h"
#include "broker/app/machine.h"
#include "broker/app/process_files.h"
#include "broker/app/send_signal.h"
#include "broker/app/signals.h"
#include "broker/platform/posix_disk.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;

class App : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "weir-app-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir = name;
  }
  void TearDown() override { fs::remove_all(dir); }
  std::string slurp(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string dir;
};

TEST_F(App, LogsInTheFormatOfNats) {
  FileLog log;
  ASSERT_TRUE(log.configure({.file = dir + "/log"}));
  log.info("Listening for client connections on 127.0.0.1:4222");
  log.debug("not asked for");
  log.write(Level::kFatal, "forged\n[1] line");
  std::string pid = std::to_string(::getpid());
  std::regex format(
      "\\[" + pid +
      R"(\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[INF\] Listening for client connections on 127\.0\.0\.1:4222
\[)" + pid +
      R"(\] \S+ \S+ \[FTL\] forged \[1\] line
)");
  EXPECT_TRUE(std::regex_match(slurp(dir + "/log"), format)) << slurp(dir + "/log");
}

TEST_F(App, LogLevelsTimeAndReopening) {
  FileLog log;
  EXPECT_FALSE(log.enabled(Level::kDebug));
  ASSERT_TRUE(log.configure({.file = dir + "/log", .debug = true, .trace = true, .with_time = false}));
  log.debug("d");
  log.write(Level::kTrace, "t");
  log.warn("w");
  log.error("e");
  std::string p = "[" + std::to_string(::getpid()) + "] ";
  EXPECT_EQ(slurp(dir + "/log"), p + "[DBG] d\n" + p + "[TRC] t\n" + p + "[WRN] w\n" + p + "[ERR] e\n");
  fs::rename(dir + "/log", dir + "/old");
  ASSERT_TRUE(log.reopen());
  log.info("new");
  EXPECT_EQ(slurp(dir + "/log"), p + "[INF] new\n");
  EXPECT_FALSE(log.configure({.file = dir + "/no/such/log"}));
  log.info("still here");
  EXPECT_NE(slurp(dir + "/log").find("still here"), std::string::npos);
}

TEST_F(App, LogTakesLinesFromManyThreads) {
  FileLog log;
  ASSERT_TRUE(log.configure({.file = dir + "/log", .with_time = false}));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) log.info("0123456789");
    });
  }
  for (auto& t : threads) t.join();
  std::ifstream in(dir + "/log");
  std::string line;
  int lines = 0;
  while (std::getline(in, line)) {
    ++lines;
    ASSERT_EQ(line.substr(line.find(']')), "] [INF] 0123456789");
  }
  EXPECT_EQ(lines, 2000);
}

TEST_F(App, PidFileHasNoNewline) {
  ASSERT_TRUE(write_pid_file(dir + "/pid"));
  EXPECT_EQ(slurp(dir + "/pid"), std::to_string(::getpid()));
  EXPECT_EQ(write_pid_file(dir + "/no/pid").error().code, Code::kNotFound);
}

TEST_F(App, PortsFileAppearsWholeAndGoesAway) {
  Ports ports{
      {"nats", {"nats://127.0.0.1:33507"}}, {"monitoring", {"http://127.0.0.1:37019"}}, {"cluster", {}}};
  EXPECT_EQ(format_ports(ports),
            R"({"nats":["nats://127.0.0.1:33507"],"monitoring":["http://127.0.0.1:37019"]})");
  std::string path = dir + "/nats-server_" + std::to_string(::getpid()) + ".ports";
  {
    PortsFile file;
    ASSERT_TRUE(file.write(dir, "nats-server", ports));
    EXPECT_EQ(file.path(), path);
    EXPECT_EQ(slurp(path), format_ports(ports));
    EXPECT_FALSE(fs::exists(path + ".tmp"));
    PortsFile bad;
    EXPECT_FALSE(bad.write(dir + "/missing", "nats-server", ports));
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(App, FindsTheProcessToSignal) {
  std::ofstream(dir + "/pid") << "4711";
  EXPECT_EQ(find_targets("123", "x").value(), std::vector<int>{123});
  EXPECT_EQ(find_targets(dir + "/pid", "x").value(), std::vector<int>{4711});
  EXPECT_EQ(find_targets(dir + "/p*", "x").value(), std::vector<int>{4711});
  EXPECT_EQ(find_targets(dir + "/none", "x").error().code, Code::kNotFound);
  EXPECT_EQ(find_targets(dir + "/none*", "x").error().code, Code::kNotFound);
  EXPECT_EQ(find_targets("0", "x").error().code, Code::kInvalid);
  EXPECT_EQ(find_targets("99999999999", "x").error().code, Code::kInvalid);
  std::ofstream(dir + "/junk") << "not a pid";
  EXPECT_EQ(find_targets(dir + "/junk", "x").error().code, Code::kInvalid);
  EXPECT_EQ(find_targets("", "no-process-has-this-name").error().code, Code::kNotFound);
  EXPECT_EQ(find_targets("*", "no-process-has-this-name").error().code, Code::kNotFound);
}

TEST_F(App, SendsASignalToAnotherProcess) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGUSR2, [](int) { ::_exit(42); });
    (void)!::write(ready[1], "x", 1);
    for (;;) ::pause();
  }
  char c;
  ASSERT_EQ(::read(ready[0], &c, 1), 1);
  EXPECT_TRUE(send_signal({config::Signal::kLameDuck, std::to_string(child)}, "x"));
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
  EXPECT_FALSE(send_signal({config::Signal::kLameDuck, std::to_string(child)}, "x"));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(App, SignalsArriveOnTheirOwnThread) {
  // In a process of its own: the blocked mask would stay with the test runner.
  pid_t child = ::fork();
  if (child == 0) {
    Signals::block();
    std::promise<int> got;
    Signals signals([&](int s) { got.set_value(s); });
    ::kill(::getpid(), SIGHUP);
    ::_exit(got.get_future().get() == SIGHUP ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

class Http : public App {
 protected:
  void start(const std::string& base) {
    auto started = HttpMonitor::start({"127.0.0.1", -1, base}, [this](const auto& path, const auto& query) {
      ++asked;
      if (path == "/varz") return HttpReply{200, "application/json", "{\"query\":\"" + query + "\"}"};
      if (path == "/metrics") return HttpReply{200, "text/plain; version=0.0.4", "up 1\n"};
      return HttpReply{404, "text/plain", "404 page not found\n"};
    });
    ASSERT_TRUE(started) << started.error().detail;
    monitor = std::move(*started);
    client = std::make_unique<httplib::Client>("127.0.0.1", monitor->endpoint().port);
  }
  std::unique_ptr<HttpMonitor> monitor;
  std::unique_ptr<httplib::Client> client;
  std::atomic<int> asked{0};
};

TEST_F(Http, PassesPathAndQueryOnAndAllowsEveryOrigin) {
  start("/");
  auto r = client->Get("/varz?subs=detail&cid=3");
  ASSERT_TRUE(r);
  EXPECT_EQ(r->status, 200);
  EXPECT_EQ(r->body, R"({"query":"subs=detail&cid=3"})");
  EXPECT_EQ(r->get_header_value("Content-Type"), "application/json");
  EXPECT_EQ(r->get_header_value("Access-Control-Allow-Origin"), "*");
  EXPECT_EQ(client->Get("/metrics")->body, "up 1\n");
  EXPECT_EQ(client->Post("/varz", "", "text/plain")->status, 200);
  EXPECT_EQ(client->Get("/nothing")->status, 404);
}

TEST_F(Http, IndexPageAndBasePath) {
  start("nats/");
  EXPECT_EQ(client->Get("/varz")->status, 404);
  EXPECT_EQ(client->Get("/natsvarz")->status, 404);
  EXPECT_EQ(client->Get("/nats/varz")->status, 200);
  auto index = client->Get("/nats/");
  EXPECT_EQ(index->status, 200);
  EXPECT_NE(index->body.find("href=\"/nats/varz\""), std::string::npos);
  EXPECT_EQ(client->Get("/nats")->status, 200);
  EXPECT_EQ(asked, 1);
}

TEST_F(Http, WrapsForACallbackThatIsAName) {
  start("/");
  auto r = client->Get("/varz?callback=on.data");
  EXPECT_EQ(r->body.rfind("on.data({", 0), 0u) << r->body;
  EXPECT_EQ(r->get_header_value("Content-Type"), "application/javascript");
  EXPECT_EQ(client->Get("/varz?callback=alert(1)")->body.rfind("{", 0), 0u);
}

TEST_F(Http, SaysWhenThePortIsTaken) {
  start("/");
  auto second = HttpMonitor::start({"127.0.0.1", monitor->endpoint().port, "/"},
                                   [](const auto&, const auto&) { return HttpReply{}; });
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().detail, "listen tcp 127.0.0.1:" + std::to_string(monitor->endpoint().port) +
                                       ": bind: address already in use");
}

TEST_F(Http, StopsRightAfterTheStart) {
  for (int i = 0; i < 20; ++i) {
    start("/");
    monitor.reset();
  }
}

TEST_F(App, ReadsConfigurationFiles) {
  DiskSource source;
  std::ofstream(dir + "/a.conf") << "port: 4222\n";
  EXPECT_EQ(source.read_file(dir + "/a.conf").value(), "port: 4222\n");
  EXPECT_EQ(source.read_file(dir + "/b.conf").error().code, Code::kNotFound);
  EXPECT_EQ(source.read_file(dir).error().code, Code::kInvalid);
  ASSERT_EQ(::mkfifo((dir + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(source.read_file(dir + "/fifo").value(), "");
  fs::resize_file(dir + "/a.conf", 17u << 20);
  EXPECT_EQ(source.read_file(dir + "/a.conf").error().code, Code::kLimit);
  EXPECT_FALSE(source.env("WEIR_TEST_UNSET_VARIABLE"));
}

TEST_F(App, DerivesSizesOnlyWhereNoneAreSet) {
  platform::AsioLoop loop;
  auto disk = platform::make_no_disk(loop);
  config::Options options;
  derive_sizes(options, *disk);
  EXPECT_GT(options.jetstream.max_memory_store, 0);
  EXPECT_GT(options.jetstream.max_file_store, 0);
  options.jetstream.max_memory_store = 5;
  options.jetstream.max_file_store = 0;
  derive_sizes(options, *disk);
  EXPECT_EQ(options.jetstream.max_memory_store, 5);
  EXPECT_EQ(options.jetstream.max_file_store, 0);
}

}  // namespace
}  // namespace weir::app
