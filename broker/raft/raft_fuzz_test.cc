// Randomised clusters of cores. WEIR_RAFT_SEEDS=n runs n seeds per shape, WEIR_RAFT_SEED=s just one of
// each shape, WEIR_RAFT_SHAPE=name one shape.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <limits>

#include "broker/raft/testing/fuzz_world.h"

namespace weir::raft::testing {

FuzzWorld::FuzzWorld(const FuzzPlan& plan) : plan_(plan), prng_(plan.seed) {
  ConfState conf;
  for (unsigned i = 1; i <= plan.nodes; ++i) conf.voters.push_back(NodeId{i});
  for (NodeId id : conf.voters) add_node(id, conf);
  next_id_ = plan.nodes;
}

void FuzzWorld::add_node(NodeId id, const ConfState& conf) {
  Config c;
  c.id = id;
  Prng p(plan_.seed * 977 + id.v);
  c.append_bytes_max = p.chance(1, 2) ? 64 : 4096;
  c.in_flight_count_max = p.between(1, 8);
  c.in_flight_bytes_max = p.chance(1, 2) ? 256 : 65536;
  c.uncommitted_bytes_max = p.chance(1, 4) ? 512 : 1u << 20;
  c.memory_bytes_max = p.chance(1, 2) ? 100 : 1u << 20;
  c.apply_bytes_max = p.chance(1, 2) ? 50 : 1u << 20;
  if (plan_.sleep) c.hibernate_ticks = 15;
  if (plan_.seed % 2 == 0) c.order = plan_.seed / 2;  // the same on all
  if (plan_.churn) {
    c.append_bytes_max = 1;
    c.in_flight_count_max = 1;
  }
  Disk disk;
  disk.checkpoint.conf = conf;
  if (!conf.voters.empty()) disk.base = disk.checkpoint.at = kNewGroup;
  Member m;
  m.node = std::make_unique<TestNode>(c, std::move(disk));
  m.slow = p.chance(1, 4) ? 20 : 3;
  m.next_tick = now_ + 10;
  m.node->start(prng_.next());
  nodes_.emplace(id, std::move(m));
}

void FuzzWorld::fail(const std::string& what) {
  if (failed_.empty()) failed_ = "unit " + std::to_string(now_) + ": " + what;
}

Core* FuzzWorld::leader() {
  Core* best = nullptr;
  for (auto& [id, m] : nodes_) {
    if (!m.node->up() || m.node->core().role() != Role::kLeader) continue;
    if (!best || m.node->core().term() > best->term()) best = &m.node->core();
  }
  return best;
}

void FuzzWorld::post(Message m) {
  if (!linked(m.from, m.to) || nodes_.count(m.to) == 0) return;
  if (!quiet_ && prng_.chance(1, 25)) return;
  std::uint64_t delay = prng_.between(1, 6);
  if (!quiet_ && prng_.chance(1, 40)) delay = prng_.between(20, 600);
  if (!quiet_ && prng_.chance(1, 30)) flights_.insert({now_ + prng_.between(1, 400), ++message_number_, m});
  flights_.insert({now_ + delay, ++message_number_, std::move(m)});
}

void FuzzWorld::drain(Member& m) {
  TestNode& n = *m.node;
  n.pump();
  std::uint64_t due = now_;
  for (Write& w : n.writes()) {
    if (w.due == 0) w.due = std::max(due, now_ + prng_.between(1, m.slow));
    due = w.due;
  }
  while (!n.loads.empty()) {
    LoadRequest l = n.loads.front();
    n.loads.erase(n.loads.begin());
    ++counts.loads;
    RaftIndex upto = std::min(l.upto, l.from + prng_.between(0, 3));
    n.core().entries_loaded(l, n.read(l.from, l.repair ? l.from : upto));
    n.pump();
  }
  for (Message& out : n.out) post(std::move(out));
  n.out.clear();
  for (ReadState& r : n.reads) {
    auto it = read_floor_.find(r.context);
    if (it == read_floor_.end() || !r.ok) continue;
    ++counts.reads;
    if (r.index < it->second) fail("a read that misses a committed entry");
    read_floor_.erase(it);
  }
  n.reads.clear();
  check(n);
}

void FuzzWorld::deliver() {
  while (!flights_.empty() && flights_.begin()->due <= now_) {
    Flight f = *flights_.begin();
    flights_.erase(flights_.begin());
    auto it = nodes_.find(f.m.to);
    if (it == nodes_.end() || !it->second.node->up() || !linked(f.m.from, f.m.to)) continue;
    trace_ = mix(mix(mix(trace_, now_), f.m.from.v * 64 + f.m.to.v), static_cast<std::uint64_t>(f.m.type));
    trace_ = mix(mix(trace_, f.m.term.v), f.m.index.v);
    it->second.node->core().step(f.m.from, f.m);
    drain(it->second);
  }
}

void FuzzWorld::unit() {
  ++now_;
  deliver();
  for (auto& [id, m] : nodes_) {
    if (!m.node->up()) {
      if (m.restart_at <= now_) restart(m);
      continue;
    }
    while (!m.node->writes().empty() && m.node->writes().front().due <= now_) {
      Write& w = m.node->writes().front();
      bool asked = w.number != 0;
      m.node->finish_write();
      if (asked) drain(m);
    }
    if (now_ >= m.next_tick) {
      m.next_tick = now_ + prng_.between(9, 11);
      m.node->core().tick();
      drain(m);
    }
    if (m.node->install && prng_.chance(1, 10)) {
      auto from = nodes_.find(m.node->install->from);
      ++counts.snapshots;
      if (from != nodes_.end() && from->second.node->up() && linked(from->first, id) &&
          linked(id, from->first)) {
        m.node->installed(from->second.node->state());
      } else {
        m.node->install.reset();
        m.node->core().snapshot_failed();
      }
      drain(m);
    }
  }
  if (now_ % 20 == 0) views_of_peers();
  if (!quiet_) disturb();
  if (now_ % 100 == 0) check_logs();
}

void FuzzWorld::views_of_peers() {
  if (!plan_.sleep) return;
  for (auto& [a, m] : nodes_) {
    if (!m.node->up()) continue;
    for (auto& [b, other] : nodes_) {
      if (a != b) m.node->core().set_peer_alive(b, other.node->up() && linked(a, b) && linked(b, a));
    }
    counts.sleeps += m.node->core().asleep() ? 1u : 0u;
    drain(m);
  }
}

void FuzzWorld::propose(Member& m) {
  std::vector<Bytes> payloads;
  for (std::uint64_t i = prng_.between(1, 4); i > 0; --i) {
    payloads.push_back(Bytes::copy_of(std::string(prng_.between(0, 40), 'x') + std::to_string(++payload_)));
  }
  Proposed p = m.node->core().propose(payloads);
  if (p.outcome == ProposeOutcome::kTooMuch) ++counts.dropped;
}

void FuzzWorld::read(Member& m) {
  Core& core = m.node->core();
  if (core.lease_valid()) {
    ++counts.lease_reads;
    if (core.log().commit() < max_commit_) fail("a lease that outlived the leader");
  }
  read_floor_[++context_] = max_commit_;
  core.read_index(context_);
}

void FuzzWorld::disturb() {
  auto pick = [this]() -> Member& {
    auto it = nodes_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(prng_.below(nodes_.size())));
    return it->second;
  };
  bool busy = !plan_.sleep || (now_ / 700) % 2 == 0;
  for (auto& [id, m] : nodes_) {
    if (!busy || !m.node->up() || m.node->core().role() != Role::kLeader) continue;
    if (prng_.chance(1, 15)) propose(m);
    if (plan_.members && prng_.chance(1, 150)) change_members(m.node->core());
    if (prng_.chance(1, 300) && m.node->core().transfer_leadership(pick().node->id())) ++counts.transfers;
    if (prng_.chance(1, 10)) read(m);
    drain(m);
    if (plan_.churn && prng_.chance(1, 25)) crash(m);
  }
  Member& any = pick();
  if (any.node->up()) {
    if (busy && prng_.chance(1, 20)) read(any);
    if (prng_.chance(1, 60)) any.node->checkpoint(prng_.chance(1, 2) ? 2 : 30);
    if (prng_.chance(1, 3000)) any.node->core().campaign();
    drain(any);
    if (plan_.crashes && prng_.chance(1, 250)) crash(any);
  }
  if (plan_.lease) attack_lease();
  if (plan_.partitions && prng_.chance(1, 300)) partition();
  if (!plan_.lease && !cut_.empty() && prng_.chance(1, 150)) cut_.clear();
}

