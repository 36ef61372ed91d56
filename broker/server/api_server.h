// broker/server/api_server.h - the JetStream API: requests in, JSON replies out.
//
// Room:    shell. Thread: the shard. Owner: Node.
// Flow:    a request is copied when it arrives and handled at the end of the turn, because handling
//          may change subscriptions. One reply each, later when something has to be committed first.
// Limits:  limits::kApiRequestsQueued; beyond, the oldest is dropped without an answer.
// Files:   api_account.cc, api_stream.cc, api_stream_list.cc, api_message.cc, api_consumer.cc,
//          api_pull.cc, api_meta.cc, api_move.cc: one group of verbs each.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/api/requests.h"
#include "broker/api/responses.h"
#include "broker/server/direct_batches.h"
#include "broker/server/jetstream.h"

namespace weir::server {

struct ApiRequest {
  Account* account = nullptr;
  std::string subject;  // "$JS.API...." without a domain
  std::string reply;
  std::string headers;
  std::string body;
  std::uint8_t hops = 0;                           // from node to node so far
  bool internal = false;                           // the second half of a request, from another node
  Mono since;                                      // first held back, waiting for a leader; 0 = never
  std::vector<std::string_view> tokens;            // of `subject` after "$JS.API."
  std::string_view rest(std::size_t token) const;  // from that token to the end
};

class ApiServer {
 public:
  ApiServer(env::Env& env, const config::Options& options, Router& router, JetStream& js);
  ~ApiServer();

  /// Listens in `account`; also in accounts without JetStream, to say so. In the system account it takes the
  /// verbs that concern the cluster.
  void attach(Account& account);
  /// Acks of the account's consumers.
  session::Listener& acks(Account& account);
  /// End of turn: handles up to a bounded number, and sends some of the batches. True if more wait.
  bool run();
  /// A request or an ack that came in at another node.
  void forwarded(Account& account, const Forwarded& f);
  /// Answers questions of other nodes from now on.
  void join_cluster(cluster::Mesh& mesh);
  /// Requests that wait for a leader are tried again.
  void leaders_changed() { retry_ = true; }
  /// Requests that were taken and not answered.
  std::size_t waiting() const { return queue_.size() + held_.size() + batches_.size(); }

 private:
  struct Gate;  // listener of one account
  struct Acks;
  using Handler = void (ApiServer::*)(ApiRequest&);
  enum class Scope : std::uint8_t {
    kHere,        // any node answers
    kMeta,        // the leader of the meta group
    kMetaOrHere,  // who has the latest news: the leader of the meta group if it is reached, else this node
    kStream,      // the leader of the stream's group
    kReplica,     // a node with an up-to-date replica of the stream, its leader if this one has none
  };
  struct Route {
    std::string_view pattern;  // tokens after $JS.API.; "*" one name, ">" the rest
    api::ReplyType type;
    Handler handler;
    Scope scope = Scope::kHere;
    std::size_t stream = 0;  // token with the stream's name, for Scope::kStream and kReplica
    bool admin = false;      // of the system account, and of nobody else
  };
  static const std::vector<Route>& routes();

  void enqueue(Account& account, const session::Inbound& m);
  void handle(ApiRequest& r);

  // api_cluster.cc
  /// True: the request is on its way to another node, waits for a leader, or was refused.
  void refuse(const ApiRequest& r, const Route& route);
  bool pass_on(ApiRequest& r, const Route& route);
  void ask_a_member(const ApiRequest& r, const Route& route);
  bool wait_for_start(ApiRequest& r, const Route& route);
  bool send_on(NodeId to, const ApiRequest& r);
  void hold(ApiRequest r);
  /// A change of a stream failed. While nodes are about to join it may be that one of them is what it lacks.
  void place_later(const ApiRequest& r, api::ReplyType type, const api::ApiError& error);
  void retry_held();
  /// The answer to a change of a stream comes from the stream's leader, once its log has that revision.
  void answer_when_applied(const ApiRequest& r, const jetstream::MetaStream& stream, std::string_view verb);
  void stream_applied(ApiRequest& r);
  void gather_list(const ApiRequest& r, const std::vector<std::string>& names, api::Paging paging);
  void serve_infos(const Bytes& body, cluster::Mesh::Reply reply);
  void on_ack(Account& account, const session::Inbound& m, std::uint8_t hops = 0);
  /// False: this node knows of no leader that it could go to.
  bool pass_ack(Account& account, std::string_view stream, const session::Inbound& m, std::uint8_t hops);

