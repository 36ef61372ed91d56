// broker/server/remote_stream.h - a stream that other nodes hold: its messages go to the leader there.
//
// Room:    shell. Thread: the shard. Owner: JetStream.
// Rule:    every node knows every stream, so a message enters a stream once, from the node where it came
//          in (DESIGN 4). Without a leader the publisher is told at once that nobody is there (503).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "broker/server/account.h"
#include "broker/server/js_context.h"

namespace weir::server {

/// Sends `m` to the leader of `group`, or puts the reply subject on `unserved`, to be answered with a 503 at
/// the end of the turn.
void forward_publish(JsContext& js, GroupId group, Account& account, const session::Inbound& m);

class RemoteStream final : public session::Listener {
 public:
  RemoteStream(JsContext& js, Account& account, GroupId group, const std::vector<std::string>& subjects);
  ~RemoteStream() override;
  void on_message(const session::Inbound& m) override { forward_publish(js_, group_, account_, m); }
  void resubscribe(const std::vector<std::string>& subjects);

 private:
  void unsubscribe();
  JsContext& js_;
  Account& account_;
  GroupId group_;
  std::vector<std::unique_ptr<session::Subscription>> subscriptions_;
};

}  // namespace weir::server
