// broker/server/sys_service.h - the system account: $SYS.REQ requests and the events of the server.
//
// Room:    shell. Thread: the shard. Owner: Node.
// Flow:    requests are copied and answered at the end of the turn.
// Source:  jsapi reference sections 8 and 9.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/server/monitor_view.h"
#include "broker/server/node_state.h"

namespace weir::server {

class SysService {
 public:
  explicit SysService(NodeState& node);
  ~SysService();

  /// Subscribes and starts the STATSZ push.
  void start();
  bool run();
  /// Requests that came and are not answered yet.
  std::size_t waiting() const { return queue_.size(); }
  /// $SYS.SERVER.<id>.SHUTDOWN or .LAMEDUCK.
  void announce(std::string_view what);
  /// Connect and disconnect events.
  void connection(const ConnectionView& c, bool opened);

 private:
  struct Inbox;
  struct Request {
    Account* account;
    std::string subject, reply, body;
    std::uint64_t cid = 0;
  };
  /// `told`: other nodes hear of it, so that the requests of their clients come here too.
  void subscribe(Account& account, std::string subject, bool told);
  void handle(const Request& r);
  void answer(const Request& r, std::string_view verb, bool ping);
  void user_info(const Request& r);
  /// What users of any account may ask, of their account only.
  void own_account(const Request& r, std::string_view verb);
  void account_info(const Request& r, std::string_view account);
  /// Queues and profiles.
  bool answer_internals(const Request& r, std::string_view verb, bool ping);
  void health(const Request& r, bool safe_to_stop, bool ping);
  void push_statsz();
  /// Figures of one account, when its number of connections changed and now and then.
  void push_conns(Account& account);
  void push_all_conns();
  /// This server, with the number of the message that it is for.
  api::ServerIdentity identity();
  void reply(const Request& r, std::string_view body);
  template <class Decoded, class Encode>
  void answer_with(const Request& r, Decoded decoded, bool ping, Encode&& encode);

  NodeState& n_;
  MonitorView view_;
  std::vector<std::unique_ptr<Inbox>> inboxes_;
  std::deque<Request> queue_;
  std::set<AccountId> conns_changed_;  // told at the end of a turn
  std::uint64_t seq_ = 0;              // of replies and events
  env::TimerId timer_ = 0, conns_timer_ = 0;
  Nanos next_push_ = kSecond;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weir::server
