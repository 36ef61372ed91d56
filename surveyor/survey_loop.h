// surveyor/survey_loop.h - the shell: events in, questions out, a finished round becomes what is served.
//
// Thread:  run() is the main thread; everything pure is called from it.
#pragma once

#include <memory>

#include "broker/base/log.h"
#include "surveyor/event_queue.h"
#include "surveyor/http.h"
#include "surveyor/merge.h"
#include "surveyor/nats_client.h"
#include "surveyor/options.h"
#include "surveyor/poller.h"
#include "surveyor/render.h"

namespace weir::surveyor {

class SurveyLoop {
 public:
  /// All but `options` must outlive the loop.
  SurveyLoop(const Options& options, EventQueue& queue, HttpServer& http, Log& log);

  /// Until a StopRequest comes. Errors: kInvalid when libnats refuses the options at the first start.
  Status run();

 private:
  Status connect();
  void on_change(const ConnectionChange& c);
  void step();
  void publish();

  Options options_;
  EventQueue& queue_;
  HttpServer& http_;
  Log& log_;
  SelfView self_;
  Poller poller_;
  Merger merger_;
  Renderer renderer_;
  std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<Snapshot>();
  std::unique_ptr<NatsClient> client_;
  Mono connect_again_{};  // when client_ is null
  bool ever_connected_ = false;
  std::uint32_t last_surveyed_ = 0;
};

/// Small HTML page of a snapshot.
std::string render_page(const Snapshot& s, const SelfView& self);

}  // namespace weir::surveyor
