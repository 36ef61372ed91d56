#include "broker/app/http_monitor.h"

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <thread>

#include "broker/platform/system.h"

namespace weir::app {
namespace {

constexpr time_t kReadSeconds = 2;
constexpr std::size_t kBodyBytesMax = 64 * 1024;
constexpr std::size_t kCallbackBytesMax = 128;

constexpr const char* kEndpoints[] = {"varz",   "jsz",   "connz",    "accountz", "accstatz", "subsz",
                                      "routez", "leafz", "gatewayz", "healthz",  "raftz",    "metrics"};

// "/", "", "nats", "/nats/" -> "", "", "/nats", "/nats"
std::string normalize_base(std::string base) {
  while (!base.empty() && base.back() == '/') base.pop_back();
  if (!base.empty() && base.front() != '/') base.insert(base.begin(), '/');
  return base;
}

std::string index_page(const std::string& base) {
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>weir-broker</title></head>\n"
      "<body><h1>weir-broker</h1><ul>\n";
  for (const char* name : kEndpoints) {
    page += "<li><a href=\"" + base + "/" + name + "\">" + name + "</a></li>\n";
  }
  return page + "</ul></body></html>\n";
}

// A callback name reaches the page that asked as code: names only.
bool is_callback_name(const std::string& s) {
  return !s.empty() && s.size() <= kCallbackBytesMax && std::all_of(s.begin(), s.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '$';
  });
}

void socket_options(int fd) {
  int on = 1;
  // Not SO_REUSEPORT, httplib's default: a second broker would silently share the port.
  (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

}  // namespace

struct HttpMonitor::Impl {
  httplib::Server server;
  std::string base;
  HttpAsk ask;
  env::Endpoint endpoint;
  std::atomic<bool> ended{false};
  std::thread thread;

  void answer(const httplib::Request& request, httplib::Response& response);
};

void HttpMonitor::Impl::answer(const httplib::Request& request, httplib::Response& response) {
  response.set_header("Access-Control-Allow-Origin", "*");
  std::string path = request.path;
  bool under_base = path.rfind(base, 0) == 0 && (path.size() == base.size() || path[base.size()] == '/');
  if (!under_base) {
    response.status = 404;
    return response.set_content("404 page not found\n", "text/plain; charset=utf-8");
  }
  path.erase(0, base.size());
  if (path.empty() || path == "/") return response.set_content(index_page(base), "text/html; charset=utf-8");
  std::size_t mark = request.target.find('?');
  HttpReply reply = ask(path, mark == std::string::npos ? "" : request.target.substr(mark + 1));
  response.status = reply.status;
  std::string callback = request.get_param_value("callback");
  if (reply.content_type == "application/json" && is_callback_name(callback)) {
    return response.set_content(callback + "(" + reply.body + ")", "application/javascript");
  }
  response.set_content(std::move(reply.body), reply.content_type);
}

HttpMonitor::HttpMonitor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<HttpMonitor>> HttpMonitor::start(const HttpMonitorOptions& options, HttpAsk ask) {
  auto impl = std::make_unique<Impl>();
  impl->base = normalize_base(options.base_path);
  impl->ask = std::move(ask);
  auto& server = impl->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kHttpThreads); };
  server.set_socket_options(socket_options);
  // One request per connection: an idle one would hold one of the few threads, and delay the exit.
  server.set_keep_alive_max_count(1);
  server.set_read_timeout(kReadSeconds);
  server.set_payload_max_length(kBodyBytesMax);
  auto handler = [raw = impl.get()](const httplib::Request& q, httplib::Response& r) { raw->answer(q, r); };
  server.Get(".*", handler).Post(".*", handler).Put(".*", handler).Options(".*", handler);

  errno = 0;
  int port = options.port;
  bool bound = true;
  if (port <= 0) {
    port = server.bind_to_any_port(options.host);
    bound = port > 0;
  } else {
    bound = server.bind_to_port(options.host, port);
  }
  if (!bound) {
    int error = errno != 0 ? errno : EADDRNOTAVAIL;
    env::Endpoint at{options.host, static_cast<std::uint16_t>(std::max(options.port, 0))};
    return Error(Code::kIo, "listen tcp " + env::to_string(at) + ": bind: " + platform::errno_text(error));
  }
  impl->endpoint = {options.host, static_cast<std::uint16_t>(port)};
  impl->thread = std::thread([raw = impl.get()] {
    raw->server.listen_after_bind();
    raw->ended = true;
  });
  return std::unique_ptr<HttpMonitor>(new HttpMonitor(std::move(impl)));
}

HttpMonitor::~HttpMonitor() {
  // stop() before the accepting thread got going would be lost.
  while (!impl_->server.is_running() && !impl_->ended) std::this_thread::yield();
  impl_->server.stop();
  impl_->thread.join();
}

const env::Endpoint& HttpMonitor::endpoint() const {
  return impl_->endpoint;
}

}  // namespace weir::app
