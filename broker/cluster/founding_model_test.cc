// A seeded world of unborn nodes: links that lose, repeat and reorder, disks that forget what was not
// synced, nodes that start late or stop, route lists of many kinds. Never two records; and once everything
// is up, soon one.
#include <algorithm>
#include <deque>
#include <memory>

#include <gtest/gtest.h>

#include "broker/base/prng.h"
#include "broker/cluster/founding.h"

namespace weir::cluster {
namespace {

using Lists = std::vector<std::vector<unsigned>>;  // for each node: the nodes its routes lead to

NodeId id(unsigned n) {
  return NodeId(std::uint64_t{n + 1} << kIncarnationBits);
}
unsigned index_of(NodeId node) {
  return static_cast<unsigned>(node.v >> kIncarnationBits) - 1;
}

/// Whether any two sets that count as quorums share a node, each node counting what its routes lead to.
bool lists_meet(const Lists& lists) {
  unsigned n = static_cast<unsigned>(lists.size());
  std::vector<unsigned> views(n);
  for (unsigned i = 0; i < n; ++i) {
    views[i] = 1u << i;
    for (unsigned to : lists[i]) views[i] |= 1u << to;
  }
  std::vector<unsigned> quorums;
  for (unsigned set = 1; set < (1u << n); ++set) {
    bool good = true;
    for (unsigned i = 0; i < n && good; ++i) {
      if ((set >> i & 1) == 0) continue;
      good = 2 * __builtin_popcount(views[i] & set) > __builtin_popcount(views[i]);
    }
    if (good) quorums.push_back(set);
  }
  for (unsigned a : quorums)
    for (unsigned b : quorums)
      if ((a & b) == 0) return false;
  return true;
}

Lists make_lists(Prng& prng, unsigned n) {
  Lists lists(n);
  unsigned kind = static_cast<unsigned>(prng.below(6));
  for (unsigned i = 0; i < n; ++i) {
    for (unsigned to = 0; to < n; ++to) {
      bool listed = false;
      if (kind == 0) listed = true;                           // the same list everywhere
      if (kind == 1) listed = to != i;                        // everybody else
      if (kind == 2) listed = i > 0 && (to == 0 || to == i);  // node 0 lists nobody
      if (kind == 3) listed = to == 0;                        // one seed
      if (kind == 4) listed = to < (n + 1) / 2;               // some seeds
      if (kind == 5) listed = prng.chance(2, 3);
      if (listed) lists[i].push_back(to);
    }
  }
  return lists;
}

class World {
 public:
  World(std::uint64_t seed, Lists lists)
      : prng_(seed),
        lists_(std::move(lists)),
        nodes_(lists_.size()),
        lost_of_10_(prng_.below(4)),
        lessons_lost_of_10_(prng_.below(11)),
        haste_(prng_.between(1, 10)),
        patience_(prng_.between(1, 12)),
        crashes_in_100_(prng_.below(20)) {}

  void chaos(unsigned steps) {
    for (unsigned i = 0; i < steps && trouble.empty(); ++i) {
      unsigned n = static_cast<unsigned>(prng_.below(nodes_.size()));
      switch (prng_.below(12 + 2 * haste_)) {
        case 0:
          if (!up(n)) start(n);
          break;
        case 1:
          if (up(n) && prng_.chance(crashes_in_100_, 100)) crash(n);
          break;
        case 2: link(n, static_cast<unsigned>(prng_.below(nodes_.size())), prng_.chance(7, 8)); break;
        case 3:
          if (up(n)) resolve(n);
          break;
        case 4:
        case 5:
          if (up(n) && prng_.chance(1, patience_)) take(n, nodes_[n].core->timer());
          break;
        case 6:
        case 7:
        case 8:
        case 9: sync(n); break;
        default: deliver();
      }
      if (net_.size() > 40) net_.erase(net_.begin());
      if (nodes_[n].durable.born) ++born_in_chaos;
      ++steps_done;
    }
  }