void FuzzWorld::change_members(Core& core) {
  const ConfState& conf = core.conf();
  ConfChange change;
  change.stay_joint = prng_.chance(1, 4);
  if (!is_joint(conf)) {
    std::vector<NodeId> members = members_of(conf);
    for (std::uint64_t i = prng_.between(1, 2); i > 0; --i) {
      NodeId node = members[static_cast<std::size_t>(prng_.below(members.size()))];
      bool fresh = prng_.chance(1, 4) && next_id_ < plan_.nodes + 3;
      if (fresh) {
        node = NodeId{++next_id_};
        add_node(node, ConfState{});
      } else if (prng_.chance(1, 3)) {
        node = NodeId{prng_.between(1, next_id_)};
      }
      auto op = static_cast<ConfOp>(prng_.below(3));
      if (op != ConfOp::kAddVoter && conf.voters.size() <= 2) op = ConfOp::kAddVoter;
      change.steps.push_back({op, node});
    }
  }
  Result<ConfState> next = change_conf(conf, change);
  // As a placement would: enough voters, none of them damaged.
  std::size_t enough = plan_.damage ? 3 : std::min(2u, plan_.nodes);  // a minority may be damaged
  if (next && next->voters.size() < enough) return;
  if (core.propose_conf_change(change).outcome == ProposeOutcome::kAppended) ++counts.conf_changes;
}

