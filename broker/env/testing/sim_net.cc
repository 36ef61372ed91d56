#include "broker/env/testing/sim_net.h"

#include <algorithm>
#include <deque>

#include "broker/base/check.h"

namespace weir::env::testing {

/// One side of a link. `queue` and `flying` are what this side sent.
struct SimNet::End {
  SimHost* host = nullptr;
  Endpoint at;
  ConnectionHandler* handler = nullptr;  // null before start()
  bool open = true;                      // the owner still wants it
  bool paused = false;
  bool close_after_queue = false;
  bool eof_seen = false;  // the other side closed, to be told when `inbox` is empty
  std::string eof_detail;
  std::deque<Bytes> queue;  // written, not yet on the way
  std::size_t queued = 0;
  std::size_t flying = 0;  // on the way or unread at the other side
  std::string pipe;        // on the way
  std::string inbox;       // arrived here, unread
  Mono last_arrival{};     // at the other side
  bool drain_due = false;
  bool hand_over_due = false;
};

struct SimNet::Link {
  std::uint64_t id = 0;
  bool broken = false;
  End ends[2];  // 0 dialled, 1 accepted
};

/// What the owner holds. Dropping it closes.
class SimConnection final : public Connection {
 public:
  SimConnection(SimNet& net, SimNet::LinkRef link, int side)
      : net_(net), link_(std::move(link)), side_(side) {}
  ~SimConnection() override { close(); }

  void start(ConnectionHandler* handler) override {
    end().handler = handler;
    net_.hand_over(link_, side_);
  }
  void write(std::vector<Bytes> slices) override {
    if (!end().open || end().close_after_queue) return;
    for (Bytes& b : slices) {
      if (b.empty()) continue;
      end().queued += b.size();
      end().queue.push_back(std::move(b));
    }
    end().drain_due = true;
    net_.pump(link_, side_);
  }
  std::size_t queued_bytes() const override { return end().queued; }
  void pause_reading(bool paused) override {
    end().paused = paused;
    if (!paused) net_.hand_over(link_, side_);
  }
  void close() override {
    auto& e = end();
    if (!e.open || e.close_after_queue) return;
    e.handler = nullptr;
    e.close_after_queue = true;
    net_.pump(link_, side_);
  }
  Endpoint remote() const override { return link_->ends[1 - side_].at; }
  Endpoint local() const override { return end().at; }