  /// Everything is up and works. Returns how long it took until all were born; a minute at most.
  Nanos calm() {
    for (unsigned n = 0; n < nodes_.size(); ++n) {
      if (!up(n)) start(n);
      for (unsigned to = 0; to < nodes_.size(); ++to) link(n, to, true);
    }
    for (unsigned n = 0; n < nodes_.size(); ++n) {
      while (nodes_[n].resolved.size() < lists_[n].size()) resolve(n);
      nodes_[n].timer_at = nodes_[n].core->delay();
    }
    for (Nanos now = 0; now < 60 * kSecond && trouble.empty(); now += kMillisecond) {
      bool all = true;
      for (unsigned n = 0; n < nodes_.size(); ++n) {
        Node& node = nodes_[n];
        if (now >= node.timer_at) {
          take(n, node.core->timer());
          node.timer_at = now + node.core->delay();
        }
        if (prng_.chance(1, 3)) sync(n);
        all = all && node.durable.born;
      }
      for (std::uint64_t i = prng_.below(nodes_.size() + 1); i > 0 && !net_.empty(); --i) arrive(pick());
      if (all) return now;
    }
    return kMinute;
  }

  std::string trouble;
  unsigned steps_done = 0;
  unsigned born_in_chaos = 0;  // steps at which it could have gone wrong a second time

 private:
  struct Queued {
    std::optional<FoundingState> state;  // to be written before the messages leave
    std::vector<Founding::Envelope> messages;
  };
  struct Node {
    std::unique_ptr<Founding> core;
    FoundingState durable;
    std::deque<Queued> queue;        // outputs that wait for the disk
    std::vector<unsigned> resolved;  // of its routes, in this life
    std::vector<unsigned> linked;
    Nanos timer_at = 0;
  };
  struct Flight {
    NodeId from, to;
    FoundingType type;
    std::string bytes;
  };

  bool up(unsigned n) const { return nodes_[n].core != nullptr; }
  bool linked(unsigned a, unsigned b) const {
    const auto& l = nodes_[a].linked;
    return std::find(l.begin(), l.end(), b) != l.end();
  }

  void start(unsigned n) {
    Node& node = nodes_[n];
    auto state = decode_founding_state(encode_founding_state(node.durable));
    ASSERT_TRUE(state.has_value());
    node.core = std::make_unique<Founding>(Founder{id(n), "n" + std::to_string(n)}, *state, prng_.next());
    told(n);
  }

  void crash(unsigned n) {
    Node& node = nodes_[n];
    // The power goes while the disk is somewhere in the queue.
    for (std::uint64_t i = prng_.below(node.queue.size() + 1); i > 0; --i) {
      if (node.queue.front().state) node.durable = *node.queue.front().state;
      node.queue.pop_front();
    }
    node.core.reset();
    node.queue.clear();
    node.resolved.clear();
    for (unsigned peer : std::vector<unsigned>(node.linked)) link(n, peer, false);
    check(n);
  }

  void link(unsigned a, unsigned b, bool on) {
    if (a == b || linked(a, b) == on || (on && (!up(a) || !up(b)))) return;
    for (auto [x, y] : {std::pair(a, b), std::pair(b, a)}) {
      if (on) {
        nodes_[x].linked.push_back(y);
        take(x, nodes_[x].core->peer_up(id(y)));
        continue;
      }
      std::erase(nodes_[x].linked, y);
      if (up(x)) nodes_[x].core->peer_down(id(y));
    }
  }

  /// One more of the routes of `n` leads somewhere: to itself, or to a node with a link.
  void resolve(unsigned n) {
    Node& node = nodes_[n];
    for (unsigned to : lists_[n]) {
      bool done = std::find(node.resolved.begin(), node.resolved.end(), to) != node.resolved.end();
      if (done || (to != n && !linked(n, to))) continue;
      node.resolved.push_back(to);
      return told(n);
    }
  }

  void told(unsigned n) {
    Node& node = nodes_[n];
    FoundingSeeds seeds;
    seeds.known = {id(n)};
    for (unsigned to : node.resolved)
      if (to != n) seeds.known.push_back(id(to));
    std::sort(seeds.known.begin(), seeds.known.end());
    seeds.unresolved = lists_[n].size() - node.resolved.size();
    take(n, node.core->set_seeds(seeds));
  }

