#include "broker/server/advisories.h"

#include "broker/base/text.h"
#include "broker/server/stream_host.h"

namespace weir::server {

namespace {
const std::string kAdvisory = "$JS.EVENT.ADVISORY.";

std::string_view verb(api::AssetAction a) {
  switch (a) {
    case api::AssetAction::kCreate: return "CREATED";
    case api::AssetAction::kDelete: return "DELETED";
    case api::AssetAction::kModify: return "UPDATED";
  }
  return "";
}
}  // namespace

api::EventHead Advisories::head() {
  return {make_nuid(prng_), env_.clock.wall(), domain_};
}

template <class Build>
void Advisories::publish(Account& account, const std::string& subject, Build&& build) {
  if (account.sublist.has_interest(subject)) router_.send(account, subject, {}, std::string_view(build()));
}

template <class Build>
void Advisories::publish_both(Account& account, const std::string& subject, Build&& build) {
  publish(account, subject, [&] { return build(std::string()); });
  if (system_ && system_ != &account) publish(*system_, subject, [&] { return build(account.name); });
}

void Advisories::stream_action(Account& account, const std::string& stream, api::AssetAction action) {
  std::string subject = kAdvisory + "STREAM." + std::string(verb(action)) + "." + stream;
  publish(account, subject, [&] { return api::encode_stream_action(head(), {stream, action}); });
}

void Advisories::stream_elected(StreamHost& stream, const std::string& leader) {
  std::vector<api::PeerInfo> replicas;
  if (auto c = stream.cluster_info()) replicas = std::move(c->replicas);
  api::LeaderEvent e{{}, stream.name(), {}, {}, leader, std::move(replicas)};
  auto tell = [&](const std::string& subject) {
    publish_both(stream.account(), subject, [&](std::string account) {
      e.account = std::move(account);
      return api::encode_leader_elected(head(), e);
    });
  };
  tell(kAdvisory + "STREAM.LEADER_ELECTED." + stream.name());
  for (const auto& [name, state] : stream.machine().consumers()) {
    e.consumer = name;
    tell(kAdvisory + "CONSUMER.LEADER_ELECTED." + stream.name() + "." + name);
  }
}

void Advisories::quorum_lost(StreamHost& stream) {
  std::vector<api::PeerInfo> replicas;
  if (auto c = stream.cluster_info()) replicas = std::move(c->replicas);
  api::QuorumLostEvent e{{}, stream.name(), {}, std::move(replicas)};
  auto tell = [&](const std::string& subject) {
    publish_both(stream.account(), subject, [&](std::string account) {
      e.account = std::move(account);
      return api::encode_quorum_lost(head(), e);
    });
  };
  tell(kAdvisory + "STREAM.QUORUM_LOST." + stream.name());
  for (const auto& [name, state] : stream.machine().consumers()) {
    e.consumer = name;
    tell(kAdvisory + "CONSUMER.QUORUM_LOST." + stream.name() + "." + name);
  }
}

void Advisories::domain_elected(const std::string& leader, const std::string& cluster,
                                std::vector<api::PeerInfo> replicas) {
  if (!system_) return;
  publish(*system_, kAdvisory + "DOMAIN.LEADER_ELECTED", [&] {
    return api::encode_leader_elected(head(), {{}, {}, {}, cluster, leader, std::move(replicas)});
  });
}

void Advisories::out_of_storage(const api::ServerEvent& e) {
  if (!system_) return;
  publish(*system_, kAdvisory + "SERVER.OUT_OF_STORAGE",
          [&] { return api::encode_server_out_of_space(head(), e); });
}

void Advisories::server_removed(const api::ServerEvent& e) {
  if (!system_) return;
  publish(*system_, kAdvisory + "SERVER.REMOVED", [&] { return api::encode_server_removed(head(), e); });
}

void Advisories::consumer_action(StreamHost& stream, std::string_view consumer, api::AssetAction action) {
  std::string name(consumer);
  std::string subject =
      kAdvisory + "CONSUMER." + std::string(verb(action)) + "." + stream.name() + "." + name;
  publish(stream.account(), subject, [&] {
    return api::encode_consumer_action(head(), {stream.name(), name, action});
  });
}

void Advisories::consumer_event(StreamHost& stream, std::string_view consumer,
                                const jetstream::ConsumerAdvisory& a) {
  using jetstream::ConsumerAdvisoryKind;
  std::string name(consumer);
  std::string tail = stream.name() + "." + name;
  api::DeliveryEvent event{stream.name(), name, a.cseq, a.sseq, a.deliveries, a.reason};
  switch (a.kind) {
    case ConsumerAdvisoryKind::kMaxDeliver:
      return publish(stream.account(), kAdvisory + "CONSUMER.MAX_DELIVERIES." + tail, [&] {
        return api::encode_max_deliver(head(), {stream.name(), name, a.sseq, a.deliveries});
      });
    case ConsumerAdvisoryKind::kTerminated:
      return publish(stream.account(), kAdvisory + "CONSUMER.MSG_TERMINATED." + tail,
                     [&] { return api::encode_terminated(head(), event); });
    case ConsumerAdvisoryKind::kNak:
      return publish(stream.account(), kAdvisory + "CONSUMER.MSG_NAKED." + tail,
                     [&] { return api::encode_nak(head(), event); });
    case ConsumerAdvisoryKind::kAckSample:
      return publish(stream.account(), "$JS.EVENT.METRIC.CONSUMER.ACK." + tail, [&] {
        return api::encode_ack_sample(head(),
                                      {stream.name(), name, a.cseq, a.sseq, a.ack_time, a.deliveries});
      });
  }
}

}  // namespace weir::server
