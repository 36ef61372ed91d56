// surveyor/poller.h - which questions to ask when, and which answers belong to which round.
//
// Room:    pure: messages and clock readings in, questions and finished rounds out. The loop in
//          survey_loop.cc does what it says.
// Round:   $SYS.REQ.SERVER.PING to all; then $SYS.REQ.SERVER.<id>.JSZ to each server that answered or
//          pushed a STATSZ since the last round, one question per server at a time, page by page of
//          accounts; over when every server is done or timed out.
// Tokens:  the last part of a reply subject, "<round>.P" or "<round>.J.<server>.<page>". What a token of
//          another round carries is late and only counted.
// Limits:  kServersMax servers per round, kAsksInFlight JSZ questions at once, kPagesMax pages per server.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/prng.h"
#include "surveyor/poll_stats.h"
#include "surveyor/round.h"
#include "surveyor/statz_decode.h"

namespace weir::surveyor {

constexpr std::size_t kServersMax = 1024;
constexpr std::size_t kAsksInFlight = 16;
constexpr std::uint32_t kPagesMax = 10'000;
constexpr std::size_t kReplyBytesMax = 256u << 20;  // unpacked

struct PollerOptions {
  Nanos interval = 15 * kSecond;
  Nanos timeout = 3 * kSecond;           // of one question
  Nanos discovery = 500 * kMillisecond;  // silence that ends the collection of PING answers
  std::uint32_t expected = 0;            // servers; 0 = not known
  std::uint32_t accounts_per_page = 256;
};

struct Ask {
  std::string subject, token, body;
};

/// A message from the cluster.
struct Arrival {
  enum class Kind : std::uint8_t { kReply, kStatsz, kGoodbye };
  Kind kind = Kind::kReply;
  std::string token;  // of a reply
  std::string data;
  bool gzipped = false;
  bool no_responders = false;  // nobody listens on the subject that was asked
};

class Poller {
 public:
  Poller(PollerOptions options, std::uint64_t seed) : options_(options), prng_(seed) {}

  /// The connection came or went. A new connection starts a round at once.
  void connection(bool up, Mono now);
  void arrive(Arrival a, Mono now, Wall wall);
  /// What is to be asked now. Call after every arrival and at deadline().
  std::vector<Ask> due(Mono now, Wall wall);
  /// The round that ended, once. While there is no connection rounds are empty.
  std::optional<Round> take_finished();
  /// When due() has something to do even if nothing arrives.
  Mono deadline() const;

  PollStats& stats() { return stats_; }
  const PollStats& stats() const { return stats_; }

 private:
  enum class Phase : std::uint8_t { kIdle, kPing, kAsk };
  struct Server {
    std::string id;
    std::uint32_t page = 0;
    bool asked = false, done = false;
    Mono sent;
  };

  void start_round(Mono now, std::vector<Ask>& out);
  void start_asking(Mono now);
  void ask_servers(Mono now, std::vector<Ask>& out);
  void finish(Mono now, Wall wall);
  bool ping_complete(Mono now) const;
  void on_ping(Arrival& a, Mono now);
  void on_jsz(std::string_view rest, Arrival& a, Mono now, Wall wall);
  void on_statsz_push(Arrival& a);
  void on_goodbye(Arrival& a);
  void end_server(Server& s, const char* error);
  bool unpack(Arrival& a, const char* request);
  Ask jsz_ask(std::size_t index) const;

  PollerOptions options_;
  Prng prng_;
  Decoder decoder_;
  PollStats stats_;
  bool connected_ = false;
  Phase phase_ = Phase::kIdle;
  Mono next_round_, round_start_, last_ping_answer_, phase_start_;
  std::uint32_t ping_answers_ = 0;
  std::uint64_t told_servers_ = 0;   // largest active_servers of this round
  std::uint64_t known_servers_ = 1;  // of the last round that somebody answered
  Round round_;
  std::vector<Server> servers_;
  std::size_t in_flight_ = 0;
  std::map<std::string, StatszReply> pushed_;       // by id, since the last round
  std::map<std::string, ServerIdentity> goodbyes_;  // by id, since the last round
  std::optional<Round> finished_;
};

}  // namespace weir::surveyor
