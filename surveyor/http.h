// surveyor/http.h - /metrics, /healthz and a small page at /.
//
// Room:    edge; cpp-httplib stays in the .cc file.
// Thread:  publish() from the survey loop; answers on threads of the listener. What they share is a
//          pointer to an immutable exposition.
// Rule:    a scrape never asks the cluster; it gets the text of the last finished round, compressed once
//          if the scraper takes gzip.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "broker/base/result.h"

namespace weir::surveyor {

class HttpServer {
 public:
  /// Binds and starts to answer. Port 0 = any. Errors: kIo.
  static Result<std::unique_ptr<HttpServer>> start(const std::string& addr, std::uint16_t port);
  /// Stops accepting and waits for the answers under way.
  ~HttpServer();

  std::uint16_t port() const;
  /// `page` is HTML for "/".
  void publish(std::string metrics, std::string page);

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::surveyor