void FuzzWorld::crash(Member& m) {
  ++counts.crashes;
  std::size_t pending = m.node->writes().size();
  m.node->crash(static_cast<std::size_t>(prng_.below(pending + 1)));
  m.restart_at = now_ + prng_.between(1, plan_.churn ? 150 : 400);
  if (prng_.chance(1, 3)) m.restart_at = now_ + prng_.between(1, 8);  // back before a lease is over
  if (plan_.damage && prng_.chance(1, 3)) damage(*m.node);
}

bool FuzzWorld::hurt(TestNode& n) {
  return !n.disk().faulty.empty() || n.disk().head_unknown;
}

// Only one node at a time, and only while every set of voters has three or more: a minority.
void FuzzWorld::damage(TestNode& n) {
  for (auto& [id, m] : nodes_) {
    if (hurt(*m.node)) return;
    const ConfState& conf = m.node->up() ? m.node->core().conf() : m.node->disk().checkpoint.conf;
    if (!conf.voters.empty() && conf.voters.size() < 3) return;
    if (!conf.outgoing.empty() && conf.outgoing.size() < 3) return;
  }
  Disk& d = n.disk();
  if (d.log.empty()) return;
  if (prng_.chance(1, 3)) {
    ++counts.heads;
    d.head_unknown = true;
    for (std::uint64_t cut = prng_.between(1, 5); cut > 0 && !d.log.empty(); --cut) {
      if (d.log.rbegin()->first <= d.checkpoint.at.index) break;
      d.log.erase(std::prev(d.log.end()));
    }
    d.hard.commit = RaftIndex{0};
    return;
  }
  ++counts.damaged;
  for (std::uint64_t i = prng_.between(1, 3); i > 0; --i) {
    auto it = prng_.chance(1, 2) ? std::prev(d.log.end()) : d.log.begin();
    if (it == d.log.begin()) std::advance(it, static_cast<std::ptrdiff_t>(prng_.below(d.log.size())));
    d.faulty[it->first] = it->second.type == EntryType::kConfig || prng_.chance(1, 4);
  }
}

