#include "broker/api/advisories.h"

#include "broker/api/json_writer.h"
#include "broker/api/monitor_json.h"

namespace weir::api {
namespace {

#define JS "io.nats.jetstream.advisory.v1."
#define SRV "io.nats.server.advisory.v1."

/// An open event object; done() adds the domain and closes it.
class Event {
 public:
  Event(const EventHead& head, std::string_view type) : w(out_), head_(head) {
    w.begin_object();
    w.field("type", type);
    w.field("id", head.id);
    w.field("timestamp", head.timestamp);
  }
  std::string done() {
    w.field_if("domain", head_.domain);
    w.end_object();
    return std::move(out_);
  }

 private:
  std::string out_;

 public:
  JsonWriter w;

 private:
  const EventHead& head_;
};

std::string_view to_text(AssetAction action) {
  switch (action) {
    case AssetAction::kCreate: return "create";
    case AssetAction::kDelete: return "delete";
    case AssetAction::kModify: return "modify";
  }
  return "";
}

template <class E>
void write_names(JsonWriter& w, const E& e) {
  w.field("stream", e.stream);
  w.field("consumer", e.consumer);
}

void write_group(JsonWriter& w, std::string_view account, std::string_view stream,
                 std::string_view consumer) {
  w.field_if("account", account);
  w.field_if("stream", stream);
  w.field_if("consumer", consumer);
}

std::string encode_delivery(const EventHead& head, std::string_view type, const DeliveryEvent& d) {
  Event e(head, type);
  write_names(e.w, d);
  e.w.field("consumer_seq", d.consumer_seq);
  e.w.field("stream_seq", d.stream_seq);
  e.w.field("deliveries", d.deliveries);
  e.w.field_if("reason", d.reason);
  return e.done();
}

std::string encode_server(const EventHead& head, std::string_view type, const ServerEvent& s) {
  Event e(head, type);
  e.w.field("server", s.server);
  e.w.field("server_id", s.server_id);
  e.w.field_if("stream", s.stream);
  e.w.field("cluster", s.cluster);
  return e.done();
}

std::string encode_transfer(const EventHead& head, std::string_view type, const TransferEvent& t,
                            bool complete) {
  Event e(head, type);
  e.w.field("stream", t.stream);
  if (t.state) {
    e.w.key("state");
    write_stream_state(e.w, *t.state);
  }
  if (complete) {
    e.w.field("start", t.start);
    e.w.field("end", t.end);
  }
  if (t.bytes) e.w.field("bytes", *t.bytes);
  e.w.key("client");
  write_client_info(e.w, t.client);
  e.w.field_if("error", t.error);
  return e.done();
}

}  // namespace

std::string encode_stream_action(const EventHead& head, const StreamAction& a) {
  Event e(head, JS "stream_action");
  e.w.field("stream", a.stream);
  e.w.field("action", to_text(a.action));
  return e.done();
}

std::string encode_consumer_action(const EventHead& head, const ConsumerAdvisoryAction& a) {
  Event e(head, JS "consumer_action");
  write_names(e.w, a);
  e.w.field("action", to_text(a.action));
  return e.done();
}

std::string encode_consumer_pause_event(const EventHead& head, const ConsumerPauseEvent& p) {
  Event e(head, JS "consumer_pause");
  write_names(e.w, p);
  e.w.field("paused", p.paused);
  if (p.pause_until.ns != 0) e.w.field("pause_until", p.pause_until);
  return e.done();
}

std::string encode_max_deliver(const EventHead& head, const MaxDeliverEvent& m) {
  Event e(head, JS "max_deliver");
  write_names(e.w, m);
  e.w.field("stream_seq", m.stream_seq);
  e.w.field("deliveries", m.deliveries);
  return e.done();
}

std::string encode_nak(const EventHead& head, const DeliveryEvent& e) {
  return encode_delivery(head, JS "nak", e);
}

std::string encode_terminated(const EventHead& head, const DeliveryEvent& e) {
  return encode_delivery(head, JS "terminated", e);
}

std::string encode_ack_sample(const EventHead& head, const AckSample& s) {
  Event e(head, "io.nats.jetstream.metric.v1.consumer_ack");
  write_names(e.w, s);
  e.w.field("consumer_seq", s.consumer_seq);
  e.w.field("stream_seq", s.stream_seq);
  e.w.field("ack_time", s.ack_time);
  e.w.field("deliveries", s.deliveries);
  return e.done();
}

std::string encode_leader_elected(const EventHead& head, const LeaderEvent& l) {
  const bool domain = l.stream.empty();
  Event e(head, domain               ? JS "domain_leader_elected"
                : l.consumer.empty() ? JS "stream_leader_elected"
                                     : JS "consumer_leader_elected");
  write_group(e.w, domain ? std::string_view() : l.account, l.stream, l.consumer);
  e.w.field("leader", l.leader);
  e.w.key("replicas");
  write_peers(e.w, l.replicas);
  if (domain) e.w.field("cluster", l.cluster);
  return e.done();
}

std::string encode_quorum_lost(const EventHead& head, const QuorumLostEvent& q) {
  Event e(head, q.consumer.empty() ? JS "stream_quorum_lost" : JS "consumer_quorum_lost");
  write_group(e.w, q.account, q.stream, q.consumer);
  e.w.key("replicas");
  write_peers(e.w, q.replicas);
  return e.done();
}

std::string encode_api_audit(const EventHead& head, const ApiAudit& a) {
  Event e(head, JS "api_audit");
  e.w.field("server", a.server);
  e.w.key("client");
  write_client_info(e.w, a.client);
  e.w.field("subject", a.subject);
  e.w.field_if("request", a.request);
  e.w.field("response", a.response);
  return e.done();
}

std::string encode_api_limit_reached(const EventHead& head, const ApiLimitReached& l) {
  Event e(head, JS "api_limit_reached");
  e.w.field("server", l.server);
  e.w.field("dropped", l.dropped);
  return e.done();
}

std::string encode_server_out_of_space(const EventHead& head, const ServerEvent& e) {
  return encode_server(head, JS "server_out_of_space", e);
}

std::string encode_server_removed(const EventHead& head, const ServerEvent& e) {
  return encode_server(head, JS "server_removed", e);
}

std::string encode_snapshot_create(const EventHead& head, const TransferEvent& e) {
  return encode_transfer(head, JS "snapshot_create", e, false);
}
std::string encode_snapshot_complete(const EventHead& head, const TransferEvent& e) {
  return encode_transfer(head, JS "snapshot_complete", e, true);
}
std::string encode_restore_create(const EventHead& head, const TransferEvent& e) {
  return encode_transfer(head, JS "restore_create", e, false);
}
std::string encode_restore_complete(const EventHead& head, const TransferEvent& e) {
  return encode_transfer(head, JS "restore_complete", e, true);
}

std::string encode_client_connect(const EventHead& head, const ConnectEvent& c) {
  Event e(head, SRV "client_connect");
  e.w.key("server");
  write_server_identity(e.w, c.server);
  e.w.key("client");
  write_client_info(e.w, c.client);
  return e.done();
}

std::string encode_client_disconnect(const EventHead& head, const DisconnectEvent& d) {
  Event e(head, SRV "client_disconnect");
  e.w.key("server");
  write_server_identity(e.w, d.server);
  e.w.key("client");
  write_client_info(e.w, d.client);
  write_data_stats(e.w, "sent", d.sent);
  write_data_stats(e.w, "received", d.received);
  e.w.field("reason", d.reason);
  return e.done();
}

std::string encode_account_connections(const EventHead& head, const AccountConnsEvent& a) {
  Event e(head, SRV "account_connections");
  e.w.key("server");
  write_server_identity(e.w, a.server);
  write_account_stat_fields(e.w, a.account);
  return e.done();
}

}  // namespace weir::api
