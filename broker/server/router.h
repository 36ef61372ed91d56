// broker/server/router.h - hands a message to everybody in the account who asked for it.
//
// Room:    shell. Thread: the shard. Never re-entered: listeners defer what publishes.
// Cost:    one cached match; a client receiver costs one line and one copy or shared slice.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "broker/base/prng.h"
#include "broker/server/account.h"
#include "broker/session/client_session.h"

namespace weir::server {

class Router {
 public:
  explicit Router(std::uint64_t seed) : prng_(seed) {}

  /// Delivers; returns how many receivers took it (a queue group counts as one). Messages that come
  /// from clients and find nobody get a 503 when the client asked for that.
  std::size_t route(Account& account, const session::Inbound& message);

  /// Matches `target` but shows `message.subject`: deliveries of consumers.
  std::size_t deliver(Account& account, std::string_view target, const session::Inbound& message);

  /// A message of the server itself.
  std::size_t send(Account& account, std::string_view subject, std::string_view reply, std::string_view body,
                   std::size_t header_size = 0);
  std::size_t send(Account& account, std::string_view subject, std::string_view reply, const Bytes& body,
                   std::size_t header_size);

  void add(Account& account, session::Subscription& sub);
  void remove(Account& account, session::Subscription& sub);

  /// Somebody listens on `subject` as member of `queue`.
  static bool has_queue_interest(const Account& account, std::string_view subject, std::string_view queue);

  /// A subscription used up its maximum; removed once the walk is over.
  void note_exhausted(session::Subscription& sub) { exhausted_.push_back(&sub); }

 private:
  std::size_t walk(const subject::Sublist<session::Subscription*>::Match& found, const session::Inbound& m,
                   Account& account);
  static void tell_watchers(Account& account, std::string_view pattern);
  bool hand_over(session::Subscription& sub, const session::Inbound& m, Account& account);
  void no_responders(Account& account, const session::Inbound& m);
  void reap();

  Prng prng_;
  bool walking_ = false;
  std::string_view target_;  // of the deliver() under way
  std::vector<session::Subscription*> exhausted_;
};

}  // namespace weir::server