void FuzzWorld::restart(Member& m) {
  m.node->start(prng_.next());
  m.next_tick = now_ + prng_.between(1, 10);
  drain(m);
}

void FuzzWorld::partition() {
  cut_.clear();
  bool one_way = prng_.chance(1, 3);
  bool single = prng_.chance(1, 3);
  NodeId lone{prng_.between(1, next_id_)};
  std::map<NodeId, bool> side;
  for (auto& [id, m] : nodes_) side[id] = single ? id == lone : prng_.chance(1, 2);
  for (auto& [a, sa] : side) {
    for (auto& [b, sb] : side) {
      if (a == b || sa == sb) continue;
      if (single && prng_.chance(1, 4)) continue;  // partial connectivity
      if (!one_way || sa) cut_.insert({a, b});
    }
  }
}

void FuzzWorld::cut(NodeId a, NodeId b) {
  cut_.insert({a, b});
  cut_.insert({b, a});
}

// First all but one follower lose the leader, until they are out of their promises; then the last one
// loses it too, restarts, and is asked for its vote while the leader's lease still runs.
void FuzzWorld::attack_lease() {
  if (attack_at_ == 0 && prng_.chance(1, 200)) {
    Core* lead = leader();
    if (!lead) return;
    attacked_ = lead->leader();
    last_friend_ = NodeId{attacked_.v % plan_.nodes + 1};
    cut_.clear();
    for (auto& [id, m] : nodes_) {
      if (id != attacked_ && id != last_friend_) cut(attacked_, id);
    }
    attack_at_ = now_ + prng_.between(110, 250);
  } else if (attack_at_ != 0 && now_ == attack_at_) {
    cut(attacked_, last_friend_);
    Member& m = nodes_.at(last_friend_);
    if (m.node->up()) m.node->crash(m.node->writes().size());
    m.restart_at = now_ + 1;
  } else if (attack_at_ != 0 && now_ > attack_at_ + 150) {
    cut_.clear();
    attack_at_ = 0;
  }
}

void FuzzWorld::heal() {
  quiet_ = true;
  cut_.clear();
  for (auto& [id, m] : nodes_) m.restart_at = std::min(m.restart_at, now_ + 1);
}

void FuzzWorld::check(TestNode& n) {
  if (!n.trouble.empty()) fail("node " + std::to_string(n.id().v) + ": " + n.trouble);
  if (!n.up()) return;
  Core& core = n.core();
  max_commit_ = std::max(max_commit_, core.log().commit());
  check_applied(n);
  if (core.role() == Role::kLeader) check_leader(n);
}

void FuzzWorld::check_applied(TestNode& n) {
  for (const Entry& e : n.applied) {
    auto [it, fresh] = truth_.emplace(e.index, std::pair(e.term, hash_of(e)));
    if (!fresh && it->second != std::pair(e.term, hash_of(e))) {
      fail("index " + std::to_string(e.index.v) + " applied with two contents");
    }
  }
  n.applied.clear();
  if (n.state().at.index == RaftIndex{0}) return;
  auto [it, fresh] = state_hash_.emplace(n.state().at.index, n.state().hash);
  if (!fresh && it->second != n.state().hash) fail("two states after the same index");
}

void FuzzWorld::check_leader(TestNode& n) {
  Core& core = n.core();
  auto [it, fresh] = leaders_.emplace(core.term(), n.id());
  if (it->second != n.id()) fail("two leaders in term " + std::to_string(core.term().v));
  if (!fresh) return;
  ++counts.elections;
  for (auto& [index, what] : truth_) {
    if (index <= core.log().base().index) continue;
    if (!core.log().matches({index, what.first})) {
      fail("leader " + std::to_string(n.id().v) + " lacks committed " + std::to_string(index.v));
      return;
    }
  }
}