  // Replies.
  void reply(const ApiRequest& r, std::string_view body);
  void fail(const ApiRequest& r, api::ReplyType type, const api::ApiError& error);
  void fail(const ApiRequest& r, api::ReplyType type, api::ErrCode code);
  void status(const ApiRequest& r, int code, std::string_view text);
  /// The stream named by token `at`; replies 10059 and gives null if there is none.
  StreamHost* stream_or_fail(const ApiRequest& r, api::ReplyType type, std::size_t at);
  ConsumerHost* consumer_or_fail(const ApiRequest& r, api::ReplyType type);
  api::Strictness strictness() const;
  std::string random_name();

  // api_account.cc
  void info(ApiRequest& r);
  void info_reply(const ApiRequest& r, const NodeUsage& usage);
  // api_stream.cc
  void stream_create(ApiRequest& r);
  void stream_update(ApiRequest& r);
  void stream_delete(ApiRequest& r);
  void stream_purge(ApiRequest& r);
  void stream_step_down(ApiRequest& r);
  void stream_remove_peer(ApiRequest& r);
  void consumer_evacuate(ApiRequest& r);
  void meta_step_down(ApiRequest& r);
  void server_remove(ApiRequest& r);
  // api_move.cc
  void stream_cancel_move(ApiRequest& r);
  void account_cancel_move(ApiRequest& r);
  void account_stream_move(ApiRequest& r);
  void account_purge(ApiRequest& r);
  void server_evacuate(ApiRequest& r);
  void cancel_move(const ApiRequest& r, const std::string& account, std::string_view name);
  void step_down(ApiRequest& r, api::ReplyType type, replica::Group& group);
  std::optional<api::ApiError> refuse_stream(const Account& account, const api::StreamConfig& c,
                                             const api::StreamConfig* old);
  api::StreamInfo shown(const StreamHost& stream) const;
  std::optional<api::StreamConfig> config_of(const ApiRequest& r, std::string_view name) const;
  // api_stream_list.cc
  void stream_info(ApiRequest& r);
  void stream_snapshot(ApiRequest& r);  // not built: both say so
  void stream_restore(ApiRequest& r);
  void stream_names(ApiRequest& r);
  void stream_list(ApiRequest& r);
  // api_message.cc
  void msg_get(ApiRequest& r);
  void answer_msg_get(const ApiRequest& r, StreamHost& host, const api::MsgGetRequest& q);
  void msg_delete(ApiRequest& r);
  void direct_get(ApiRequest& r);
  void direct_get_last(ApiRequest& r);
  Result<std::optional<store::Message>> find_message(StreamHost& s, const api::MsgGetRequest& q);
  void send_direct(const ApiRequest& r, const StreamHost& s, const store::Message& m, bool no_hdr);
  // api_consumer.cc
  void consumer_create(ApiRequest& r);
  void consumer_info(ApiRequest& r);
  void consumer_names(ApiRequest& r);
  void consumer_list(ApiRequest& r);
  void consumer_delete(ApiRequest& r);
  void consumer_step_down(ApiRequest& r);
  // api_pull.cc
  void next(ApiRequest& r);

  env::Env& env_;
  const config::Options& options_;
  Router& router_;
  JetStream& js_;
  DirectBatches batches_;
  Prng prng_;
  std::vector<std::unique_ptr<Gate>> gates_;
  std::vector<std::unique_ptr<Acks>> ack_listeners_;
  std::deque<ApiRequest> queue_;
  std::deque<ApiRequest> held_;  // wait for a leader
  bool retry_ = false;
  env::TimerId retry_timer_ = 0;
  std::size_t asked_ = 0;  // members, one after the other, by a node that is none
  std::uint64_t dropped_ = 0;
};

}  // namespace weir::server
