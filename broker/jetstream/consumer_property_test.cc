// A random driver publishes, pulls, acks, removes and crashes; the promises of a consumer must hold.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "broker/base/prng.h"
#include "broker/jetstream/consumer_harness.h"

namespace weir::jetstream {
namespace {

using api::AckKind;

class Driver {
 public:
  explicit Driver(std::uint64_t seed) : prng_(seed) {
    rig_.auto_commit = false;
    rig_.budget = prng_.between(1, 20);
    rig_.options.group_of_one = prng_.chance(1, 3);
    static const api::AckPolicy kPolicies[] = {api::AckPolicy::kExplicit, api::AckPolicy::kAll,
                                               api::AckPolicy::kNone};
    config_ = ConsumerRig::pull_config(kPolicies[prng_.below(3)]);
    config_.ack_wait = kSecond;
    if (prng_.chance(1, 2)) config_.filter_subject = "a.*";
    if (prng_.chance(1, 3)) config_.max_ack_pending = static_cast<std::int64_t>(prng_.between(1, 30));
    if (prng_.chance(1, 4)) config_.max_deliver = static_cast<std::int64_t>(prng_.between(2, 4));
    if (config_.max_deliver < 0 && prng_.chance(1, 3)) config_.backoff = {kSecond, 2 * kSecond};
  }

  void run() {
    for (std::uint64_t n = prng_.below(50); n > 0; --n) publish();
    rig_.create(config_, start());
    for (int i = 0; i < 1500 && !::testing::Test::HasFatalFailure(); ++i) {
      act();
      check();
    }
    finish();
  }

 private:
  bool matches(const std::string& s) const { return config_.filter_subject.empty() || s[0] == 'a'; }

  ConsumerStart start() {
    ConsumerStart s;
    StreamSeq last = rig_.store.state().last_seq;
    if (prng_.chance(1, 3)) {
      s.only_upto = last;
      rig_.store.for_each_subject(filters_of(config_), [&](std::string_view, const store::SubjectState& st) {
        s.only.push_back(st.last);
        return true;
      });
      std::sort(s.only.begin(), s.only.end());
      s.first = s.only.empty() ? last + 1 : s.only.front();
      first_.insert(s.only.begin(), s.only.end());
    } else {
      s.first = StreamSeq(prng_.between(1, last.v + 1));
      for (StreamSeq q = s.first; q <= last; ++q) first_.insert(q);
    }
    begin_ = last + 1;
    return s;
  }
  static std::vector<std::string> filters_of(const api::ConsumerConfig& c) {
    if (c.filter_subject.empty()) return {};
    return {c.filter_subject};
  }

  void publish() {
    std::string subject = (prng_.chance(1, 2) ? "a." : "b.") + std::to_string(prng_.below(5));
    rig_.publish(subject, prng_.below(20), matches(subject));
  }

  void act() {
    StreamSeq last = rig_.store.state().last_seq;
    std::uint64_t any = prng_.between(1, last.v + 1);
    if (!delivered_.empty() && prng_.chance(3, 4)) {
      auto it = delivered_.lower_bound(prng_.below(last.v + 1));
      if (it != delivered_.end()) any = *it;
    }
    switch (prng_.below(16)) {
      case 0:
      case 1:
      case 2: publish(); break;
      case 3:
        rig_.pull("r" + std::to_string(prng_.below(3)), prng_.between(1, 10),
                  static_cast<Nanos>(prng_.below(3)) * kSecond);
        break;
      case 4: rig_.no_wait("r" + std::to_string(prng_.below(3)), prng_.between(1, 10)); break;
      case 5:
      case 6: ack(any, {}); break;
      case 7: ack(any, std::to_string(any)); break;
      case 8: rig_.ack(any, AckKind::kNak, {}, static_cast<Nanos>(prng_.below(2)) * kSecond); break;
      case 9: rig_.ack(any, AckKind::kProgress); break;
      case 10:
        if (prng_.chance(1, 4)) {
          said_.insert(any);
          rig_.ack(any, AckKind::kTerm, std::to_string(any));
        }
        break;
      case 11:
        if (prng_.chance(1, 3)) rig_.remove(any);
        break;
      case 12:
        if (!rig_.log.empty()) rig_.commit_one();
        break;
      case 13: rig_.pass(static_cast<Nanos>(prng_.below(400)) * kMillisecond); break;
      case 14:
        if (prng_.chance(1, 20)) crash();
        if (prng_.chance(1, 20)) purge();
        break;
      default: rig_.run();
    }
    collect();
  }

  void ack(std::uint64_t seq, const std::string& reply) {
    bool all = config_.ack_policy == api::AckPolicy::kAll;
    for (std::uint64_t s = all ? 1 : seq; s <= seq; ++s) said_.insert(s);
    rig_.ack(seq, AckKind::kAck, reply);
  }

  void purge() {
    StreamSeq keep(prng_.between(1, rig_.store.state().last_seq.v + 1));
    ASSERT_TRUE(rig_.store.compact(keep));
    ASSERT_TRUE(rig_.leader->on_purged(rig_.store));
  }

  /// The leader is lost; some of its records may have been committed all the same.
  void crash() {
    for (std::uint64_t n = prng_.below(rig_.log.size() + 1); n > 0; --n) rig_.commit_one();
    rig_.lead();
  }

