// broker/server/clients.h - the client connections of this node: accept, greet, flush, close.
//
// Room:     shell. Thread: the shard. Owner: Node.
// Life:     a connection that is to close is closed at the end of the turn, so that nobody up the
//           stack holds a dead session.
// Limits:   max_connections, auth timeout, max_pending, write_deadline (Options).
// Cluster:  who publishes to a node that does not keep up is not read from for a while (hold_back()), so
//           that its messages wait with it and are not lost in a full lane.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/auth/accounts.h"
#include "broker/config/options.h"
#include "broker/env/env.h"
#include "broker/proto/connect.h"
#include "broker/server/account.h"
#include "broker/server/router.h"
#include "broker/session/client_session.h"

namespace weir::server {

/// What /connz shows of a connection; kept for closed ones too.
struct ConnectionView {
  std::uint64_t cid = 0;
  env::Endpoint remote;
  Wall start, last_activity, stop;
  Nanos rtt = 0;
  std::string reason;  // closed connections only
  std::size_t pending_bytes = 0;
  std::uint64_t stalls = 0;  // times it was held back
  session::SessionStats stats;
  proto::ConnectOptions options;
  std::string account, user;
  std::optional<env::TlsState> tls;  // after its handshake
  bool tls_first = false;            // the handshake came before INFO
  std::vector<session::Subscription> subscriptions;
};

struct ClientTotals {
  std::uint64_t in_msgs = 0, in_bytes = 0, out_msgs = 0, out_bytes = 0;
  std::uint64_t total_connections = 0, slow_consumers = 0, stale_connections = 0, auth_errors = 0;
  std::uint64_t stalls = 0;
};

class Clients final : public session::SessionHost {
 public:
  struct Hooks {
    UniqueFunction<Account&(AccountId)> account;
    UniqueFunction<proto::ServerInfo()> info;                        // without the fields of one connection
    UniqueFunction<void(const ConnectionView&, bool opened)> event;  // system account advisories
  };

  Clients(env::Env& env, const config::Options& options, const auth::AuthTable& auth, Router& router,
          Hooks hooks);
  ~Clients() override;

  /// Reads the files of the tls block, if there is one. Before listen(). Errors: those of Transport::tls().
  Status open_tls();
  Status listen(const env::Endpoint& at);
  /// Where clients connect, or did until stop_accepting(): INFO and pages go on to say it.
  const std::optional<env::Endpoint>& endpoint() const { return endpoint_; }
  void stop_accepting() { listener_.reset(); }

  /// End of a turn: sends what sessions queued and closes those that asked for it.
  void flush();
  /// Closes every connection with this reason.
  void close_all(session::CloseReason reason);
  /// Closes the oldest `n` (lame duck); returns how many are left.
  std::size_t close_some(std::size_t n, session::CloseReason reason);
  /// Sends INFO again to all that take it at any time (lame duck, topology).
  void broadcast_info();

  std::size_t count() const { return open_.size(); }
  std::size_t subscriptions() const { return subscription_count_; }
  const ClientTotals& totals() const { return totals_; }
  ClientTotals live_totals() const;
  std::vector<ConnectionView> open_views(bool with_subscriptions) const;
  const std::deque<ConnectionView>& closed_views() const { return closed_; }
  const session::Identity* identity_of(std::uint64_t cid) const;
  /// When this server's certificate expires.
  std::optional<Wall> certificate_end() const { return tls_ ? tls_->not_after() : std::nullopt; }

 private:
  struct Connection;
  Result<session::Identity> authenticate(session::ClientSession& s, const proto::ConnectOptions& o) override;
  void publish(session::ClientSession& s, const session::Inbound& message) override;
  void subscribed(session::ClientSession& s, session::Subscription& sub) override;
  void unsubscribing(session::ClientSession& s, session::Subscription& sub) override;
  void exhausted(session::ClientSession& s, session::Subscription& sub) override;
  void dirty(session::ClientSession& s) override;
  void trace(session::ClientSession& s, std::string_view line) override;

  void accept(std::unique_ptr<env::Connection> connection);
  void refuse(Connection& c, session::CloseReason reason, std::string_view text);
  void greet(Connection& c);
  void send_out(Connection& c);

  // TLS (clients_tls.cc).
  bool within_rate();
  void open_secure(Connection& c);
  void greet_then_tls(Connection& c, Bytes first);
  void start_tls(Connection& c, Bytes first);
  bool opening_data(Connection& c, ByteSpan bytes);
  void wait_is_over(ClientId id);
  void log_handshake(const Connection& c, const std::string& why);
  auth::CertificateNames certificate_names(const Connection& c) const;
  void arm(Connection& c, Mono at);
  void on_timer(ClientId id);
  void hold_back(ClientId id);
  void release_held();
  void finish(Connection& c, session::CloseReason reason);
  ConnectionView view(const Connection& c, bool with_subscriptions) const;
  Nanos auth_timeout() const;

  env::Env& env_;
  const config::Options& options_;
  const auth::AuthTable& auth_;
  Router& router_;
  Hooks hooks_;
  std::unique_ptr<env::Listener> listener_;  // null: nobody is accepted
  std::optional<env::Endpoint> endpoint_;
  std::shared_ptr<const env::TlsContext> tls_;  // null without a tls block
  Mono rate_since_;                             // of connection_rate_limit: one second from here
  std::int64_t rate_used_ = 0;
  std::map<std::string, Mono> handshakes_logged_;  // by address and reason
  std::map<ClientId, std::unique_ptr<Connection>> open_;
  std::vector<Connection*> dirty_;
  std::vector<ClientId> held_;  // not read from: they publish to a node that does not keep up
  env::TimerId held_timer_ = 0;
  std::vector<std::unique_ptr<Connection>> graveyard_;  // finished in this turn
  std::deque<ConnectionView> closed_;
  ClientTotals totals_;  // of finished connections, plus counters
  std::size_t subscription_count_ = 0;
  std::uint64_t next_id_ = 0;
};

}  // namespace weir::server
