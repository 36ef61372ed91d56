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

void Advisories::stream_action(StreamHost& stream, api::AssetAction action) {
  std::string subject = kAdvisory + "STREAM." + std::string(verb(action)) + "." + stream.name();
  publish(stream.account(), subject, [&] {
    return api::encode_stream_action(head(), {stream.name(), action});
  });
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
