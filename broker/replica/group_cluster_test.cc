// Groups of several members over real journals in a simulated world: docs/testing-raft.md.
// WEIR_SEEDS=n runs n seeds per shape, WEIR_SEED=s just one of each, WEIR_SHAPE=name one shape; with
// WEIR_SEED and WEIR_VERBOSE set, what happens is printed.
#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "broker/raft/confchange.h"
#include "broker/replica/testing/cluster_world.h"

namespace weir::replica::testing {

namespace {
constexpr GroupId kGroup{7};
constexpr Nanos kStep = 5 * kMillisecond;

std::uint64_t mix(std::uint64_t h, std::uint64_t v) {
  h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
  return h * 0xff51afd7ed558ccdu;
}
Nanos millis(std::uint64_t n) {
  return static_cast<Nanos>(n) * kMillisecond;
}
}  // namespace

ClusterWorld::Counts& ClusterWorld::Counts::operator+=(const Counts& o) {
  acked += o.acked, reads += o.reads, refused += o.refused, deaths += o.deaths, renewed += o.renewed;
  rotten += o.rotten, installs += o.installs, checkpoints += o.checkpoints, elections += o.elections;
  changes += o.changes, transfers += o.transfers, pauses += o.pauses, sleeps += o.sleeps;
  return *this;
}

ClusterWorld::ClusterWorld(const Plan& plan) : plan_(plan), prng_(plan.seed), outside_(time_) {
  for (unsigned i = 0; i < plan.founders; ++i) {
    founders_.push_back(NodeId((std::uint64_t{i} + 1) << kIncarnationBits));
    wish_[founders_.back()] = founders_.back();
  }
  for (unsigned i = 0; i < plan.nodes; ++i) {
    members_.push_back(std::make_unique<Member>(*this, i, prng_.next()));
  }
}

ClusterWorld::~ClusterWorld() {
  outside_.forget_all();
}

void ClusterWorld::fail(const std::string& what) {
  if (!failed_.empty()) return;
  failed_ = what;
  for (auto& m : members_) say(m->name() + ": " + m->describe());
  say("FAILED " + what);
}

void ClusterWorld::say(const std::string& what) {
  if (!plan_.verbose) return;
  std::cout << static_cast<double>((time_.now().ns - 1'000 * kSecond) / 1000) / 1e6 << " " << what << "\n";
}

// ---- time and messages -----------------------------------------------------------------------

void ClusterWorld::step() {
  (void)time_.turn();
  for (auto& m : members_) m->settle();
}

bool ClusterWorld::run_until(const std::function<bool()>& stop, Nanos limit) {
  Mono end = time_.now() + limit;
  while (failed_.empty() && time_.now() < end) {
    if (stop()) return true;
    step();
  }
  return stop();
}

void ClusterWorld::run_for(Nanos d) {
  (void)run_until([] { return false; }, d);
}

void ClusterWorld::post(NodeId from, raft::Message message) {
  NodeId to = node_of(message.to);
  if (!linked(from, to) || (!quiet_ && prng_.chance(1, 60))) return;
  Nanos delay = static_cast<Nanos>(prng_.between(100, 3000)) * kMicrosecond;
  if (!quiet_ && prng_.chance(1, 60)) delay = millis(prng_.between(5, 150));
  Mono& last = last_due_[{from, to}];
  last = std::max(last, time_.now() + delay);
  outside_.at(last, [this, from, to, message = std::move(message)]() mutable {
    Member* m = member(to);
    if (!m || !m->runs() || !linked(from, to)) return;
    trace_ = mix(mix(mix(trace_, static_cast<std::uint64_t>(time_.now().ns)), from.v ^ to.v),
                 static_cast<std::uint64_t>(message.type) + message.index.v * 32);
    m->loop().post([m, from, message = std::move(message)]() mutable {
      m->host().step(from, kGroup, std::move(message));
    });
  });
}

Member* ClusterWorld::member(NodeId id) {
  for (auto& m : members_) {
    if (m->node() == node_of(id)) return m.get();
  }
  return nullptr;
}

Member* ClusterWorld::leader() {
  Member* best = nullptr;
  for (auto& m : members_) {
    if (!m->works() || !m->group().leading()) continue;
    if (!best || m->group().term() > best->group().term()) best = m.get();
  }
  return best;
}

Member& ClusterWorld::any() {
  return *members_[prng_.below(members_.size())];
}

NodeId ClusterWorld::wished(NodeId node) const {
  auto it = wish_.find(node);
  return it == wish_.end() ? NodeId(0) : it->second;
}

NodeId ClusterWorld::renew(NodeId node) {
  auto it = wish_.find(node);
  if (it == wish_.end()) return NodeId(0);
  it->second = replica_id(node, ++revision_);
  return it->second;
}

void ClusterWorld::restarted(NodeId node) {
  for (auto& m : members_) {
    if (m->runs() && m->node() != node) {
      m->loop().post([m = m.get(), node] { m->host().peer_alive(node, false); });
    }
  }
}

// ---- what must hold --------------------------------------------------------------------------

void ClusterWorld::saw_apply(Member& m, RaftIndex index, Term term, std::uint64_t hash) {
  auto [it, fresh] = truth_.emplace(index, std::pair(term, hash));
  if (!fresh && it->second != std::pair(term, hash)) {
    fail(m.name() + " applies another entry " + std::to_string(index.v));
  }
  auto [state, first] = states_.emplace(index, m.hash());
  if (!first && state->second != m.hash()) {
    fail(m.name() + " has another state after " + std::to_string(index.v));
  }
}

void ClusterWorld::saw_state(Member& m, RaftIndex at, std::uint64_t hash) {
  auto it = states_.upper_bound(at);
  std::uint64_t right = it == states_.begin() ? 0 : std::prev(it)->second;
  if (hash != right) fail(m.name() + " has a wrong state of " + std::to_string(at.v));
}

void ClusterWorld::saw_message(const raft::Message& m) {
  NodeId vote;
  if (m.type == raft::MessageType::kVote) vote = m.from;
  if (m.type == raft::MessageType::kVoteResp && !m.reject) vote = m.to;
  if (vote.v == 0) return;
  auto [it, fresh] = votes_.emplace(std::pair(m.from, m.term), vote);
  if (it->second != vote) fail("two votes of one replica in term " + std::to_string(m.term.v));
}

// ---- members ---------------------------------------------------------------------------------

void ClusterWorld::steward() {
  if (Member* lead = leader(); lead && !lead->loop().paused()) {
    lead->loop().post([this, lead] {
      if (lead->works() && lead->group().leading()) steer(*lead);
    });
    const raft::ConfState& conf = lead->group().conf();
    for (auto& m : members_) {
      if (hurt_.count(m->node()) == 0 || raft::is_joint(conf) || !m->works()) continue;
      raft::View v = m->group().core()->view();
      bool member = raft::is_voter(conf, m->group().self()) && m->group().self() == wished(m->node());
      bool lone = std::none_of(conf.voters.begin(), conf.voters.end(),
                               [&](NodeId n) { return node_of(n) == m->node() && n != m->group().self(); });
      if (wished(m->node()).v == 0) member = lone = !raft::is_voter(conf, m->group().self());
      bool well = member && lone && v.faults == 0 && !v.head_unknown && v.applied >= lead->group().applied();
      if (!well) m->well_since_ = time_.now();
      if (time_.now() - m->well_since_ > millis(100)) {  // its disk knows too
        hurt_.erase(m->node());
        say(m->name() + " is sound again");
      }
    }
  }
  for (auto& m : members_) {  // as a node does when its journal fills
    if (!m->works() || !m->journal() || !m->journal()->pressed()) continue;
    m->loop().post([m = m.get()] { m->checkpoint(true); });
  }
  outside_.at(outside_.now() + millis(30), [this] { steward(); });
}

// One step towards the wish, if the group is ready for it.
void ClusterWorld::steer(Member& lead) {
  Group& g = lead.group();
  const raft::ConfState& conf = g.conf();
  if (raft::is_joint(conf)) return;
  std::set<NodeId> wish;
  for (auto& [node, id] : wish_) wish.insert(id);
  raft::ConfChange change;
  for (auto& m : members_) {  // gone for good, and everybody may know
    NodeId id = m->replica();
    if (id.v != 0 && wish.count(id) == 0 && !raft::is_member(conf, id) && lead.conf() == conf) {
      retired_.insert(id);
    }
  }
  bool waits = false;
  for (NodeId id : wish) {
    if (!raft::is_member(conf, id)) {
      change.steps.push_back({raft::ConfOp::kAddLearner, id});
    } else if (!raft::is_voter(conf, id)) {
      auto peers = g.core()->peers();
      bool ready = std::any_of(peers.begin(), peers.end(), [&](const raft::PeerView& p) {
        return p.id == id && p.active && p.match + 10 > g.last() && p.match.v > 0;
      });
      waits = waits || !ready;
      if (ready) change.steps.push_back({raft::ConfOp::kAddVoter, id});
    }
  }
  bool adds = !change.steps.empty() && change.steps[0].op == raft::ConfOp::kAddLearner;
  if (!adds && !waits) {
    for (NodeId id : raft::members_of(conf)) {
      if (wish.count(id) > 0) continue;
      if (id == g.self() && prng_.chance(1, 2) && !conf.voters.empty()) {
        (void)g.transfer_leadership(conf.voters[prng_.below(conf.voters.size())]);
        return;
      }
      change.steps.push_back({raft::ConfOp::kRemove, id});
    }
  }
  if (change.steps.empty()) return;
  if (g.change_members(change).outcome == raft::ProposeOutcome::kAppended) ++counts.changes;
}

void ClusterWorld::change_wish() {
  if (!hurt_.empty()) return;
  std::set<NodeId> nodes;
  std::uint64_t size = prng_.between(1, 3);
  while (nodes.size() < size) nodes.insert(any().node());
  for (NodeId node : nodes) {
    Member* m = member(node);
    if (wished(node).v == 0 && m->replica().v != 0) return;  // the old one is not gone yet
  }
  std::erase_if(wish_, [&](auto& w) { return nodes.count(w.first) == 0; });
  for (NodeId node : nodes) {
    if (wished(node).v == 0) wish_[node] = replica_id(node, ++revision_);
  }
  say("wish of " + std::to_string(size) + " members");
}

void ClusterWorld::views_of_peers() {
  for (auto& a : members_) {
    if (!a->runs() || a->loop().paused()) continue;
    for (auto& b : members_) {
      if (a == b) continue;
      bool alive =
          b->runs() && !b->loop().paused() && linked(a->node(), b->node()) && linked(b->node(), a->node());
      a->loop().post([a = a.get(), node = b->node(), alive] { a->host().peer_alive(node, alive); });
    }
  }
  outside_.at(outside_.now() + millis(50), [this] { views_of_peers(); });
}

// ---- faults ----------------------------------------------------------------------------------

void ClusterWorld::chaos() {
  if (quiet_) return;
  disturb_one(any());
  Member& one = any();
  if (prng_.chance(1, 8)) {
    one.loop().post([&one] { one.read(); });
  }
  for (auto& m : members_) {
    if (!m->works()) continue;
    bool leads = m->group().core()->role() == raft::Role::kLeader;
    bool idle = plan_.sleep && (time_.now().ns / kSecond) % 2 == 0;
    if (leads && !idle && !no_proposals_ && prng_.chance(1, 3)) {
      std::string text =
          std::string(prng_.below(prng_.chance(1, 20) ? 3000 : 60), 'x') + std::to_string(++payload_);
      m->loop().post([m = m.get(), text] { (void)m->proposes(text); });
    }
    if (leads && (attack_step_ > 0 || prng_.chance(1, 6))) {
      m->loop().post([m = m.get()] { m->read(); });
    }
    if (leads && prng_.chance(1, 400)) {
      ++counts.transfers;
      NodeId to = any().replica();
      m->loop().post([m = m.get(), to] {
        if (m->works()) (void)m->group().transfer_leadership(to);
      });
    }
  }
  if (plan_.lease) attack_lease();
  if (plan_.rot) attack_rot();
  if (plan_.members && prng_.chance(1, 120)) change_wish();
  if (plan_.partitions && prng_.chance(1, 150)) partition();
  if (!plan_.lease && !plan_.rot && !cut_.empty() && prng_.chance(1, 70)) cut_.clear();
  outside_.at(outside_.now() + kStep, [this] { chaos(); });
}

void ClusterWorld::disturb_one(Member& m) {
  if (prng_.chance(1, 15)) {
    m.loop().post([&m, press = (m.journal() && m.journal()->pressed()) || prng_.chance(1, 10)] {
      m.checkpoint(press);
    });
  }
  if (plan_.pauses && m.runs() && !m.loop().paused() && prng_.chance(1, 90)) {
    ++counts.pauses;
    m.loop().pause();
    outside_.at(outside_.now() + millis(prng_.between(5, prng_.chance(1, 2) ? 600 : 150)),
                [&m] { m.loop().resume(); });
  }
  if (!m.runs()) {
    if (plan_.damage && !plan_.rot && prng_.chance(1, 4)) rot_one(m);
    return;
  }
  if (!plan_.crashes || (plan_.memory && !all_sound())) return;
  Nanos back = millis(prng_.chance(1, 3) ? prng_.between(1, 5) : prng_.between(1, 400));
  if (prng_.chance(1, 160)) {
    m.power_fails_at(prng_.between(1, 12), back);
  } else if (prng_.chance(1, 160)) {
    m.die(prng_.chance(1, 2), back);
  }
}

// Only one at a time: a minority. Anything may be lost in it.
void ClusterWorld::rot_one(Member& m) {
  if (!plan_.rot && !all_sound()) return;
  if (wished(m.node()).v == 0 || m.replica() != wished(m.node())) return;
  if (!m.rot()) return;
  ++counts.rotten;
  hurt_.insert(m.node());
}

/// Nobody is hurt, and every majority has three or more.
bool ClusterWorld::all_sound() {
  Member* lead = leader();
  if (!hurt_.empty() || !lead || wish_.size() < 3) return false;
  for (auto& m : members_) {
    if (!m->works()) continue;
    const raft::ConfState& conf = m->group().conf();
    if (raft::is_joint(conf) || !raft::is_voter(conf, m->group().self())) return false;
    if (conf.voters.size() < 3 || conf != lead->group().conf()) return false;
  }
  return true;
}

void ClusterWorld::partition() {
  cut_.clear();
  bool one_way = prng_.chance(1, 3);
  std::set<NodeId> side;
  for (auto& m : members_) {
    if (prng_.chance(1, 2)) side.insert(m->node());
  }
  for (auto& a : members_) {
    for (auto& b : members_) {
      bool in = side.count(a->node()) > 0;
      if (in == (side.count(b->node()) > 0) || (one_way && !in)) continue;
      cut_.insert({a->node(), b->node()});
    }
  }
}

// All followers but one lose the leader until they are out of their promises. The last one is held up, or
// restarts, and loses the leader too: it must not help another one to lead while the lease lasts.
void ClusterWorld::attack_lease() {
  Mono now = time_.now();
  auto cut = [this](NodeId a, NodeId b) { cut_.insert({a, b}), cut_.insert({b, a}); };
  if (attack_step_ == 0) {
    Member* lead = leader();
    if (!lead || !prng_.chance(1, 40)) return;
    attacked_ = lead->node();
    do friend_ = any().node();
    while (friend_ == attacked_);
    cut_.clear();
    for (auto& m : members_) {
      if (m->node() != attacked_ && m->node() != friend_) cut(attacked_, m->node());
    }
    attack_step_ = 1;
    attack_at_ = now + millis(prng_.between(200, 450));
    return;
  }
  if (now < attack_at_) return;
  Member* f = member(friend_);
  if (attack_step_ == 1) {
    if (prng_.chance(2, 3)) f->loop().pause();
    attack_at_ = now + millis(prng_.between(5, 300));
  } else if (attack_step_ == 2) {
    if (!f->loop().paused()) f->die(false, millis(1));
    f->loop().resume();
    attack_at_ = now + millis(prng_.between(0, 10));
  } else if (attack_step_ == 3) {
    cut(attacked_, friend_);
    attack_at_ = now + millis(300);
  } else {
    cut_.clear();
    attack_step_ = 0;
    return;
  }
  ++attack_step_;
}

// One member holds, beside the leader, the only copies of what is acknowledged; it dies and its journal rots.
// Then it is alone with the third one, after it has seen the leader for a moment or not at all.
void ClusterWorld::attack_rot() {
  Mono now = time_.now();
  auto cut = [this](NodeId a, NodeId b) { cut_.insert({a, b}), cut_.insert({b, a}); };
  if (attack_step_ != 0 && now < attack_at_) return;
  Member* f = member(friend_);
  switch (attack_step_) {
    case 0: {
      Member* lead = leader();
      if (!lead || !all_sound() || !prng_.chance(1, 30)) return;
      attacked_ = lead->node();
      do friend_ = any().node();
      while (friend_ == attacked_);
      for (auto& m : members_) {
        if (m->node() != attacked_ && m->node() != friend_)
          cut(attacked_, m->node()), cut(friend_, m->node());
      }
      attack_at_ = now + millis(prng_.between(20, 120));
      if (prng_.chance(1, 2)) {  // a term that the third one does not know, by this one's vote
        lead->loop().post([lead, to = member(friend_)->replica()] {
          if (lead->works()) (void)lead->group().transfer_leadership(to);
        });
        std::swap(attacked_, friend_);
      }
      break;
    }
    case 1:  // the journal comes to rest, so that all of it is promised
      no_proposals_ = true;
      attack_at_ = now + millis(prng_.chance(2, 3) ? 160 : 5);
      break;
    case 2:
      f->die(true, kMinute);
      attack_at_ = now + kStep;
      break;
    case 3:
      rot_one(*f);
      no_proposals_ = false;
      f->back_at_once();
      attack_at_ = now + millis(prng_.chance(1, 2) ? 0 : prng_.between(1, 40));
      break;
    case 4:
      if (prng_.chance(1, 2)) f->die(true, millis(1));
      cut_.clear();
      for (auto& m : members_) {
        if (m->node() != attacked_) cut(attacked_, m->node());
      }
      attack_at_ = now + millis(prng_.between(200, 900));
      break;
    default:
      cut_.clear();
      attack_step_ = 0;
      return;
  }
  ++attack_step_;
}

// ---- the end ---------------------------------------------------------------------------------

void ClusterWorld::heal() {
  quiet_ = true;
  no_proposals_ = false;
  cut_.clear();
  for (auto& m : members_) {
    m->loop().resume();
    m->disk().crash_at(0);
    m->disk().on_frozen(nullptr);
    m->back_at_once();
  }
  say("heals");
}

std::string ClusterWorld::unhealthy() {
  Member* lead = leader();
  if (!lead) return "nobody leads";
  const raft::ConfState& conf = lead->group().conf();
  if (raft::is_joint(conf)) return "the group is changing";
  std::vector<NodeId> wish;
  for (auto& [node, id] : wish_) wish.push_back(id);
  std::sort(wish.begin(), wish.end());
  if (!raft::is_voter(conf, lead->group().self())) return "the leader is about to go";
  if (conf.voters != wish || !conf.learners.empty()) return "the members are not those that were wished";
  for (auto& m : members_) {
    std::string who = m->name();
    if (!m->runs()) return who + " is down";
    if (wished(m->node()).v == 0) continue;
    if (!m->works()) return who + " does not work";
    raft::View v = m->group().core()->view();
    if (v.faults > 0 || v.head_unknown) return who + " is damaged";
    if (m->group().applied() != lead->group().commit()) return who + " is behind";
    if (m->group().in_flight_bytes() != 0) return who + " has bytes in flight";
    if (m->group().leader() != lead->group().self()) return who + " does not know the leader";
  }
  return "";
}

void ClusterWorld::propose_last() {
  if (ended_) return;
  if (Member* lead = leader()) {
    lead->loop().post([this, lead] {
      bool proposed = lead->proposes("the last");
      say(lead->name() + (proposed ? " proposes" : " does not propose") + " an end");
    });
  }
  outside_.at(outside_.now() + millis(200), [this] { propose_last(); });
}

std::string ClusterWorld::run() {
  outside_.at(outside_.now() + kStep, [this] { chaos(); });
  outside_.at(outside_.now() + kStep, [this] { steward(); });
  outside_.at(outside_.now() + kStep, [this] { views_of_peers(); });
  run_for(millis(prng_.between(3000, 5000)));
  heal();
  if (!run_until([this] { return unhealthy().empty(); }, 3 * kSecond)) fail("3 s after: " + unhealthy());
  if (!failed_.empty()) return failed_;
  if (acked_ > leader()->group().applied()) fail("what was acknowledged is gone");
  std::uint64_t before = counts.acked;
  propose_last();
  if (!run_until([&] { return counts.acked > before && unhealthy().empty(); }, kSecond)) {
    fail("no entry after the end: " + unhealthy());
  }
  ended_ = true;
  for (auto& m : members_) {
    if (wished(m->node()).v != 0) m->loop().post([m = m.get()] { m->read(); });
  }
  run_for(kSecond);
  for (auto& m : members_) {
    if (m->works() && m->reads() > 0) fail("a read without an answer");
  }
  return failed_;
}

// ---- tests -----------------------------------------------------------------------------------

namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

char running[64] = "";

/// A CHECK that fails names its seed too.
void on_signal(int signal) {
  const char* words[] = {"\ncrashed in ", running, "\n"};
  for (const char* w : words) (void)!write(2, w, std::strlen(w));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

struct Shape {
  const char* name;
  Plan plan;
};

const Shape kShapes[] = {
    {"three", {.nodes = 3, .founders = 3}},
    {"five", {.nodes = 5, .founders = 5, .pauses = true}},
    {"network", {.nodes = 3, .founders = 3, .crashes = false, .pauses = true, .drift = true}},
    {"members", {.nodes = 4, .founders = 3, .members = true}},
    {"damage", {.nodes = 3, .founders = 3, .partitions = false, .damage = true}},
    {"damage5", {.nodes = 5, .founders = 5, .damage = true}},
    {"sleep", {.nodes = 3, .founders = 3, .sleep = true}},
    {"memory", {.nodes = 3, .founders = 3, .memory = true}},
    {"lease",
     {.nodes = 3, .founders = 3, .crashes = false, .partitions = false, .lease = true, .drift = true}},
    {"rot", {.nodes = 3, .founders = 3, .crashes = false, .partitions = false, .damage = true, .rot = true}},
    {"naps", {.nodes = 4, .founders = 3, .members = true, .sleep = true}},
    {"all", {.nodes = 5, .founders = 3, .pauses = true, .members = true, .damage = true, .sleep = true}},
};

class GroupCluster : public ::testing::TestWithParam<Shape> {};

TEST_P(GroupCluster, SafeAndLive) {
  const char* only_shape = std::getenv("WEIR_SHAPE");
  if (only_shape && std::string(only_shape) != GetParam().name) GTEST_SKIP();
  std::uint64_t only = from_environment("WEIR_SEED", 0);
  std::uint64_t first = only ? only : from_environment("WEIR_FIRST", 1);
  std::uint64_t last = only ? only : first + from_environment("WEIR_SEEDS", 20) - 1;
  ClusterWorld::Counts sum;
  for (int s : {SIGABRT, SIGSEGV}) std::signal(s, on_signal);
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    Plan plan = GetParam().plan;
    plan.seed = seed;
    plan.verbose = only != 0 && std::getenv("WEIR_VERBOSE");
    std::snprintf(running, sizeof running, "shape %s seed %llu", GetParam().name,
                  static_cast<unsigned long long>(seed));
    ClusterWorld world(plan);
    std::string failed = world.run();
    if (std::getenv("WEIR_KEEP_GOING")) {
      if (!failed.empty()) ADD_FAILURE() << GetParam().name << " seed " << seed << ": " << failed;
    } else {
      ASSERT_EQ(failed, "") << "shape " << GetParam().name << " seed " << seed;
    }
    sum += world.counts;
  }
  std::cout << "acked " << sum.acked << " reads " << sum.reads << " refused " << sum.refused << " deaths "
            << sum.deaths << " renewed " << sum.renewed << " rotten " << sum.rotten << " installs "
            << sum.installs << " checkpoints " << sum.checkpoints << " elections " << sum.elections
            << " changes " << sum.changes << " transfers " << sum.transfers << " pauses " << sum.pauses
            << " sleeps " << sum.sleeps << "\n";
}

INSTANTIATE_TEST_SUITE_P(Shapes, GroupCluster, ::testing::ValuesIn(kShapes),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(GroupClusterTrace, SameSeedSameTrace) {
  for (const Shape& shape : kShapes) {
    Plan plan = shape.plan;
    plan.seed = 7;
    ClusterWorld a(plan), b(plan);
    a.run();
    b.run();
    EXPECT_EQ(a.trace(), b.trace()) << shape.name;
  }
}

}  // namespace
}  // namespace weir::replica::testing
