// surveyor/event_queue.h - from the threads of libnats and the signal thread to the survey loop.
//
// Thread:  any may push, one pops. The only lock that callbacks of libnats take.
// Limits:  kQueueBytesMax of payload and kQueueEventsMax events; messages beyond are refused and counted.
//          Connection changes and the end are never refused.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <variant>

#include "broker/base/time.h"
#include "surveyor/poller.h"

namespace weir::surveyor {

constexpr std::size_t kQueueBytesMax = 256u << 20;
constexpr std::size_t kQueueEventsMax = 16'384;

struct ConnectionChange {
  enum class What : std::uint8_t { kUp, kDown, kClosed } what = What::kDown;
  std::string detail;  // url, or why
};
struct StopRequest {
  int signal = 0;
};
using Event = std::variant<Arrival, ConnectionChange, StopRequest>;

class EventQueue {
 public:
  void push(Arrival a);
  void push(ConnectionChange c);
  void push(StopRequest s);
  /// Waits at most until `wait` is over; nullopt then.
  std::optional<Event> pop(Nanos wait);
  /// Messages refused since the last call, by kind.
  std::map<std::string, std::uint64_t> take_dropped();

 private:
  void put(Event e);
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Event> events_;
  std::size_t bytes_ = 0;
  std::map<std::string, std::uint64_t> dropped_;
};

}  // namespace weir::surveyor