// Log matching: where two logs hold the same id, they agree below. And nobody's log contradicts what was
// applied, up to its own commit index.
void FuzzWorld::check_logs() {
  for (auto& [a, ma] : nodes_) {
    if (!ma.node->up()) continue;
    const Log& x = ma.node->core().log();
    for (auto& [index, what] : truth_) {
      if (index > x.base().index && index <= x.commit() && !x.matches({index, what.first})) {
        fail("node " + std::to_string(a.v) + " has another committed " + std::to_string(index.v));
      }
    }
    for (auto& [b, mb] : nodes_) {
      if (!(a < b) || !mb.node->up()) continue;
      const Log& y = mb.node->core().log();
      bool same = false;
      for (RaftIndex i = std::min(x.last(), y.last()); i > std::max(x.base().index, y.base().index);
           i = i - 1) {
        bool equal = x.term_at(i) == y.term_at(i);
        if (same && !equal) fail("logs agree above and differ at " + std::to_string(i.v));
        same = same || equal;
      }
    }
  }
}

bool FuzzWorld::healthy(std::uint64_t index) {
  Core* lead = leader();
  if (!lead || lead->log().commit().v < index || is_joint(lead->conf())) return false;
  for (NodeId id : members_of(lead->conf())) {
    TestNode& n = *nodes_.at(id).node;
    if (!n.up() || n.core().log().applied() < lead->log().commit()) return false;
    if (n.core().view().faults > 0 || n.core().view().head_unknown) return false;
    if (n.core().leader() != lead->leader()) return false;
  }
  return true;
}

void FuzzWorld::describe() {
  for (auto& [id, m] : nodes_) {
    if (!m.node->up()) continue;
    View v = m.node->core().view();
    std::cout << "node " << id.v << " role " << int(v.role) << " term " << v.term.v << " leader "
              << v.leader.v << " base " << v.base.index.v << " last " << v.last.index.v << "/"
              << v.last.term.v << " commit " << v.commit.v << " applied " << v.applied.v << " faults "
              << v.faults << " head " << v.head_unknown << " asleep " << v.asleep << " voters";
    for (NodeId n : m.node->core().conf().voters) std::cout << " " << n.v;
    std::cout << " out";
    for (NodeId n : m.node->core().conf().outgoing) std::cout << " " << n.v;
    std::cout << " learners";
    for (NodeId n : m.node->core().conf().learners) std::cout << " " << n.v;
    std::cout << "\n";
    for (const PeerView& p : m.node->core().peers()) {
      std::cout << "  peer " << p.id.v << " match " << p.match.v << " next " << p.next.v << " state "
                << int(p.state) << " active " << p.active << "\n";
    }
  }
}

std::string FuzzWorld::run() {
  while (now_ < plan_.units && failed_.empty()) unit();
  heal();
  std::uint64_t end = now_ + 6000, target = 0;
  while (now_ < end && failed_.empty()) {
    unit();
    Core* lead = leader();
    if (now_ % 200 == 0 && lead) {
      Member& m = nodes_.at(lead->leader());
      if (is_joint(lead->conf())) lead->propose_conf_change(ConfChange{});
      if (target == 0 || lead->log().last().v < target) {
        propose(m);
        target = lead->log().last().v;
      }
      drain(m);
    }
    if (target != 0 && healthy(target)) break;
  }
  if (failed_.empty() && (target == 0 || !healthy(target))) describe();
  if (failed_.empty() && (target == 0 || !healthy(target))) fail("no health after the faults ended");
  check_logs();
  for (auto& [index, what] : truth_) trace_ = mix(trace_, what.second);
  return failed_;
}

namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct Shape {
  const char* name;
  unsigned nodes;
  bool crashes = true, partitions = true, members = false, damage = false, sleep = false, lease = false,
       churn = false;
};