  void collect() {
    for (const SentMessage& m : rig_.sent) {
      delivered_.insert(m.sseq);
      EXPECT_EQ(settled_.count(m.sseq), 0u) << "confirmed as finished, delivered again: " << m.sseq;
      bool due = m.sseq >= begin_.v || first_.count(StreamSeq(m.sseq)) > 0;
      EXPECT_TRUE(due) << m.sseq;
      auto stored = rig_.store.load(StreamSeq(m.sseq));
      if (stored && *stored) {
        EXPECT_TRUE(matches(std::string((*stored)->subject())));
      }
      if (config_.max_deliver > 0 && !rig_.options.group_of_one) {  // alone, a crash may cost a count
        EXPECT_LE(++times_[m.sseq], static_cast<std::uint64_t>(config_.max_deliver)) << m.sseq;
      }
    }
    rig_.sent.clear();
    rig_.statuses.clear();
    for (const std::string& c : rig_.confirmed) {
      std::uint64_t seq = std::stoull(c);
      settled_.insert(seq);
      EXPECT_FALSE(rig_.committed.needs(StreamSeq(seq))) << "confirmed, not committed: " << seq;
    }
    rig_.confirmed.clear();
  }

  void check() {
    // Figures against brute force.
    ConsumerFigures f = rig_.leader->figures();
    std::uint64_t pending = 0;
    const ConsumerState& live = rig_.leader->live();
    for (StreamSeq s = live.scanned() + 1; s <= rig_.store.state().last_seq; ++s) {
      auto m = rig_.store.load(s);
      ASSERT_TRUE(m);
      if (!*m || !matches(std::string((*m)->subject()))) continue;
      if (live.needs(s)) ++pending;
    }
    ASSERT_EQ(f.num_pending, pending);
    // Positions of the committed copy never go back.
    SeqPair floor = rig_.committed.ack_floor(), delivered = rig_.committed.delivered();
    ASSERT_GE(floor.stream, floor_.stream);
    ASSERT_GE(floor.consumer, floor_.consumer);
    ASSERT_GE(delivered.stream, delivered_at_.stream);
    ASSERT_GE(delivered.consumer, delivered_at_.consumer);
    ASSERT_LE(floor.stream, delivered.stream);
    floor_ = floor;
    delivered_at_ = delivered;
  }

  /// Faults end: every message that is still needed comes, is acked, and both copies agree.
  void finish() {
    rig_.commit_all();
    rig_.lead();
    if (config_.max_ack_pending < 1000) {
      config_.max_ack_pending = 1000;
      ASSERT_TRUE(rig_.leader->on_config(config_, rig_.store, rig_.now));
    }
    rig_.budget = 1000;
    rig_.auto_commit = true;
    std::set<std::uint64_t> wanted, came;
    StreamSeq last = rig_.store.state().last_seq;
    for (StreamSeq s(1); s <= last; ++s) {
      auto m = rig_.store.load(s);
      ASSERT_TRUE(m);
      if (!*m || !matches(std::string((*m)->subject()))) continue;
      bool due = s >= begin_ || first_.count(s) > 0;
      if (due && config_.ack_policy != api::AckPolicy::kNone && said_.count(s.v) == 0) {
        EXPECT_TRUE(rig_.committed.needs(s)) << "nobody acked " << s.v;
      }
      if (rig_.committed.needs(s) && rig_.committed.exceeded().count(s) == 0) wanted.insert(s.v);
    }
    bool limited = config_.max_deliver > 0;
    for (int round = 0; round < 8; ++round) {
      rig_.pull("r0", 5000);
      rig_.run_for(3 * kSecond);
      for (const SentMessage& m : rig_.sent) came.insert(m.sseq);
      collect();
    }
    for (std::uint64_t s : wanted) {
      if (!limited || rig_.committed.exceeded().count(StreamSeq(s)) == 0) {
        EXPECT_TRUE(came.count(s)) << s;
      }
    }
    for (std::uint64_t s = 1; s <= last.v; ++s) rig_.ack(s);
    rig_.settle();
    std::string live, committed;
    EXPECT_EQ(rig_.leader->live().num_ack_pending(), 0u);
    EXPECT_EQ(rig_.committed.ack_floor(), rig_.committed.delivered());
    EXPECT_EQ(rig_.committed.exceeded().size(), rig_.leader->live().exceeded().size());
    // The coded state is the state.
    rig_.committed.encode(committed);
    auto back = ConsumerState::decode(committed);
    ASSERT_TRUE(back);
    back->encode(live);
    EXPECT_EQ(live, committed);
    EXPECT_EQ(back->hash(), rig_.committed.hash());
  }

  Prng prng_;
  ConsumerRig rig_;
  api::ConsumerConfig config_;
  std::set<StreamSeq> first_;  // to be delivered of what was there at creation
  StreamSeq begin_;            // everything from here on
  std::set<std::uint64_t> delivered_, settled_;
  std::set<std::uint64_t> said_;  // an ack or a term was tried
  std::map<std::uint64_t, std::uint64_t> times_;
  SeqPair floor_, delivered_at_;
};

TEST(ConsumerProperty, RandomDriver) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Driver(seed).run();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace weir::jetstream
