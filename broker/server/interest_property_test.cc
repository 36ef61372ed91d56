// Random subscriptions, ends, lost links and messages on three nodes, compared with a model that knows
// only what subscriptions mean: each message reaches exactly who should get it.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "broker/server/cluster_rig.h"
#include "broker/subject/subject.h"

namespace weir::server::testing {
namespace {

constexpr std::size_t kNodes = 3;
constexpr std::size_t kClients = 12;
const std::vector<std::string> kPatterns = {"a", "b", "a.b",   "a.*",   "*.b",       "a.>",
                                            ">", "*", "a.b.c", "a.*.c", "$JS.ACK.>", "b.>"};
const std::vector<std::string> kSubjects = {"a",     "b",           "a.b", "a.c", "b.b",
                                            "a.b.c", "$JS.ACK.s.c", "zz",  "a..b"};
const std::vector<std::string> kQueues = {"", "", "q1", "q2"};

struct ModelSub {
  std::string pattern, queue;
  std::uint64_t max = 0, delivered = 0;
};

struct Player {
  std::size_t node = 0, account = 1;
  bool echo = true;
  std::unique_ptr<RigClient> client;
  std::map<std::string, ModelSub> subs;  // by sid
};

class World {
 public:
  explicit World(std::uint64_t seed) : prng_(seed), rig_(kNodes) {
    for (std::size_t i = 0; i < kClients; ++i) {
      Player& p = players_.emplace_back();
      p.node = i % kNodes;
      p.account = i < kClients - 3 ? 1 : 2;
      p.echo = i % 4 != 0;
      join(p);
    }
  }
  void step() {
    Player& p = players_[below(players_.size())];
    switch (below(12)) {
      case 0:
      case 1:
      case 2: return subscribe(p);
      case 3:
      case 4: return unsubscribe(p);
      case 5: return below(4) ? subscribe(p) : join(p);
      case 6: return below(3) ? subscribe(p) : toggle_link();
      case 7: return serve();
      default: return publish(p);
    }
  }
  std::size_t received = 0, crossed = 0;

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(prng_.below(n)); }

  void join(Player& p) {
    p.subs.clear();
    p.client.reset();
    p.client = std::make_unique<RigClient>(rig_.node(p.node), p.account, p.echo ? "" : "\"echo\":false");
  }
  void subscribe(Player& p) {
    std::string sid = std::to_string(++next_);
    ModelSub s{kPatterns[below(kPatterns.size())], kQueues[below(kQueues.size())]};
    p.client->sub(s.pattern, sid, s.queue);
    if (below(5) == 0) p.client->unsub(sid, s.max = 1 + below(3));
    p.subs.emplace(sid, s);
    if (below(2)) rig_.settle();
  }
  void unsubscribe(Player& p) {
    if (p.subs.empty()) return;
    auto it = std::next(p.subs.begin(), static_cast<std::ptrdiff_t>(below(p.subs.size())));
    p.client->unsub(it->first);
    p.subs.erase(it);
  }
  void toggle_link() {
    std::size_t a = below(kNodes), b = (a + 1) % kNodes;
    rig_.linked(a, b) ? rig_.cut(a, b) : rig_.connect(a, b);
  }

  /// One delivery: who got it, and by which of its subscriptions.
  struct Delivery {
    Player* player;
    ModelSub* sub;
  };

  void publish(Player& p) {
    rig_.settle();
    body_ = std::to_string(++next_) + (below(4) ? "" : std::string(3000, 'x'));
    const std::string& subject = kSubjects[below(kSubjects.size())];
    p.client->pub(subject, body_);
    rig_.settle();
    check(p.node, p.account, p.echo ? nullptr : &p, subject);
  }
  /// A message of the server, as deliveries of consumers are.
  void serve() {
    rig_.settle();
    body_ = std::to_string(++next_);
    std::size_t node = below(kNodes), account = 1 + below(2);
    const std::string& subject = kSubjects[below(6)];
    RigNode& n = rig_.node(node);
    n.router.deliver(n.accounts[account], subject, {"shown", "r", body_, 0, nullptr, nullptr});
    rig_.settle();
    check(node, account, nullptr, subject, "shown");
  }

