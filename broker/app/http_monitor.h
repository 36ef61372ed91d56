// broker/app/http_monitor.h - the monitoring endpoints over HTTP.
//
// Room:    edge; cpp-httplib stays in the .cc file. Knows no endpoint by itself: it asks.
// Thread:  its own: one that accepts, kHttpThreads that answer. `ask` is called on those.
// Answers: any path that the asked one knows, any method; CORS "*"; "/" is an index page. `callback`
//          wraps a JSON answer in a function call, as nats-server does.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "broker/base/result.h"
#include "broker/env/transport.h"

namespace weir::app {

constexpr std::size_t kHttpThreads = 8;

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

/// Path without the base path, query without '?'. Called from several threads at once.
using HttpAsk = std::function<HttpReply(const std::string& path, const std::string& query)>;

struct HttpMonitorOptions {
  std::string host;
  int port = 0;  // -1 or 0 = any free one
  std::string base_path = "/";
};

class HttpMonitor {
 public:
  /// Binds and starts to answer. Errors: kIo "listen tcp HOST:PORT: bind: ...".
  static Result<std::unique_ptr<HttpMonitor>> start(const HttpMonitorOptions& options, HttpAsk ask);
  /// Stops accepting and waits for the answers under way.
  ~HttpMonitor();

  const env::Endpoint& endpoint() const;

 private:
  struct Impl;
  explicit HttpMonitor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::app
