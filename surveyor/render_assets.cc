#include "surveyor/merge.h"
#include "surveyor/render.h"

namespace weir::surveyor {

namespace {

/// f(stream) writes the samples of one stream.
template <class F>
void each_stream(Exposition& out, const Snapshot& s, Metric m, F&& f) {
  out.family(m);
  for (const StreamView& v : s.streams) f(v);
}

struct StreamNumber {
  Metric metric;
  std::uint64_t StreamStateRow::*field;
};
constexpr StreamNumber kStreamNumbers[] = {
    {Metric::StreamMessages, &StreamStateRow::messages},
    {Metric::StreamBytes, &StreamStateRow::bytes},
    {Metric::StreamFirstSeq, &StreamStateRow::first_seq},
    {Metric::StreamLastSeq, &StreamStateRow::last_seq},
    {Metric::StreamSubjects, &StreamStateRow::subjects},
    {Metric::StreamDeleted, &StreamStateRow::deleted},
    {Metric::StreamConsumers, &StreamStateRow::consumers},
    {Metric::StreamPublished, &StreamStateRow::last_seq},
};

void render_stream_info(Exposition& out, const Snapshot& s) {
  each_stream(out, s, Metric::StreamInfo, [&](const StreamView& v) {
    if (!v.config) return;
    std::string labels = v.labels;
    append_label(labels, "storage", v.config->storage);
    append_label(labels, "retention", v.config->retention);
    append_label(labels, "discard", v.config->discard);
    append_label(labels, "num_replicas", std::to_string(v.config->replicas));
    append_label(labels, "placement_cluster", v.config->placement_cluster);
    out.sample(labels, 1u);
  });
  each_stream(out, s, Metric::StreamLag, [&](const StreamView& v) {
    auto kind = [&](const char* name, const std::optional<std::uint64_t>& lag) {
      if (!lag) return;
      std::string labels = v.labels;
      append_label(labels, "kind", name);
      out.sample(labels, *lag);
    };
    if (v.detail) {
      kind("replica", v.lag_replica);
      kind("mirror", v.lag_mirror);
      kind("source", v.lag_source);
    }
    kind("consumer", v.lag_consumer);
  });
}

void render_stream_group(Exposition& out, const Snapshot& s) {
  using V = const StreamView&;
  each_stream(out, s, Metric::StreamHasLeader, [&](V v) { out.sample(v.labels, v.has_leader ? 1u : 0u); });
  each_stream(out, s, Metric::StreamReplicas, [&](V v) { out.sample(v.labels, v.replicas); });
  each_stream(out, s, Metric::StreamOnline, [&](V v) { out.sample(v.labels, v.replicas_online); });
  each_stream(out, s, Metric::StreamCurrent, [&](V v) {
    if (v.detail && v.replicas_current) out.sample(v.labels, *v.replicas_current);
  });
  each_stream(out, s, Metric::StreamMargin, [&](V v) { out.sample(v.labels, v.quorum_margin); });
  each_stream(out, s, Metric::StreamDrift, [&](V v) {
    if (v.drift) out.sample(v.labels, *v.drift);
  });
  auto each_sick_peer = [&](Metric m, auto&& f) {
    each_stream(out, s, m, [&](V v) {
      for (const PeerView& p : v.peers) {
        if (p.healthy) continue;
        std::string labels = v.labels;
        append_label(labels, "peer", p.peer);
        f(p, labels);
      }
    });
  };
  using L = const std::string&;
  each_sick_peer(Metric::ReplicaLag, [&](const PeerView& p, L l) {
    if (p.lag_messages) out.sample(l, *p.lag_messages);
  });
  each_sick_peer(Metric::ReplicaLagOps, [&](const PeerView& p, L l) { out.sample(l, p.lag_ops); });
  each_sick_peer(Metric::ReplicaActive, [&](const PeerView& p, L l) { out.sample(l, p.active_s); });
  each_sick_peer(Metric::ReplicaCurrent, [&](const PeerView& p, L l) { out.sample(l, p.current ? 1u : 0u); });
  each_sick_peer(Metric::ReplicaOffline, [&](const PeerView& p, L l) { out.sample(l, p.offline ? 1u : 0u); });
}

void render_stream_limits(Exposition& out, const Snapshot& s) {
  each_stream(out, s, Metric::StreamLimit, [&](const StreamView& v) {
    if (!v.detail || !v.config) return;
    auto limit = [&](const char* name, std::uint64_t used, std::int64_t max) {
      if (max <= 0) return;
      std::string labels = v.labels;
      append_label(labels, "limit", name);
      append_label(labels, "discard", v.config->discard);
      out.sample(labels, static_cast<double>(used) / static_cast<double>(max));
    };
    limit("messages", v.state.messages, v.config->max_msgs);
    limit("bytes", v.state.bytes, v.config->max_bytes);
    limit("consumers", v.state.consumers, v.config->max_consumers);
  });
  auto each_origin = [&](Metric m, auto&& f) {
    each_stream(out, s, m, [&](const StreamView& v) {
      for (const OriginView& o : v.origins) {
        std::string labels = v.labels;
        append_label(labels, "kind", o.kind);
        append_label(labels, "origin", o.origin);
        append_label(labels, "origin_domain", o.domain);
        append_label(labels, "idx", std::to_string(o.idx));
        f(o, labels);
      }
    });
  };
  each_origin(Metric::OriginLag, [&](const OriginView& o, const std::string& l) { out.sample(l, o.lag); });
  each_origin(Metric::OriginActive, [&](const OriginView& o, const std::string& l) {
    if (o.active_s) out.sample(l, *o.active_s);
  });
  each_stream(out, s, Metric::StreamLost, [&](const StreamView& v) {
    for (const auto& [server, messages] : v.lost) {
      std::string labels = v.labels;
      append_label(labels, "server_name", server);
      out.sample(labels, messages);
    }
  });
}

/// f(consumer) writes the samples of one consumer.
template <class F>
void each_consumer(Exposition& out, const Snapshot& s, Metric m, F&& f) {
  out.family(m);
  for (const StreamView& v : s.streams) {
    for (const ConsumerView& c : v.consumers) f(c);
  }
}

struct ConsumerNumber {
  Metric metric;
  std::uint64_t ConsumerView::*field;
};
constexpr ConsumerNumber kConsumerNumbers[] = {
    {Metric::ConsumerPending, &ConsumerView::pending},
    {Metric::ConsumerAckPending, &ConsumerView::ack_pending},
    {Metric::ConsumerRedelivered, &ConsumerView::redelivered},
    {Metric::ConsumerDelivered, &ConsumerView::delivered},
    {Metric::ConsumerAcked, &ConsumerView::acked},
};

void render_consumer_info(Exposition& out, const Snapshot& s) {
  using V = const ConsumerView&;
  each_consumer(out, s, Metric::ConsumerInfo, [&](V c) {
    if (!c.detail) return;
    std::string labels = c.labels;
    append_label(labels, "ack_policy", c.ack_policy);
    append_label(labels, "deliver", c.pull ? "pull" : "push");
    append_label(labels, "durable", c.durable ? "true" : "false");
    append_label(labels, "filter_count", std::to_string(c.filters));
    out.sample(labels, 1u);
  });
  each_consumer(out, s, Metric::ConsumerHasLeader,
                [&](V c) { out.sample(c.labels, c.has_leader ? 1u : 0u); });
  each_consumer(out, s, Metric::ConsumerOnline, [&](V c) { out.sample(c.labels, c.replicas_online); });
  each_consumer(out, s, Metric::ConsumerStatusSet, [&](V c) {
    auto one = [&](std::optional<ConsumerStatus> status, unsigned value) {
      if (!status) return;
      std::string labels = c.labels;
      append_label(labels, "status", status_text(*status));
      out.sample(labels, value);
    };
    one(c.status, 1);
    one(c.previous_status, 0);
  });
  each_consumer(out, s, Metric::ConsumerState, [&](V c) {
    if (c.status) out.sample(c.labels, static_cast<unsigned>(*c.status));
  });
}

}  // namespace

void render_streams(Exposition& out, const Snapshot& s) {
  render_stream_info(out, s);
  render_stream_group(out, s);
  for (const StreamNumber& n : kStreamNumbers) {
    each_stream(out, s, n.metric, [&](const StreamView& v) {
      if (v.detail) out.sample(v.labels, v.state.*n.field);
    });
  }
  each_stream(out, s, Metric::StreamLastTs, [&](const StreamView& v) {
    if (v.detail && v.state.last_ts.ns > 0) out.sample(v.labels, unix_seconds(v.state.last_ts));
  });
  render_stream_limits(out, s);
}

void render_consumers(Exposition& out, const Snapshot& s) {
  render_consumer_info(out, s);
  auto each = [&](Metric m, auto&& f) {
    each_consumer(out, s, m, [&](const ConsumerView& c) {
      if (c.detail) f(c);
    });
  };
  using V = const ConsumerView&;
  for (const ConsumerNumber& n : kConsumerNumbers) {
    each(n.metric, [&](V c) { out.sample(c.labels, c.*n.field); });
  }
  each(Metric::ConsumerUnprocessed, [&](V c) { out.sample(c.labels, c.pending + c.ack_pending); });
  each(Metric::ConsumerMaxAckPending, [&](V c) {
    if (c.max_ack_pending) out.sample(c.labels, *c.max_ack_pending);
  });
  each(Metric::ConsumerWaiting, [&](V c) {
    if (c.pull) out.sample(c.labels, c.waiting);
  });
  each(Metric::ConsumerMaxWaiting, [&](V c) {
    if (c.max_waiting) out.sample(c.labels, *c.max_waiting);
  });
  each(Metric::ConsumerLagSeconds, [&](V c) {
    if (c.lag_s) out.sample(c.labels, *c.lag_s);
  });
  each(Metric::ConsumerPaused, [&](V c) { out.sample(c.labels, c.paused ? 1u : 0u); });
  each(Metric::ConsumerPushBound, [&](V c) {
    if (!c.pull) out.sample(c.labels, c.push_bound ? 1u : 0u);
  });
  each(Metric::ConsumerRedeliveries, [&](V c) {
    if (c.redeliveries) out.sample(c.labels, *c.redeliveries);
  });
  each(Metric::ConsumerLastDelivery, [&](V c) {
    if (c.last_delivery.ns > 0) out.sample(c.labels, unix_seconds(c.last_delivery));
  });
  each(Metric::ConsumerLastAck, [&](V c) {
    if (c.last_ack.ns > 0) out.sample(c.labels, unix_seconds(c.last_ack));
  });
}

}  // namespace weir::surveyor
