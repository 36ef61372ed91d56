#include <algorithm>
#include <array>
#include <map>

#include "surveyor/merge.h"
#include "surveyor/render.h"

namespace weir::surveyor {

namespace {

struct Labelled {
  const ServerView* server;
  std::string s, j;
};

std::vector<Labelled> labelled(const Snapshot& snapshot) {
  std::vector<Labelled> out;
  for (const ServerView& v : snapshot.servers) {
    Labelled& l = out.emplace_back();
    l.server = &v;
    append_label(l.s, "server_cluster", v.identity.cluster);
    append_label(l.s, "server_name", v.identity.name);
    append_label(l.s, "server_id", v.identity.id);
    append_label(l.j, "server_id", v.identity.id);
    append_label(l.j, "server_name", v.identity.name);
    append_label(l.j, "cluster_name", v.identity.cluster);
  }
  return out;
}

struct CoreMetric {
  Metric metric;
  std::uint64_t StatszReply::*field;
};
constexpr CoreMetric kCore[] = {
    {Metric::CoreMem, &StatszReply::mem},
    {Metric::CoreCores, &StatszReply::cores},
    {Metric::CoreConnections, &StatszReply::connections},
    {Metric::CoreTotalConnections, &StatszReply::total_connections},
    {Metric::CoreAccounts, &StatszReply::accounts},
    {Metric::CoreSubs, &StatszReply::subscriptions},
    {Metric::CoreSentMsgs, &StatszReply::sent_msgs},
    {Metric::CoreSentBytes, &StatszReply::sent_bytes},
    {Metric::CoreRecvMsgs, &StatszReply::received_msgs},
    {Metric::CoreRecvBytes, &StatszReply::received_bytes},
    {Metric::CoreSlow, &StatszReply::slow_consumers},
};

struct JsMetric {
  Metric metric;
  std::uint64_t JetStreamStatsRow::*field;
};
constexpr JsMetric kJs[] = {
    {Metric::JsFileUsed, &JetStreamStatsRow::storage},
    {Metric::JsMemUsed, &JetStreamStatsRow::memory},
    {Metric::JsFileReserved, &JetStreamStatsRow::reserved_storage},
    {Metric::JsMemReserved, &JetStreamStatsRow::reserved_memory},
    {Metric::JsAccounts, &JetStreamStatsRow::accounts},
    {Metric::JsHaAssets, &JetStreamStatsRow::ha_assets},
    {Metric::JsApiRequests, &JetStreamStatsRow::api_total},
    {Metric::JsApiErrors, &JetStreamStatsRow::api_errors},
    {Metric::JsApiInflight, &JetStreamStatsRow::api_inflight},
};

void render_core(Exposition& out, const std::vector<Labelled>& servers) {
  auto each = [&](Metric m, auto&& f) {
    out.family(m);
    for (const Labelled& l : servers) {
      if (l.server->statsz) f(l, *l.server->statsz);
    }
  };
  each(Metric::CoreInfo, [&](const Labelled& l, const StatszReply&) {
    std::string labels = l.s;
    append_label(labels, "server_version", l.server->identity.version);
    out.sample(labels, 1u);
  });
  each(Metric::CoreStart, [&](const Labelled& l, const StatszReply& s) {
    if (s.start.ns > 0) out.sample(l.s, s.start.ns);
  });
  each(Metric::CoreUptime, [&](const Labelled& l, const StatszReply& s) {
    if (s.start.ns > 0 && s.server.time > s.start)
      out.sample(l.s, unix_seconds(s.server.time) - unix_seconds(s.start));
  });
  each(Metric::CoreCpu, [&](const Labelled& l, const StatszReply& s) { out.sample(l.s, s.cpu); });
  for (const CoreMetric& m : kCore) {
    each(m.metric, [&](const Labelled& l, const StatszReply& s) { out.sample(l.s, s.*m.field); });
  }
  each(Metric::JsEnabled,
       [&](const Labelled& l, const StatszReply& s) { out.sample(l.j, s.jetstream ? 1u : 0u); });
  auto each_js = [&](Metric m, auto&& value) {
    each(m, [&](const Labelled& l, const StatszReply& s) {
      if (s.jetstream) out.sample(l.j, value(*s.jetstream));
    });
  };
  each_js(Metric::JsFileSize, [](const JetStreamStatsRow& j) { return j.max_storage; });
  each_js(Metric::JsMemSize, [](const JetStreamStatsRow& j) { return j.max_memory; });
  for (const JsMetric& m : kJs) each_js(m.metric, [&](const JetStreamStatsRow& j) { return j.*m.field; });
}

void render_metas(Exposition& out, const Snapshot& s) {
  auto each = [&](Metric m, auto&& f) {
    out.family(m);
    for (const MetaView& v : s.metas) {
      std::string labels;
      append_label(labels, "server_domain", v.domain);
      f(v, labels);
    }
  };
  using L = const std::string&;
  each(Metric::MetaHasLeader, [&](const MetaView& v, L l) { out.sample(l, v.has_leader ? 1u : 0u); });
  each(Metric::MetaSize, [&](const MetaView& v, L l) { out.sample(l, v.size); });
  each(Metric::MetaMargin, [&](const MetaView& v, L l) {
    if (v.quorum_margin) out.sample(l, *v.quorum_margin);
  });
  each(Metric::MetaDisagreement, [&](const MetaView& v, L l) { out.sample(l, v.disagreement ? 1u : 0u); });
  auto each_peer = [&](Metric m, auto&& value) {
    each(m, [&](const MetaView& v, L l) {
      for (const PeerView& p : v.peers) {
        std::string labels = l;
        append_label(labels, "peer", p.peer);
        out.sample(labels, value(p));
      }
    });
  };
  each_peer(Metric::MetaPeerLag, [](const PeerView& p) { return p.lag_ops; });
  each_peer(Metric::MetaPeerActive, [](const PeerView& p) { return p.active_s; });
  each_peer(Metric::MetaPeerCurrent, [](const PeerView& p) { return p.current ? 1u : 0u; });
  each_peer(Metric::MetaPeerOffline, [](const PeerView& p) { return p.offline ? 1u : 0u; });
}

struct MaxSum {
  std::uint64_t max = 0, sum = 0;
  bool any = false;
  void add(std::optional<std::uint64_t> v) {
    if (!v) return;
    max = std::max(max, *v);
    sum += *v;
    any = true;
  }
};
struct AccountSums {
  std::array<std::uint64_t, kStreamStatusCount> streams{};
  std::array<std::uint64_t, kStatusCount> consumers{};
  std::array<MaxSum, 4> lag;
  MaxSum pending, ack_pending;
};
constexpr const char* kLagKinds[] = {"replica", "mirror", "source", "consumer"};
constexpr const char* kStreamStatusTexts[] = {"ok",          "no_leader", "quorum_lost",
                                              "quorum_risk", "lagging",   "drift"};

std::map<std::string, AccountSums> sum_up(const Snapshot& s) {
  std::map<std::string, AccountSums> out;
  for (const StreamView& v : s.streams) {
    std::string labels;
    append_label(labels, "cluster_name", v.cluster_name);
    append_label(labels, "account_name", v.account_name);
    AccountSums& a = out[labels];
    ++a.streams[static_cast<std::size_t>(v.status)];
    if (v.detail) {
      a.lag[0].add(v.lag_replica);
      a.lag[1].add(v.lag_mirror);
      a.lag[2].add(v.lag_source);
    }
    a.lag[3].add(v.lag_consumer);
    for (const ConsumerView& c : v.consumers) {
      if (c.status) ++a.consumers[static_cast<std::size_t>(*c.status)];
      if (!c.detail) continue;
      a.pending.add(c.pending);
      a.ack_pending.add(c.ack_pending);
    }
  }
  return out;
}

}  // namespace

void render_servers(Exposition& out, const Snapshot& s) {
  std::vector<Labelled> servers = labelled(s);
  out.family(Metric::ServerUp);
  // While no server at all answers, the surveyor is blind and cannot say that each of them is down.
  if (!s.blind) {
    for (const Labelled& l : servers) out.sample(l.s, l.server->up ? 1u : 0u);
  }
  render_core(out, servers);
  render_metas(out, s);
}

void render_rollups(Exposition& out, const Snapshot& s) {
  auto accounts = sum_up(s);
  out.family(Metric::Streams);
  for (const auto& [labels, a] : accounts) {
    for (std::size_t i = 0; i < a.streams.size(); ++i) {
      std::string l = labels;
      append_label(l, "status", kStreamStatusTexts[i]);
      out.sample(l, a.streams[i]);
    }
  }
  out.family(Metric::Consumers);
  for (const auto& [labels, a] : accounts) {
    for (std::size_t i = 0; i < a.consumers.size(); ++i) {
      std::string l = labels;
      append_label(l, "status", status_text(static_cast<ConsumerStatus>(i)));
      out.sample(l, a.consumers[i]);
    }
  }
  auto lag = [&](Metric m, std::uint64_t MaxSum::*field) {
    out.family(m);
    for (const auto& [labels, a] : accounts) {
      for (std::size_t i = 0; i < a.lag.size(); ++i) {
        if (!a.lag[i].any) continue;
        std::string l = labels;
        append_label(l, "kind", kLagKinds[i]);
        out.sample(l, a.lag[i].*field);
      }
    }
  };
  lag(Metric::LagMax, &MaxSum::max);
  lag(Metric::LagSum, &MaxSum::sum);
  auto simple = [&](Metric m, MaxSum AccountSums::*what, std::uint64_t MaxSum::*field) {
    out.family(m);
    for (const auto& [labels, a] : accounts) {
      if ((a.*what).any) out.sample(labels, (a.*what).*field);
    }
  };
  simple(Metric::PendingMax, &AccountSums::pending, &MaxSum::max);
  simple(Metric::PendingSum, &AccountSums::pending, &MaxSum::sum);
  simple(Metric::AckPendingMax, &AccountSums::ack_pending, &MaxSum::max);
  simple(Metric::AckPendingSum, &AccountSums::ack_pending, &MaxSum::sum);
}

}  // namespace weir::surveyor