constexpr Shape kShapes[] = {
    {.name = "three", .nodes = 3},
    {.name = "five", .nodes = 5},
    {.name = "seven", .nodes = 7},
    {.name = "members", .nodes = 3, .members = true},
    {.name = "members5", .nodes = 5, .members = true},
    {.name = "damage3", .nodes = 3, .damage = true},
    {.name = "damage5", .nodes = 5, .damage = true},
    {.name = "sleep", .nodes = 3, .sleep = true},
    {.name = "all", .nodes = 5, .members = true, .damage = true, .sleep = true},
    {.name = "single", .nodes = 1, .partitions = false},
    {.name = "network", .nodes = 5, .crashes = false, .members = true},
    {.name = "lease", .nodes = 3, .crashes = false, .partitions = false, .lease = true},
    {.name = "churn", .nodes = 5, .churn = true},
    {.name = "churn_all", .nodes = 4, .members = true, .damage = true, .churn = true},
};

FuzzPlan plan_of(const Shape& s, std::uint64_t seed) {
  FuzzPlan p;
  p.seed = seed;
  p.nodes = s.nodes;
  p.crashes = s.crashes;
  p.partitions = s.partitions;
  p.members = s.members;
  p.damage = s.damage;
  p.sleep = s.sleep;
  p.churn = s.churn;
  p.lease = s.lease;
  return p;
}

class RaftFuzz : public ::testing::TestWithParam<Shape> {};

TEST_P(RaftFuzz, SafeAndLive) {
  std::uint64_t only = from_environment("WEIR_RAFT_SEED", 0);
  std::uint64_t seeds = only != 0 ? only : from_environment("WEIR_RAFT_SEEDS", 15);
  FuzzWorld::Counts sum;
  std::uint64_t committed = 0;
  for (std::uint64_t seed = only != 0 ? only : 1; seed <= seeds; ++seed) {
    FuzzWorld world(plan_of(GetParam(), seed));
    std::string failed = world.run();
    ASSERT_EQ(failed, "") << "shape " << GetParam().name << " seed " << seed;
    auto add = [](auto& a, auto b) { a += b; };
    add(sum.elections, world.counts.elections), add(sum.crashes, world.counts.crashes);
    add(sum.snapshots, world.counts.snapshots), add(sum.conf_changes, world.counts.conf_changes);
    add(sum.transfers, world.counts.transfers), add(sum.reads, world.counts.reads);
    add(sum.lease_reads, world.counts.lease_reads), add(sum.damaged, world.counts.damaged);
    add(sum.heads, world.counts.heads), add(sum.sleeps, world.counts.sleeps);
    add(sum.loads, world.counts.loads), add(sum.dropped, world.counts.dropped);
    committed += world.committed();
  }
  std::cout << "elections " << sum.elections << " crashes " << sum.crashes << " snapshots " << sum.snapshots
            << " conf " << sum.conf_changes << " transfers " << sum.transfers << " reads " << sum.reads
            << " lease " << sum.lease_reads << " damaged " << sum.damaged << " heads " << sum.heads
            << " sleeps " << sum.sleeps << " loads " << sum.loads << " dropped " << sum.dropped
            << " committed " << committed << "\n";
}

INSTANTIATE_TEST_SUITE_P(Shapes, RaftFuzz, ::testing::ValuesIn(kShapes),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(RaftFuzzTrace, SameSeedSameTrace) {
  for (const Shape& shape : kShapes) {
    FuzzWorld a(plan_of(shape, 7)), b(plan_of(shape, 7)), c(plan_of(shape, 8));
    a.run();
    b.run();
    c.run();
    EXPECT_EQ(a.trace_hash(), b.trace_hash()) << shape.name;
    if (shape.nodes > 1) {
      EXPECT_NE(a.trace_hash(), c.trace_hash()) << shape.name;
    }
  }
}

}  // namespace
}  // namespace weir::raft::testing
