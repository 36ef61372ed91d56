// surveyor/nats_client.h - the wall around libnats.
//
// Room:    edge. Callbacks run on threads of libnats and only push into the queue.
// Life:    start() returns at once, connected or not; libnats tries for ever, also the first time. It gives
//          up (kClosed in the queue) when a server refuses the user twice; destroy this and start anew.
// Subjects: own inbox for replies; $SYS.SERVER.*.STATSZ and .SHUTDOWN.
#pragma once

#include <memory>
#include <string>

#include "broker/base/result.h"
#include "surveyor/event_queue.h"
#include "surveyor/options.h"

namespace weir::surveyor {

class NatsClient {
 public:
  /// `queue` must outlive the client. Errors: kInvalid for options that libnats refuses.
  static Result<std::unique_ptr<NatsClient>> start(const Options& options, EventQueue& queue);
  /// Closes the connection; no callback runs after it.
  ~NatsClient();

  /// Errors: kUnavailable.
  Status publish(const Ask& ask);

 private:
  struct Impl;
  explicit NatsClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

constexpr const char* kConnectionName = "weir-surveyor";

}  // namespace weir::surveyor
