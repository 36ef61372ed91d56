// tests/sim/sim_client.h - a simple NATS client in the simulated world.
//
// Speaks the real protocol over a SimHost: INFO/CONNECT, inbox subscription, requests with time-outs,
// PING/PONG, reconnect after a close or when pings stay without an answer, to another server if there are
// several. A request that was sent is never sent again by this class: the
// caller learns `kTimeout` or `kDisconnected` and decides.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/sim_net.h"

namespace weir::sim {

struct Delivered {
  std::string subject, reply, headers, payload;
  /// "404" of "NATS/1.0 404 No Messages"; 0 without a status line.
  int status() const;
};

enum class Answer : unsigned char { kReply, kTimeout, kDisconnected };

class SimClient final : public env::ConnectionHandler {
 public:
  using OnReply = std::function<void(Answer, const Delivered&)>;
  using OnMessage = std::function<void(const Delivered&)>;

  /// `ping` is how often it pings; 0 = never. Two pings without an answer end a connection.
  SimClient(env::testing::SimTime& time, SimNet& net, unsigned number, std::vector<env::Endpoint> servers,
            Nanos ping = 0);
  ~SimClient() override;

  void connect();
  bool connected() const { return ready_; }
  /// Index of the server that it is, was last or will be connected to.
  std::size_t server() const { return server_; }
  /// From the next connection on, only this one.
  void stay_with(std::size_t server);
  /// Drops the connection now; it is dialled again soon.
  void disconnect();

  /// Not connected: kDisconnected in a later turn. `headers` is a whole header block or empty.
  void request(std::string_view subject, std::string_view headers, std::string_view payload, Nanos timeout,
               OnReply done);
  /// A subscription that outlives connections. `once` handlers are removed by unsubscribe().
  std::uint64_t subscribe(std::string subject, OnMessage handler);
  void unsubscribe(std::uint64_t sid);
  bool publish(std::string_view subject, std::string_view reply, std::string_view headers,
               std::string_view payload);
  std::string new_inbox();
  /// Stops reading for `d`: the server sees back-pressure.
  void stall(Nanos d);

  void data(ByteSpan bytes) override;
  void drained() override {}
  void closed(const std::string& detail) override;

  env::testing::SimLoop& loop() { return loop_; }
  unsigned number() const { return number_; }
  const std::string& address() const { return host_.address(); }
  /// The first thing that the server did against the protocol; empty = nothing.
  std::string violation;
  std::uint64_t errors_seen = 0;  // -ERR lines
  std::string last_error;

 private:
  struct Pending {
    OnReply done;
    env::TimerId timer = 0;
  };
  struct Sub {
    std::string subject;
    OnMessage handler;
  };
  void lost();
  void retry(Nanos wait);
  void arm_ping();
  bool line(std::string_view text);
  bool message(std::string_view args, bool headers);
  void dispatch(std::uint64_t sid, const Delivered& m);
  void send(std::string text);
  void finish(std::uint64_t token, Answer a, const Delivered& m);

  SimNet& net_;
  env::testing::SimLoop loop_;
  SimHost host_;
  unsigned number_;
  const std::vector<env::Endpoint> servers_;
  const Nanos ping_;
  std::size_t server_ = 0;
  bool stays_ = false;
  Prng prng_;
  std::unique_ptr<env::Connection> io_;
  bool ready_ = false;
  bool dialling_ = false;
  unsigned pings_out_ = 0;
  env::TimerId ping_timer_ = 0;
  std::string in_;
  std::string inbox_;
  std::uint64_t next_token_ = 1;
  std::uint64_t next_sid_ = 10;
  std::map<std::uint64_t, Pending> pending_;
  std::map<std::uint64_t, Sub> subs_;
};

}  // namespace weir::sim
