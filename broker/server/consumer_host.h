// broker/server/consumer_host.h - one consumer on the leader of its stream: carries out what
// ConsumerLeader decides.
//
// Room:    shell. Thread: the shard. Owner: StreamHost.
// Flow:    on_* calls only mark the consumer; its step runs once at the end of the turn and is
//          followed by sends, a progress proposal and a timer.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "broker/api/responses.h"
#include "broker/base/fifo.h"
#include "broker/jetstream/consumer_leader.h"
#include "broker/server/account.h"
#include "broker/server/js_context.h"
#include "broker/session/subscription.h"

namespace weir::server {

class StreamHost;

class ConsumerHost final : public session::Listener, public InterestWatcher {
 public:
  static Result<std::unique_ptr<ConsumerHost>> start(JsContext& js, StreamHost& stream,
                                                     const jetstream::ConsumerState& state);
  ~ConsumerHost() override;

  void stored(StreamSeq seq, std::string_view subject);
  void removed(StreamSeq seq, std::string_view subject);
  void purged();
  void config_changed(const api::ConsumerConfig& config);
  void pull(jetstream::PullRequest request);
  void ack(const jetstream::AckMessage& ack, const jetstream::PullRequest* next);
  /// Interest in the deliver subject may have come or gone.
  void interest_changed() override;
  /// The leadership is about to go to another replica: proposes what that one has to know.
  void hand_over();
  /// Tells waiting pulls why, sends what is due; who waits for the confirmation of an acknowledgement gets a
  /// 503, to ask again. The host is destroyed afterwards.
  void end(jetstream::ConsumerEnd why);

  /// End of turn.
  void step();
  /// The leadership was confirmed.
  void try_again() { mark(); }
  /// The stream's group has other members now, or none any more.
  void members_changed(bool group_of_one) { leader_->on_members(group_of_one); }
  /// Flow control replies arrive here.
  void on_message(const session::Inbound& message) override;

  const std::string& name() const { return name_; }
  std::uint32_t id() const { return id_; }
  api::ConsumerInfo info(bool with_config = true) const;
  const api::ConsumerConfig& config() const { return leader_->live().config(); }

 private:
  ConsumerHost(JsContext& js, StreamHost& stream, const jetstream::ConsumerState& state);
  void mark();
  jetstream::Now now() const;
  void carry_out(jetstream::ConsumerOutput& out);
  void send_all(const jetstream::ConsumerOutput& out);
  void send_delivery(const jetstream::Delivery& d, bool headers_only);
  void send_status(const jetstream::StatusMessage& s);
  void send_advisories(const jetstream::ConsumerOutput& out);
  void committed(std::uint64_t number);
  void refused(const api::ApiError& why);
  void unconfirmed(const Bytes& reply);
  void set_timer(Mono at);
  void subscribe_flow_control();
  void watch_interest();
  void unwatch_interest();

  struct Held {  // an output that waits for a commit
    std::uint64_t after = 0;
    jetstream::ConsumerOutput out;
  };

  JsContext& js_;
  StreamHost& stream_;
  std::string name_;
  std::uint32_t id_;
  Wall created_;
  std::unique_ptr<jetstream::ConsumerLeader> leader_;
  store::SubjectMatcher matcher_;
  std::string ack_prefix_;  // "$JS.ACK.<stream>.<consumer>."
  bool queued_ = false;
  bool deleting_ = false;
  bool ended_ = false;
  bool refused_ = false;  // a record was: nothing is done until the stream starts this consumer anew
  std::optional<bool> push_interest_;  // as the leader was told
  std::string watched_;                // deliver subject in the account's watchers; empty = none
  std::uint64_t committed_ = 0;
  Fifo<Held> held_;
  Fifo<jetstream::AckConfirmation> confirmations_;
  jetstream::ConsumerOutput out_;
  std::string scratch_;
  env::TimerId timer_ = 0;
  Mono timer_at_;
  std::unique_ptr<session::Subscription> flow_control_;
  std::shared_ptr<ConsumerHost*> self_;
};

}  // namespace weir::server