  void take(unsigned n, Founding::Output out) {
    Node& node = nodes_[n];
    if (!out.persist && out.messages.empty()) return;
    node.queue.push_back({std::nullopt, std::move(out.messages)});
    if (out.persist) node.queue.back().state = node.core->state();
  }

  void sync(unsigned n) {
    Node& node = nodes_[n];
    if (node.queue.empty()) return;
    if (node.queue.front().state) node.durable = *node.queue.front().state;
    for (auto& e : node.queue.front().messages)
      net_.push_back({id(n), e.to, e.message.type, std::string(encode_founding(e.message).text())});
    node.queue.pop_front();
    check(n);
  }

  std::size_t pick() { return prng_.below(net_.size()); }

  void deliver() {
    if (net_.empty()) return;
    std::size_t at = pick();
    bool lesson = net_[at].type == FoundingType::kLearn;
    if (prng_.chance(1, 10)) net_.push_back(net_[at]);  // once more, later
    if (prng_.chance(lesson ? lessons_lost_of_10_ : lost_of_10_, 10)) {
      net_.erase(net_.begin() + static_cast<std::ptrdiff_t>(at));
      return;
    }
    arrive(at);
  }

  void arrive(std::size_t at) {
    Flight f = std::move(net_[at]);
    net_.erase(net_.begin() + static_cast<std::ptrdiff_t>(at));
    unsigned n = index_of(f.to);
    if (!up(n)) return;
    auto m = decode_founding(as_span(f.bytes));
    ASSERT_TRUE(m.has_value());
    take(n, nodes_[n].core->step(f.from, *m));
  }

  void check(unsigned n) {
    const auto& born = nodes_[n].durable.born;
    if (!born) return;
    if (!record_) record_ = *born;
    if (*record_ != *born) trouble = "two clusters: " + record_->cluster_id + " and " + born->cluster_id;
  }

  Prng prng_;
  const Lists lists_;
  std::vector<Node> nodes_;
  std::vector<Flight> net_;
  std::optional<FoundingRecord> record_;
  const std::uint64_t lost_of_10_, lessons_lost_of_10_, haste_, patience_, crashes_in_100_;
};

TEST(FoundingModel, NeverTwoClustersAndSoonOne) {
  unsigned steps = 0, worlds = 0, born = 0;
  Nanos slowest = 0;
  for (std::uint64_t seed = 1; worlds < 5000; ++seed) {
    Prng prng(seed);
    Lists lists = make_lists(prng, static_cast<unsigned>(prng.between(2, 7)));
    if (!lists_meet(lists)) continue;
    World world(seed, lists);
    world.chaos(static_cast<unsigned>(prng.between(0, 3000)));
    Nanos took = world.calm();
    ASSERT_EQ(world.trouble, "") << "seed " << seed;
    ASSERT_LT(took, 20 * kSecond) << "seed " << seed;
    slowest = std::max(slowest, took);
    steps += world.steps_done;
    born += world.born_in_chaos;
    ++worlds;
  }
  EXPECT_GT(steps, 1'000'000u);
  EXPECT_GT(born, steps / 10) << "chaos without a chance to do harm";
  EXPECT_LT(born, steps / 10 * 9);
  RecordProperty("born", static_cast<int>(born));
  RecordProperty("steps", static_cast<int>(steps));
  RecordProperty("slowest_ms", static_cast<int>(slowest / kMillisecond));
}

TEST(FoundingModel, FreshNodesFoundQuickly) {
  Nanos sum = 0;
  constexpr int kRuns = 300;
  for (std::uint64_t seed = 1; seed <= kRuns; ++seed) {
    World world(seed, {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}});
    Nanos took = world.calm();
    ASSERT_EQ(world.trouble, "");
    ASSERT_LT(took, 10 * kSecond) << "seed " << seed;
    sum += took;
  }
  EXPECT_LT(sum / kRuns, 2 * kSecond);
}

}  // namespace
}  // namespace weir::cluster
