#include "surveyor/http.h"

#include <httplib.h>

#include <mutex>
#include <thread>

#include "surveyor/inflate.h"

namespace weir::surveyor {

namespace {
constexpr const char* kTextFormat = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::size_t kThreads = 4;
constexpr time_t kSlowClientSeconds = 30;

/// One finished round as it goes over the wire.
class Published {
 public:
  explicit Published(std::string text) : text_(std::move(text)) {}
  const std::string& text() const { return text_; }
  const std::string& packed() const {
    std::call_once(once_, [this] { packed_ = gzip(text_); });
    return packed_;
  }

 private:
  std::string text_;
  mutable std::once_flag once_;
  mutable std::string packed_;
};

/// Does an Accept-Encoding header allow gzip? "gzip;q=0" forbids it.
bool takes_gzip(const std::string& header) {
  std::size_t at = header.find("gzip");
  if (at == std::string::npos) return false;
  std::string rest = header.substr(at + 4, header.find(',', at) - at - 4);
  rest.erase(std::remove(rest.begin(), rest.end(), ' '), rest.end());
  return !(rest.starts_with(";q=0") && rest.find_first_of("123456789") == std::string::npos);
}
}  // namespace

struct HttpServer::Impl {
  httplib::Server server;
  std::thread thread;
  int port = 0;
  std::mutex mutex;
  std::shared_ptr<const Published> metrics;  // under mutex, as the next
  std::string page = "<p>no round yet</p>";

  std::shared_ptr<const Published> current() {
    std::lock_guard lock(mutex);
    return metrics;
  }

  void answer_metrics(const httplib::Request& request, httplib::Response& response) {
    auto now = current();
    if (!now) {
      response.status = 503;
      response.set_content("no round finished yet\n", "text/plain");
      return;
    }
    bool pack = takes_gzip(request.get_header_value("Accept-Encoding"));
    const std::string& bytes = pack ? now->packed() : now->text();
    if (pack) response.set_header("Content-Encoding", "gzip");
    response.set_header("Vary", "Accept-Encoding");
    // A provider of known length: the library would otherwise compress once more, in every scrape.
    response.set_content_provider(bytes.size(), kTextFormat,
                                  [now, &bytes](std::size_t at, std::size_t length, httplib::DataSink& sink) {
                                    return sink.write(bytes.data() + at, length);
                                  });
  }

  void routes() {
    server.Get("/metrics", [this](const auto& q, auto& r) { answer_metrics(q, r); });
    server.Get("/healthz", [](const auto&, auto& r) { r.set_content("ok\n", "text/plain"); });
    server.Get("/", [this](const auto&, auto& r) {
      std::lock_guard lock(mutex);
      r.set_content(page, "text/html");
    });
  }
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<HttpServer>> HttpServer::start(const std::string& addr, std::uint16_t port) {
  auto impl = std::make_unique<Impl>();
  impl->server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  impl->server.set_write_timeout(kSlowClientSeconds);
  impl->server.set_read_timeout(kSlowClientSeconds);
  impl->server.set_payload_max_length(0);
  impl->routes();
  bool bound = true;
  if (port == 0) {
    impl->port = impl->server.bind_to_any_port(addr);
    bound = impl->port > 0;
  } else {
    impl->port = port;
    bound = impl->server.bind_to_port(addr, port);
  }
  if (!bound) return Error(Code::kIo, "cannot listen on " + addr + ":" + std::to_string(port));
  impl->thread = std::thread([raw = impl.get()] { raw->server.listen_after_bind(); });
  while (!impl->server.is_running()) std::this_thread::yield();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::~HttpServer() {
  impl_->server.stop();
  impl_->thread.join();
}

std::uint16_t HttpServer::port() const {
  return static_cast<std::uint16_t>(impl_->port);
}

void HttpServer::publish(std::string metrics, std::string page) {
  auto next = std::make_shared<const Published>(std::move(metrics));
  std::lock_guard lock(impl_->mutex);
  impl_->metrics = std::move(next);
  impl_->page = std::move(page);
}

}  // namespace weir::surveyor