 private:
  SimNet::End& end() const { return link_->ends[side_]; }
  SimNet& net_;
  SimNet::LinkRef link_;
  int side_;
};

struct SimHost::Port final : Listener {
  Port(SimHost& h, std::uint16_t n, Accepted f) : host(&h), number(n), accepted(std::move(f)) {}
  ~Port() override {
    if (host) host->ports_.erase(number);
  }
  Endpoint local() const override { return {host ? host->address_ : "", number}; }
  SimHost* host;
  std::uint16_t number;
  Accepted accepted;
};

// ---- partitions and delays --------------------------------------------------------------------

Nanos SimNet::delay_to(const Link& link, int to) {
  return delay(link.ends[1 - to].at.host, link.ends[to].at.host);
}

void SimNet::partition(const std::string& a, const std::string& b, Cut cut) {
  cuts_.insert({a, b});
  if (cut == Cut::kBoth) cuts_.insert({b, a});
}

void SimNet::heal(const std::string& a, const std::string& b) {
  for (const Way& way : {Way(a, b), Way(b, a)}) {
    if (cuts_.erase(way) > 0) release(way);
  }
}

void SimNet::heal_all() {
  for (const Way& way : std::exchange(cuts_, {})) release(way);
}

void SimNet::set_extra_delay(const std::string& from, const std::string& to, Nanos extra) {
  if (extra > 0)
    extra_[{from, to}] = extra;
  else
    extra_.erase({from, to});
}

void SimNet::at(SimHost& host, Mono when, Task task) {
  Nanos skew = host.loop_.now() - time_.now();
  host.loop_.at(when + skew, std::move(task));
}

bool SimNet::hold(const LinkRef& link, int to, std::size_t bytes, const std::string& detail) {
  if (!is_cut(link->ends[1 - to].at.host, link->ends[to].at.host)) return false;
  held_.push_back({link, to, bytes, detail});
  return true;
}

// At once, so that nothing that left later overtakes it.
void SimNet::release(const Way& way) {
  std::vector<Held> kept;
  for (Held& h : std::exchange(held_, {})) {
    if (way != Way(h.link->ends[1 - h.to].at.host, h.link->ends[h.to].at.host)) {
      kept.push_back(std::move(h));
      continue;
    }
    SimLoop& loop = h.link->ends[h.to].host->loop_;
    loop.post([this, h = std::move(h)] {
      h.bytes > 0 ? deliver(h.link, h.to, h.bytes) : finish(h.link, h.to, h.detail);
    });
  }
  held_ = std::move(kept);
}

// ---- moving bytes ----------------------------------------------------------------------------

void SimNet::pump(const LinkRef& link, int from) {
  End& e = link->ends[from];
  End& other = link->ends[1 - from];
  if (!e.open || link->broken || e.host->down_) return;
  while (!e.queue.empty() && e.flying < options_.window) {
    std::size_t most = std::min(options_.piece_max, options_.window - e.flying);
    std::size_t n = 1 + static_cast<std::size_t>(prng_.below(most));
    std::string piece;
    while (n > 0 && !e.queue.empty()) {
      Bytes& b = e.queue.front();
      std::size_t take = std::min(n, b.size());
      piece += b.text().substr(0, take);
      n -= take;
      if (take == b.size())
        e.queue.pop_front();
      else
        b = b.sub(take, b.size() - take);
    }
    e.queued -= piece.size();
    e.flying += piece.size();
    e.pipe += piece;
    e.last_arrival = std::max(e.last_arrival, time_.now() + delay_to(*link, 1 - from));
    at(*other.host, e.last_arrival,
       [this, link, from, size = piece.size()] { deliver(link, 1 - from, size); });
  }
  if (!e.queue.empty()) return;
  if (e.close_after_queue) {
    e.open = false;
    e.last_arrival = std::max(e.last_arrival, time_.now() + delay_to(*link, 1 - from));
    at(*other.host, e.last_arrival, [this, link, from] { finish(link, 1 - from, ""); });
    return;
  }
  if (!e.drain_due) return;
  e.drain_due = false;
  e.host->loop_.post([link, from] {
    End& me = link->ends[from];
    if (me.open && me.handler && me.queue.empty()) me.handler->drained();
  });
}

void SimNet::deliver(const LinkRef& link, int to, std::size_t bytes) {
  End& e = link->ends[to];
  End& sender = link->ends[1 - to];
  if (!links_.count(link->id) || sender.pipe.size() < bytes) return;
  if (hold(link, to, bytes, "")) return;
  e.inbox.append(sender.pipe, 0, bytes);
  sender.pipe.erase(0, bytes);
  hand_over(link, to);
}

// Gives the owner what has arrived, in an event of its own loop.
void SimNet::hand_over(const LinkRef& link, int to) {
  End& e = link->ends[to];
  if (e.hand_over_due || (e.inbox.empty() && !e.eof_seen)) return;
  e.hand_over_due = true;
  e.host->loop_.post([this, link, to] {
    End& me = link->ends[to];
    me.hand_over_due = false;
    if (!me.open || !me.handler || me.host->down_) return;
    if (me.paused) return;
    if (!me.inbox.empty()) {
      std::string piece = std::exchange(me.inbox, {});
      delivered_bytes_ += piece.size();
      mix(link->id * 2 + static_cast<unsigned>(to));
      mix(static_cast<std::uint64_t>(time_.now().ns));
      for (char c : piece) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
      if (tap) tap(link->id, to == 1, as_span(piece));
      link->ends[1 - to].flying -= piece.size();
      me.handler->data(as_span(piece));
      if (link->ends[1 - to].open) pump(link, 1 - to);
    }
    if (me.inbox.empty() && me.eof_seen && me.open) {
      me.open = false;
      if (me.handler) std::exchange(me.handler, nullptr)->closed(me.eof_detail);
      links_.erase(link->id);
      return;
    }
    hand_over(link, to);
  });
}

void SimNet::finish(const LinkRef& link, int to, const std::string& detail) {
  End& e = link->ends[to];
  if (hold(link, to, 0, detail)) return;
  if (!e.open) {
    links_.erase(link->id);
    return;
  }
  e.eof_seen = true;
  e.eof_detail = detail;
  if (e.paused && !detail.empty()) e.inbox.clear();
  hand_over(link, to);
}

// Both directions are cut: what is under way is lost, or still arrives if it had left before.
void SimNet::break_link(const LinkRef& link, const std::string& detail) {
  if (std::exchange(link->broken, true)) return;
  for (int side : {0, 1}) {
    End& e = link->ends[side];
    End& other = link->ends[1 - side];
    bool arrives = prng_.chance(1, 2);
    if (!arrives) other.pipe.clear();
    if (e.host->down_ || e.eof_seen) continue;
    Mono when = std::max(time_.now() + delay_to(*link, side), arrives ? other.last_arrival : Mono{});
    at(*e.host, when, [this, link, side, detail] { finish(link, side, detail); });
  }
}

bool SimNet::reset_one(SimHost& host) {
  std::vector<LinkRef> of;
  for (auto& [id, link] : links_) {
    if (link->ends[0].host == &host || link->ends[1].host == &host) of.push_back(link);
  }
  if (of.empty()) return false;
  break_link(of[prng_.below(of.size())], "connection reset by peer");
  return true;
}

// ---- hosts -----------------------------------------------------------------------------------

SimHost::SimHost(SimNet& net, SimLoop& loop, std::string address)
    : net_(net), loop_(loop), address_(std::move(address)) {
  net_.hosts_[address_] = this;
}

SimHost::~SimHost() {
  net_.hosts_.erase(address_);
  for (auto& [n, port] : ports_) port->host = nullptr;
  std::erase_if(net_.held_, [this](const SimNet::Held& h) {
    return h.link->ends[0].host == this || h.link->ends[1].host == this;
  });
  // The other side may outlive us and still close what it has.
  std::erase_if(net_.links_, [this](auto& entry) {
    auto& ends = entry.second->ends;
    if (ends[0].host != this && ends[1].host != this) return false;
    return entry.second->broken = true;
  });
}

void SimHost::down() {
  down_ = true;
  std::vector<SimNet::LinkRef> of;
  for (auto& [id, link] : net_.links_) {
    if (link->ends[0].host == this || link->ends[1].host == this) of.push_back(link);
  }
  for (auto& link : of) {
    for (auto& e : link->ends) {
      if (e.host == this) e.open = false;
    }
    net_.break_link(link, "connection reset by peer");
  }
}

Result<std::unique_ptr<Listener>> SimHost::listen(const Endpoint& at, Accepted on_accept) {
  std::uint16_t port = at.port ? at.port : net_.next_port_++;
  if (ports_.count(port)) return Error(Code::kIo, "bind: address already in use");
  auto p = std::make_unique<Port>(*this, port, std::move(on_accept));
  ports_[port] = p.get();
  return std::unique_ptr<Listener>(std::move(p));
}

void SimHost::dial(const Endpoint& to, std::int64_t timeout_ns, Dialled done) {
  // The news of a host that died meanwhile never comes: hence the time-out.
  auto shared = std::make_shared<Dialled>(std::move(done));
  auto answer = [shared](Result<std::unique_ptr<Connection>> r) {
    if (*shared) std::exchange(*shared, nullptr)(std::move(r));
  };
  net_.at(*this, net_.time_.now() + timeout_ns, [answer] { answer(Error(Code::kIo, "connect: timed out")); });
  auto refuse = [this, answer, to](const char* why) {
    net_.at(*this, net_.time_.now() + net_.delay(to.host, address_),
            [answer, why] { answer(Error(Code::kIo, why)); });
  };
  auto found = net_.hosts_.find(to.host);
  // No handshake without both ways: the time-out answers.
  if (net_.is_cut(address_, to.host) || net_.is_cut(to.host, address_)) return;
  if (found == net_.hosts_.end() || found->second->down_) return refuse("connect: no route to host");
  SimHost* there = found->second;
  net_.at(*there, net_.time_.now() + net_.delay(address_, to.host), [this, there, to, answer, refuse] {
    auto port = there->ports_.find(to.port);
    if (there->down_ || port == there->ports_.end()) return refuse("connect: connection refused");
    auto link = std::make_shared<SimNet::Link>();
    link->id = net_.next_link_++;
    link->ends[0].host = this;
    link->ends[0].at = {address_, net_.next_port_++};
    link->ends[1].host = there;
    link->ends[1].at = {there->address_, to.port};
    net_.links_[link->id] = link;
    net_.at(*this, net_.time_.now() + net_.delay(to.host, address_), [this, link, answer] {
      answer(std::unique_ptr<Connection>(std::make_unique<SimConnection>(net_, link, 0)));
    });
    port->second->accepted(std::make_unique<SimConnection>(net_, link, 1));
  });
}

}  // namespace weir::env::testing
