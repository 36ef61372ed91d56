#include "tests/sim/run_options.h"

#include <algorithm>

namespace weir::sim {

NetOptions net_options(Prng& prng) {
  NetOptions o;
  o.delay_max = one_of(prng, {200 * kMicrosecond, 2 * kMillisecond, 20 * kMillisecond});
  o.piece_max = one_of<std::size_t>(prng, {7, 100, 1500, 64 * 1024});
  o.window = one_of<std::size_t>(prng, {600, 16 * 1024, 256 * 1024});
  // A narrow window on a long way would be slower than the server's patience.
  if (o.window < 1000) o.delay_max = 200 * kMicrosecond;
  if (o.piece_max < 1000) o.delay_max = std::min<Nanos>(o.delay_max, 2 * kMillisecond);
  return o;
}

SimNode::Options node_options(Prng& prng) {
  SimNode::Options o;
  o.seed = prng.next();
  o.config.server_name = "n1";
  o.config.store_dir = "/sim";
  o.config.jetstream.enabled = true;
  o.config.jetstream.max_file_store = 1 << 30;
  o.config.jetstream.max_memory_store = 256 << 20;
  o.config.write_deadline = 2 * kSecond;
  o.config.ping_interval = static_cast<Nanos>(prng.between(2, 120)) * kSecond;
  o.tuning.journal_file_bytes = one_of<std::uint64_t>(prng, {16 << 10, 32 << 10, 64 << 10, 1 << 20});
  o.tuning.journal_files_max = one_of<unsigned>(prng, {4, 8, 32});
  o.tuning.tail_bytes_max = one_of<std::size_t>(prng, {1, 2000, 20'000, 1 << 20});
  o.tuning.block_bytes = one_of<std::size_t>(prng, {300, 4096, 64 << 10});
  o.tuning.state_part_bytes = o.tuning.block_bytes;  // no draw of its own: seeds stay what they are
  o.tuning.segment_bytes = one_of<std::size_t>(prng, {2000, 32 << 10, 1 << 20});
  o.tuning.catalog_roll_bytes = one_of<std::uint64_t>(prng, {2000, 32 << 10, 1 << 20});
  o.tuning.meta_checkpoint_entries = one_of<std::uint64_t>(prng, {1, 5, 1024});
  o.disk.capacity_bytes = kDiskBytes;
  o.mono_skew = static_cast<Nanos>(prng.below(1000)) * kSecond;
  o.wall_skew = (static_cast<Nanos>(prng.below(2000)) - 1000) * kSecond;
  if (prng.chance(1, 4)) {  // a slow disk: much is in flight
    o.disk.sync_ns_min = kMillisecond;
    o.disk.sync_ns_max = 30 * kMillisecond;
  }
  return o;
}

WorkloadOptions workload_options(Prng& prng) {
  WorkloadOptions o;
  o.seed = prng.next();
  o.clients = static_cast<unsigned>(prng.between(1, 4));
  o.streams = static_cast<unsigned>(prng.between(1, 4));
  o.subjects = static_cast<unsigned>(prng.between(1, 8));
  o.payload_max = one_of<std::size_t>(prng, {10, 300, 1500});
  o.think_max = one_of(prng, {5 * kMillisecond, 40 * kMillisecond});
  o.burst_max = one_of<unsigned>(prng, {1, 8, 40});
  return o;
}

// ---- clusters ----------------------------------------------------------------------------------

ClusterPlan cluster_plan(Prng& prng, unsigned nodes) {
  ClusterPlan p;
  p.nodes = nodes;
  p.routes = one_of(prng, {Routes::kAll, Routes::kAll, Routes::kOthers, Routes::kFirst});
  p.start_spread = one_of<Nanos>(prng, {1, 300 * kMillisecond, 3 * kSecond});
  // Where all know only the first, the last is not missed at the beginning.
  p.late_node = prng.chance(1, 5);
  p.clock_spread = one_of<Nanos>(prng, {0, 20 * kMillisecond, 500 * kMillisecond});
  p.replicas = {3};
  if (prng.chance(1, 2)) p.replicas.push_back(1);
  if (nodes >= 5 && prng.chance(1, 2)) p.replicas.push_back(5);
  p.faults.seed = prng.next();
  p.faults.disk_bytes = kDiskBytes;
  p.faults.pause_max = one_of<Nanos>(prng, {300 * kMillisecond, 2 * kSecond, 8 * kSecond});
  for (bool& on : p.faults.enabled) on = prng.chance(1, 3);
  // What damages disks is rarer: a run without finds other things.
  for (Fault f : {Fault::kRot, Fault::kReads, Fault::kWipe, Fault::kFull, Fault::kSync, Fault::kClock}) {
    bool& on = p.faults.enabled[static_cast<std::size_t>(f)];
    on = on && prng.chance(1, 2);
  }
  if (prng.chance(1, 10)) p.faults.enabled.fill(false);
  return p;
}

SimNode::Options cluster_node_options(Prng& prng, const ClusterPlan& plan, unsigned number) {
  SimNode::Options o = node_options(prng);
  o.config.server_name = "n" + std::to_string(number);
  // Two halves that overlap: streams move between them.
  if (2 * number < plan.nodes + 1) o.config.server_tags.push_back("low");
  if (2 * number + 1 >= plan.nodes - 1) o.config.server_tags.push_back("high");
  o.config.cluster.present = true;
  o.config.cluster.name = "C";
  o.config.cluster.port = 6222;
  for (unsigned i = 0; i < plan.nodes; ++i) {
    if (plan.routes == Routes::kFirst && i > 0) break;
    if (plan.routes == Routes::kOthers && i == number) continue;
    o.config.cluster.routes.emplace_back("nats-route://10.0.0." + std::to_string(i + 1) + ":6222",
                                         config::Position{});
  }
  o.wall_skew = static_cast<Nanos>(prng.below(2 * static_cast<std::uint64_t>(plan.clock_spread) + 1)) -
                plan.clock_spread;
  return o;
}

WorkloadOptions cluster_workload_options(Prng& prng, const ClusterPlan& plan) {
  WorkloadOptions o = workload_options(prng);
  o.think_max = one_of(prng, {10 * kMillisecond, 80 * kMillisecond});
  o.burst_max = one_of<unsigned>(prng, {1, 8, 20});
  o.streams = static_cast<unsigned>(prng.between(1, 3));
  o.cluster = true;
  o.replicas = plan.replicas;
  o.nodes = plan.nodes;
  o.ping = static_cast<Nanos>(prng.between(300, 2000)) * kMillisecond;
  o.clock_slack = 2 * plan.clock_spread + 200 * kMillisecond;
  o.clocks_jump = plan.faults.enabled[static_cast<std::size_t>(Fault::kClock)];
  return o;
}

KvOptions kv_options(Prng& prng, const ClusterPlan& plan, unsigned first_number) {
  KvOptions o;
  o.seed = prng.next();
  o.clients = static_cast<unsigned>(prng.between(1, 5));
  o.first_number = first_number;
  o.keys = static_cast<unsigned>(prng.between(1, 4));
  o.replicas = plan.replicas;
  o.think_max = one_of(prng, {20 * kMillisecond, 200 * kMillisecond});
  o.ping = static_cast<Nanos>(prng.between(300, 2000)) * kMillisecond;
  return o;
}

}  // namespace weir::sim
