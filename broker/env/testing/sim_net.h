// broker/env/testing/sim_net.h - a seeded network of byte streams between simulated hosts.
//
// Room:     test world; implements Transport for each host over one SimTime.
// Streams:  bytes arrive in order, in pieces cut at any byte, after random delays. A direction holds at
//           most window bytes under way or unread; the rest is queued_bytes() of the writer.
// Faults:   reset() breaks a connection now; down() takes a host off: what is under way to or from it is
//           lost or arrives late, and its peers see a reset later. A dial to a host without listener is
//           refused. partition() holds what one host sends to another, without a word to either, until
//           heal(); a dial between them times out.
// Trace:    every piece delivered is mixed into hash().
// Thread:   that of the time line; handlers run as events of their host's loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/prng.h"
#include "broker/env/testing/sim_loop.h"
#include "broker/env/transport.h"

namespace weir::env::testing {

struct NetOptions {
  Nanos delay_min = 50 * kMicrosecond;
  Nanos delay_max = 2 * kMillisecond;
  std::size_t piece_max = 4096;  // bytes that arrive in one data() call
  std::size_t window = 64 * 1024;
};

class SimHost;

/// Which direction partition() cuts.
enum class Cut : unsigned char { kBoth, kFirstToSecond };

class SimNet {
 public:
  SimNet(SimTime& time, std::uint64_t seed, NetOptions options)
      : time_(time), prng_(seed), options_(options) {}
  SimNet(const SimNet&) = delete;
  SimNet& operator=(const SimNet&) = delete;

  /// Breaks one random connection of `host`; false if it has none.
  bool reset_one(SimHost& host);
  /// Nothing that `a` sends reaches `b` any more, or neither way: connections between them stall, their
  /// ends and resets are not seen, dials time out. Hosts by address; they need not exist yet.
  void partition(const std::string& a, const std::string& b, Cut cut = Cut::kBoth);
  /// Both directions. What was held arrives now.
  void heal(const std::string& a, const std::string& b);
  void heal_all();
  /// True while what `from` sends to `to` is held.
  bool is_cut(const std::string& from, const std::string& to) const { return cuts_.count({from, to}) > 0; }
  /// Everything from `from` to `to` takes that much longer; 0 ends it. One direction.
  void set_extra_delay(const std::string& from, const std::string& to, Nanos extra);

  /// Of everything delivered, with its time.
  std::uint64_t hash() const { return hash_; }
  void mix(std::uint64_t v) {
    hash_ = (hash_ ^ v) * 0x100000001b3u;
    hash_ ^= hash_ >> 29;
  }
  std::uint64_t delivered_bytes() const { return delivered_bytes_; }
  /// Called for each piece: connection, direction (true: towards the listener), bytes.
  std::function<void(std::uint64_t, bool, ByteSpan)> tap;

 private:
  friend class SimHost;
  friend class SimConnection;
  struct End;
  struct Link;
  using LinkRef = std::shared_ptr<Link>;
  using Way = std::pair<std::string, std::string>;  // from, to
  /// An arrival that a partition stopped: some bytes, or (0) the end.
  struct Held {
    LinkRef link;
    int to;
    std::size_t bytes;
    std::string detail;
  };

  Nanos delay(const std::string& from, const std::string& to) {
    auto spread = static_cast<std::uint64_t>(options_.delay_max - options_.delay_min + 1);
    // Mostly quick, sometimes slow: order between connections varies.
    Nanos d = options_.delay_min + static_cast<Nanos>(prng_.below(spread));
    if (prng_.chance(1, 50)) d *= 8;
    auto extra = extra_.find({from, to});
    return extra == extra_.end() ? d : d + extra->second;
  }
  /// `when` is true time, whatever the host's clock shows.
  void at(SimHost& host, Mono when, Task task);
  Nanos delay_to(const Link& link, int to);
  bool hold(const LinkRef& link, int to, std::size_t bytes, const std::string& detail);
  void release(const Way& way);
  void pump(const LinkRef& link, int from);
  void deliver(const LinkRef& link, int to, std::size_t bytes);
  void hand_over(const LinkRef& link, int to);
  void finish(const LinkRef& link, int to, const std::string& detail);
  void break_link(const LinkRef& link, const std::string& detail);

  SimTime& time_;
  Prng prng_;
  NetOptions options_;
  std::uint64_t hash_ = 0xcbf29ce484222325u;
  std::uint64_t delivered_bytes_ = 0;
  std::uint64_t next_link_ = 1;
  std::uint16_t next_port_ = 20'000;
  std::map<std::string, SimHost*> hosts_;
  std::map<std::uint64_t, LinkRef> links_;
  std::set<Way> cuts_;
  std::map<Way, Nanos> extra_;
  std::vector<Held> held_;  // in order of arrival
};

/// The network as one host sees it. `loop` is that host's.
class SimHost final : public Transport {
 public:
  SimHost(SimNet& net, SimLoop& loop, std::string address);
  ~SimHost() override;

  Result<std::unique_ptr<Listener>> listen(const Endpoint& at, Accepted on_accept) override;
  void dial(const Endpoint& to, std::int64_t timeout_ns, Dialled done) override;
  std::vector<std::string> interface_addresses() override { return {address_}; }

  /// The machine stops in this instant: nothing leaves it any more. Call up() after its processes died.
  void down();
  void up() { down_ = false; }
  const std::string& address() const { return address_; }

 private:
  friend class SimNet;
  friend class SimConnection;
  struct Port;
  SimNet& net_;
  SimLoop& loop_;
  std::string address_;
  bool down_ = false;
  std::map<std::uint16_t, Port*> ports_;
};

}  // namespace weir::env::testing