  void check(std::size_t from, std::size_t account, const Player* silent, const std::string& subject,
             const std::string& shown = "") {
    std::set<std::pair<Player*, std::string>> expected;  // plain ones: exactly these
    std::set<std::string> groups;                        // one member of each
    for (Player& p : players_) {
      bool reached = p.node == from || rig_.linked(p.node, from);
      if (p.account != account || !reached || &p == silent) continue;
      for (auto& [sid, s] : p.subs) {
        if (!subject::is_well_formed(subject) || !subject::matches(s.pattern, subject)) continue;
        if (s.queue.empty()) {
          expected.emplace(&p, sid);
        } else {
          groups.insert(s.queue);
        }
      }
    }
    for (Player& p : players_) {
      for (const RigMessage& m : p.client->take()) {
        ASSERT_EQ(m.body, body_);
        ASSERT_EQ(m.subject, shown.empty() ? subject : shown);
        take(p, m.sid, from, expected, groups);
      }
    }
    EXPECT_TRUE(expected.empty()) << expected.size() << " receivers got nothing of " << subject;
    EXPECT_TRUE(groups.empty()) << "no member of " << *groups.begin() << " got " << subject;
  }

  void take(Player& p, const std::string& sid, std::size_t from,
            std::set<std::pair<Player*, std::string>>& expected, std::set<std::string>& groups) {
    auto it = p.subs.find(sid);
    ASSERT_NE(it, p.subs.end()) << "to a subscription that ended";
    ++received;
    crossed += p.node != from;
    ModelSub& s = it->second;
    if (s.queue.empty()) {
      ASSERT_EQ(expected.erase({&p, sid}), 1u) << "twice, or to somebody who did not ask";
    } else {
      ASSERT_EQ(groups.erase(s.queue), 1u) << "two members of a group got it";
    }
    if (++s.delivered == s.max) p.subs.erase(it);
  }

  Prng prng_;
  ClusterRig rig_;
  std::vector<Player> players_;
  std::string body_;
  std::uint64_t next_ = 0;
};

TEST(InterestProperty, EachMessageReachesExactlyItsReceivers) {
  std::size_t received = 0, crossed = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World w(seed);
    for (int i = 0; i < 400 && !::testing::Test::HasFailure(); ++i) w.step();
    received += w.received;
    crossed += w.crossed;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(received, 10'000u);
  EXPECT_GT(crossed, 3'000u);
}

/// Frames go one by one, between other things: what is under way may miss somebody, but nobody gets a
/// message twice, a group never gets two, and a publisher's messages never change their order.
TEST(InterestProperty, NeverTwiceAndInOrderWhileThingsChange) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Prng prng(seed);
    auto below = [&](std::size_t n) { return static_cast<std::size_t>(prng.below(n)); };
    ClusterRig rig(kNodes);
    std::vector<std::unique_ptr<RigClient>> clients;
    for (std::size_t i = 0; i < 9; ++i)
      clients.push_back(std::make_unique<RigClient>(rig.node(i % kNodes), 1));
    RigClient publisher(rig.node(0), 1);
    std::map<std::pair<std::size_t, std::string>, std::uint64_t> last;  // plain: by client and sid
    std::set<std::uint64_t> grouped;
    std::uint64_t next = 0;
    auto look = [&] {
      for (std::size_t c = 0; c < clients.size(); ++c) {
        for (const RigMessage& m : clients[c]->take()) {
          std::uint64_t n = parse_u64(m.body).value_or(0);
          if (m.sid.starts_with("q")) {
            EXPECT_TRUE(grouped.insert(n).second) << n << " went to two members";
          } else {
            std::uint64_t& seen = last[{c, m.sid}];
            EXPECT_LT(seen, n) << "again or out of order";
            seen = n;
          }
        }
      }
    };
    for (int i = 0; i < 1500; ++i) {
      RigClient& c = *clients[below(clients.size())];
      switch (below(8)) {
        case 0: c.sub(below(2) ? "s.*" : "s.x", "p" + std::to_string(below(4))); break;
        case 1: c.sub("s.*", "q" + std::to_string(below(2)), "g"); break;
        case 2: c.unsub((below(2) ? "p" : "q") + std::to_string(below(4))); break;
        case 3: publisher.pub("s.x", std::to_string(++next)); break;
        case 4: rig.flush(); break;
        case 5:
          if (below(40) == 0) below(2) ? rig.cut(0, 1) : rig.connect(0, 1);
          break;
        default: rig.net.deliver_one(below(6)); break;
      }
      if (below(10) == 0) look();
    }
    rig.settle();
    look();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace weir::server::testing
