// Expected answers were recorded from nats-server 2.15.1.
#include <algorithm>

#include "broker/base/prng.h"
#include "broker/jetstream/stream_harness.h"
#include "broker/subject/subject.h"

namespace weir::jetstream {
namespace {

api::ConsumerConfig consumer(const std::string& name, const std::string& filter = {}) {
  api::ConsumerConfig c;
  c.durable_name = c.name = name;
  c.ack_policy = api::AckPolicy::kExplicit;
  c.ack_wait = 30 * kSecond;
  c.max_deliver = -1;
  c.max_waiting = 512;
  c.max_ack_pending = 1000;
  c.filter_subject = filter;
  return c;
}

api::StreamConfig with(api::Retention retention) {
  api::StreamConfig c;
  c.retention = retention;
  return c;
}

/// Delivers sequences first..last in order and acks `acked`.
Progress deliver(std::uint64_t cseq, std::uint64_t first, std::uint64_t last, std::vector<SeqRange> acked) {
  Progress p;
  std::uint64_t count = last - first + 1;
  if (count > 0) p.delivered.push_back({ConsumerSeq(cseq), StreamSeq(first), count});
  p.delivered_cseq = ConsumerSeq(cseq + count - 1);
  p.delivered_sseq = StreamSeq(last);
  p.scanned = StreamSeq(last);
  p.acked = std::move(acked);
  return p;
}

SeqRange range(std::uint64_t first, std::uint64_t last) {
  return {StreamSeq(first), StreamSeq(last)};
}

TEST(Consumers, CreateUpdateDelete) {
  Harness h;
  auto c = consumer("C");
  EXPECT_EQ(h.create(c, ConsumerAction::kUpdate), "10149 consumer does not exist");
  EXPECT_EQ(h.create(c), "created 1");
  EXPECT_EQ(h.create(c), "existing");
  EXPECT_EQ(h.create(c, ConsumerAction::kCreate), "existing");
  c.description = "q";
  EXPECT_EQ(h.create(c, ConsumerAction::kCreate), "10148 consumer already exists");
  EXPECT_EQ(h.create(c), "updated");
  EXPECT_EQ(h.machine->find_consumer("C")->config().description, "q");
  EXPECT_EQ(h.create(c, ConsumerAction::kUpdate), "existing");
  EXPECT_EQ(h.drop("C"), "ok");
  EXPECT_EQ(h.out.consumer_id, 1u);
  EXPECT_EQ(h.drop("C"), "10014 consumer not found");
  EXPECT_EQ(h.machine->find_consumer("C"), nullptr);
  EXPECT_EQ(h.create(c), "created 2") << "ids are never used again";
  EXPECT_EQ(h.machine->find_consumer(2u), h.machine->find_consumer("C"));
}

TEST(Consumers, WhatCannotBeUpdated) {
  Harness h;
  h.create(consumer("C"));
  auto attempt = [&](auto change) {
    auto c = consumer("C");
    change(c);
    return h.create(c);
  };
  using C = api::ConsumerConfig;
  EXPECT_EQ(attempt([](C& c) { c.deliver_policy = api::DeliverPolicy::kNew; }),
            "10012 deliver policy can not be updated");
  EXPECT_EQ(attempt([](C& c) { c.ack_policy = api::AckPolicy::kNone; }),
            "10012 ack policy can not be updated");
  EXPECT_EQ(attempt([](C& c) { c.replay_policy = api::ReplayPolicy::kOriginal; }),
            "10012 replay policy can not be updated");
  EXPECT_EQ(attempt([](C& c) { c.max_waiting = 3; }), "10012 max waiting can not be updated");
  EXPECT_EQ(attempt([](C& c) { c.deliver_subject = "x"; }),
            "10012 can not update pull consumer to push based");
  EXPECT_EQ(attempt([](C& c) { c.mem_storage = true; }), "10012 storage type can not be updated");
  EXPECT_EQ(attempt([](C& c) { c.max_ack_pending = 5; }), "updated");
  EXPECT_EQ(attempt([](C& c) { c.filter_subject = "a"; }), "updated");
  auto push = consumer("P");
  push.deliver_subject = "d.1";
  h.create(push);
  push.deliver_subject = "d.2";
  EXPECT_EQ(h.create(push), "updated") << "whether somebody listens is the leader's question";
  push.idle_heartbeat = kSecond;
  EXPECT_EQ(h.create(push), "10012 heart beats can not be updated");
  push = consumer("P");
  EXPECT_EQ(h.create(push), "10012 can not update push consumer to pull based");
}

TEST(Consumers, LimitOfTheStream) {
  api::StreamConfig c;
  c.max_consumers = 1;
  Harness h(c);
  EXPECT_EQ(h.create(consumer("A")), "created 1");
  EXPECT_EQ(h.create(consumer("B")), "10026 maximum consumers limit reached");
  EXPECT_EQ(h.create(consumer("A", "x")), "updated");
}

TEST(Consumers, BadTextIsAnAnswer) {
  Harness h;
  EntryBuilder b;
  b.create_consumer({ConsumerAction::kCreate, Wall{}, "C", "["});
  h.run(b);
  EXPECT_EQ(static_cast<int>(h.out.error.err_code), 10025);
  EXPECT_TRUE(h.machine->consumers().empty());
}

TEST(Consumers, StartPositions) {
  Harness h;
  auto start = [&](api::DeliverPolicy policy, auto change) {
    auto c = consumer("C");
    c.deliver_policy = policy;
    change(c);
    h.create(c);
    const ConsumerState* s = h.machine->find_consumer("C");
    std::string text = std::to_string(s->delivered().stream.v + 1);
    for (StreamSeq seq : s->skip_list()) text += " " + std::to_string(seq.v);
    h.drop("C");
    return text;
  };
  using P = api::DeliverPolicy;
  auto plain = [](api::ConsumerConfig&) {};
  EXPECT_EQ(start(P::kAll, plain), "1");
  EXPECT_EQ(start(P::kLast, plain), "1");
  EXPECT_EQ(start(P::kNew, plain), "1");
  EXPECT_EQ(start(P::kLastPerSubject, plain), "1");
  std::int64_t t0 = h.now;
  for (const char* s : {"a.1", "a.2", "b.1", "a.1", "b.2", "b.1"}) {
    h.pub(s);
    h.now += kSecond;
  }
  h.erase(1);
  EXPECT_EQ(start(P::kAll, plain), "2");
  EXPECT_EQ(start(P::kNew, plain), "7");
  EXPECT_EQ(start(P::kLast, plain), "6");
  EXPECT_EQ(start(P::kLast, [](auto& c) { c.filter_subject = "a.*"; }), "4");
  EXPECT_EQ(start(P::kLast, [](auto& c) { c.filter_subject = "zz"; }), "7");
  EXPECT_EQ(start(P::kByStartSequence, [](auto& c) { c.opt_start_seq = StreamSeq(1); }), "2");
  EXPECT_EQ(start(P::kByStartSequence, [](auto& c) { c.opt_start_seq = StreamSeq(5); }), "5");
  EXPECT_EQ(start(P::kByStartSequence, [](auto& c) { c.opt_start_seq = StreamSeq(UINT64_MAX); }), "7");
  EXPECT_EQ(start(P::kByStartTime, [&](auto& c) { c.opt_start_time = Wall{t0 + 2 * kSecond}; }), "3");
  EXPECT_EQ(start(P::kByStartTime, [&](auto& c) { c.opt_start_time = Wall{t0 + kHour}; }), "7");
  EXPECT_EQ(start(P::kLastPerSubject, plain), "2 2 4 5 6");
  EXPECT_EQ(start(P::kLastPerSubject, [](auto& c) { c.filter_subjects = {"a.1", "b.1"}; }), "4 4 6");
  EXPECT_EQ(start(P::kLastPerSubject, [](auto& c) { c.filter_subject = "zz"; }), "7");
}

TEST(Consumers, ProgressIsKept) {
  Harness h;
  for (int i = 0; i < 3; ++i) h.pub("a");
  h.create(consumer("C"));
  EXPECT_EQ(h.progress(1, deliver(1, 1, 3, {range(1, 2)})), "ok");
  const ConsumerState* s = h.machine->find_consumer("C");
  EXPECT_EQ(s->ack_floor().stream, StreamSeq(2));
  EXPECT_EQ(s->num_ack_pending(), 1u);
  EXPECT_EQ(h.live(), "1 2 3 | 3") << "limits retention keeps what is acked";
  EXPECT_EQ(h.progress(9, deliver(1, 1, 3, {})), "10014 consumer not found");
  EntryBuilder b;
  b.consumer_progress({1, "\xff"});
  h.run(b);
  EXPECT_FALSE(h.out.ok()) << "refused, and the stream goes on";
  EXPECT_EQ(s->ack_floor().stream, StreamSeq(2));
}

TEST(WorkQueue, AckedMessagesLeave) {
  Harness h(with(api::Retention::kWorkQueue));
  for (int i = 0; i < 4; ++i) h.pub("a");
  h.create(consumer("C"));
  EXPECT_EQ(h.progress(1, deliver(1, 1, 3, {range(2, 3)})), "ok");
  EXPECT_EQ(h.live(), "1 4 | 4");
  EXPECT_EQ(h.drop("C"), "ok");
  EXPECT_EQ(h.live(), "1 4 | 4") << "the rest waits for the next consumer";
}

TEST(WorkQueue, OneConsumerPerSubject) {
  Harness h(with(api::Retention::kWorkQueue));
  EXPECT_EQ(h.create(consumer("C1", "w.1")), "created 1");
  EXPECT_EQ(h.create(consumer("C2")),
            "10099 multiple non-filtered consumers not allowed on workqueue stream");
  EXPECT_EQ(h.create(consumer("C3", "w.*")), "10100 filtered consumer not unique on workqueue stream");
  EXPECT_EQ(h.create(consumer("C4", "w.2")), "created 2");
  EXPECT_EQ(h.create(consumer("C4", "w.>")), "10100 filtered consumer not unique on workqueue stream");
  EXPECT_EQ(h.create(consumer("C4", "w.3")), "updated");
}

TEST(WorkQueue, ConsumersOfManyFilters) {
  Harness h(with(api::Retention::kWorkQueue));
  auto many = [](const std::string& name, const std::string& of) {
    auto c = consumer(name);
    for (int i = 0; i < 50'000; ++i) c.filter_subjects.push_back(of + std::to_string(i));
    return c;
  };
  EXPECT_EQ(h.create(many("C1", "w.a.")), "created 1");
  EXPECT_EQ(h.create(many("C2", "w.*.b")), "created 2");
  auto c3 = many("C3", "w.c.");
  EXPECT_EQ(h.create(c3), "created 3");
  c3.filter_subjects.emplace_back("w.c.b49999");
  EXPECT_EQ(h.create(c3), "10100 filtered consumer not unique on workqueue stream");
  EXPECT_EQ(h.create(consumer("C4", "w.a.777")), "10100 filtered consumer not unique on workqueue stream");
  EXPECT_EQ(h.create(consumer("C4", "w.a.x")), "created 4");
}

TEST(Interest, StoresOnlyWhatIsWanted) {
  Harness h(with(api::Retention::kInterest));
  EXPECT_EQ(h.pub("i.1", {{"Nats-Msg-Id", "a"}}), "skip 1");
  EXPECT_EQ(h.pub("i.1", {{"Nats-Msg-Id", "a"}}), "1 dup");
  EXPECT_EQ(h.pub("i.1", {{"Nats-Expected-Last-Sequence", "1"}}), "skip 2");
  h.create(consumer("C1", "i.1"));
  EXPECT_EQ(h.pub("i.1"), "3");
  EXPECT_EQ(h.pub("i.2"), "skip 4");
  h.create(consumer("C2"));
  h.pub("i.1");
  h.pub("i.2");
  EXPECT_EQ(h.live(), "3 5 6 | 6");
  h.drop("C2");
  EXPECT_EQ(h.live(), "3 5 | 6") << "6 was C2's alone";
  h.drop("C1");
  EXPECT_EQ(h.live(), "| 6");
  EXPECT_EQ(h.pub("i.1"), "skip 7");
}

TEST(Interest, LeavesWhenEveryoneAcked) {
  Harness h(with(api::Retention::kInterest));
  h.create(consumer("A"));
  h.create(consumer("B"));
  auto limited = consumer("C", "only.this");
  h.create(limited);
  for (int i = 0; i < 3; ++i) h.pub("a");
  h.progress(1, deliver(1, 1, 3, {range(1, 3)}));
  EXPECT_EQ(h.live(), "1 2 3 | 3");
  h.progress(2, deliver(1, 1, 2, {range(2, 2)}));
  EXPECT_EQ(h.live(), "1 3 | 3");
  h.drop("B");
  EXPECT_EQ(h.live(), "| 3") << "A has acked them, and C's filter does not match";
}

TEST(Interest, NarrowedFilterReleases) {
  Harness h(with(api::Retention::kInterest));
  h.create(consumer("A"));
  h.pub("a");
  h.pub("b");
  EXPECT_EQ(h.create(consumer("A", "b")), "updated");
  EXPECT_EQ(h.live(), "2 | 2");
  EXPECT_EQ(h.pub("a"), "skip 3");
}

Progress exceed(std::uint64_t upto, std::vector<SeqRange> exceeded) {
  Progress p;
  p.delivered_cseq = ConsumerSeq(upto);
  p.delivered_sseq = p.scanned = StreamSeq(upto);
  p.exceeded = std::move(exceeded);
  return p;
}

TEST(WorkQueue, MaxDeliverKeepsUntilSomebodyDecides) {
  Harness h(with(api::Retention::kWorkQueue));
  for (int i = 0; i < 3; ++i) h.pub("a");
  h.create(consumer("C"));
  h.progress(1, deliver(1, 1, 3, {range(2, 2)}));
  h.progress(1, exceed(3, {range(1, 1)}));
  EXPECT_EQ(h.live(), "1 3 | 3");
  Progress late = exceed(3, {});
  late.acked = {range(1, 1)};
  h.progress(1, late);
  EXPECT_EQ(h.live(), "3 | 3") << "an ack that comes after all counts";
  Progress term = exceed(3, {});
  term.termed = {range(3, 3)};
  h.progress(1, term);
  EXPECT_EQ(h.live(), "| 3");
}

TEST(WorkQueue, SpaceComesBackWithAcks) {
  auto c = with(api::Retention::kWorkQueue);
  c.discard = api::Discard::kNew;
  c.max_msgs = 2;
  Harness h(c);
  h.create(consumer("C"));
  EXPECT_EQ(h.pub("a"), "1");
  EXPECT_EQ(h.pub("a"), "2");
  EXPECT_EQ(h.pub("a"), "10077 maximum messages exceeded");
  h.progress(1, deliver(1, 1, 1, {range(1, 1)}));
  EXPECT_EQ(h.pub("a"), "3");
  EXPECT_EQ(h.live(), "2 3 | 3");
}

TEST(WorkQueue, AnotherConsumerIsToldOfWhatGoes) {
  Harness h(with(api::Retention::kWorkQueue));
  h.pub("w.1");
  h.create(consumer("A", "w.1"));
  h.progress(1, deliver(1, 1, 1, {}));
  EXPECT_EQ(h.create(consumer("A", "w.2")), "updated");
  EXPECT_EQ(h.create(consumer("B", "w.1")), "created 2");
  h.machine->watch_removals(StreamSeq(1));
  Progress ack = exceed(1, {});
  ack.acked = {range(1, 1)};
  h.progress(1, ack);
  EXPECT_EQ(h.live(), "| 1");
  ASSERT_EQ(h.out.removed.size(), 1u) << "B counts it as pending";
  EXPECT_EQ(h.out.removed[0].subject, "w.1");
}

TEST(WorkQueue, SealedKeepsEverything) {
  auto c = with(api::Retention::kWorkQueue);
  Harness h(c);
  h.pub("a");
  h.create(consumer("C"));
  c.name = "S";
  c.subjects = {">"};
  c.sealed = true;
  EXPECT_EQ(h.update(c, 1), "1 | 1");
  h.progress(1, deliver(1, 1, 1, {range(1, 1)}));
  EXPECT_EQ(h.live(), "1 | 1");
}

TEST(Interest, AcksAreNotReported) {
  Harness h(with(api::Retention::kInterest));
  h.create(consumer("A"));
  h.pub("a");
  h.machine->watch_removals(StreamSeq(1));
  h.progress(1, deliver(1, 1, 1, {range(1, 1)}));
  EXPECT_EQ(h.live(), "| 1");
  EXPECT_TRUE(h.out.removed.empty()) << "nobody waits for it";
}

TEST(Interest, MaxDeliverKeepsUntilTheConsumerGoes) {
  Harness h(with(api::Retention::kInterest));
  h.create(consumer("A"));
  h.create(consumer("B"));
  for (int i = 0; i < 4; ++i) h.pub("a");
  h.progress(1, deliver(1, 1, 4, {range(3, 4)}));
  h.progress(1, exceed(4, {range(1, 2)}));
  h.progress(2, deliver(1, 1, 4, {range(1, 4)}));
  EXPECT_EQ(h.live(), "1 2 | 4");
  h.drop("B");
  EXPECT_EQ(h.live(), "1 2 | 4");
  h.drop("A");
  EXPECT_EQ(h.live(), "| 4") << "they lie below the ack floor of A";
}

TEST(Interest, LateConsumersNeedOnlyWhatTheyGet) {
  Harness h(with(api::Retention::kInterest));
  h.create(consumer("A"));
  for (int i = 0; i < 3; ++i) h.pub("a");
  auto late = consumer("N");
  late.deliver_policy = api::DeliverPolicy::kNew;
  h.create(late);
  h.pub("a");
  h.pub("a");
  h.drop("A");
  EXPECT_EQ(h.live(), "4 5 | 5");
  h.create(consumer("B"));
  h.progress(3, deliver(1, 4, 5, {range(4, 4)}));
  EXPECT_EQ(h.live(), "4 5 | 5");
  h.drop("N");
  EXPECT_EQ(h.live(), "5 | 5");
}

TEST(Interest, AckNoneAndAckAll) {
  Harness h(with(api::Retention::kInterest));
  auto none = consumer("N");
  none.ack_policy = api::AckPolicy::kNone;
  h.create(none);
  for (int i = 0; i < 3; ++i) h.pub("a");
  h.progress(1, deliver(1, 1, 2, {}));
  EXPECT_EQ(h.live(), "3 | 3") << "delivered is enough";
  auto all = consumer("L");
  all.ack_policy = api::AckPolicy::kAll;
  h.create(all);
  h.pub("a");
  h.progress(1, deliver(3, 3, 4, {}));
  EXPECT_EQ(h.live(), "3 4 | 4");
  h.progress(2, deliver(1, 3, 4, {range(1, 4)}));
  EXPECT_EQ(h.live(), "| 4");
}

TEST(Interest, RetentionBecomesInterestAndBack) {
  api::StreamConfig c;
  c.name = "S";
  c.subjects = {">"};
  c.duplicate_window = kMinute;
  Harness h(c);
  for (const char* s : {"a", "a", "b", "b", "c", "c"}) h.pub(s);
  h.create(consumer("A"));
  h.create(consumer("B", "b"));
  h.progress(1, deliver(1, 1, 4, {range(1, 4)}));
  h.progress(2, deliver(1, 3, 3, {range(3, 3)}));
  EXPECT_EQ(h.live(), "1 2 3 4 5 6 | 6");
  c.retention = api::Retention::kInterest;
  EXPECT_EQ(h.update(c, 1), "4 5 6 | 6");
  c.description = "again";
  EXPECT_EQ(h.update(c, 2), "4 5 6 | 6");
  c.retention = api::Retention::kLimits;
  EXPECT_EQ(h.update(c, 3), "4 5 6 | 6");
  h.progress(2, deliver(2, 4, 4, {range(4, 4)}));
  EXPECT_EQ(h.live(), "4 5 6 | 6");
  h.drop("A");
  h.drop("B");
  c.retention = api::Retention::kInterest;
  EXPECT_EQ(h.update(c, 4), "| 6") << "without consumers nothing is wanted";
  EXPECT_EQ(h.pub("a"), "skip 7");
}

TEST(Interest, RollupWorksOnWhatNobodyWantsToo) {
  auto c = with(api::Retention::kInterest);
  c.allow_rollup_hdrs = true;
  Harness h(c);
  h.create(consumer("A", "i.2"));
  h.pub("i.2");
  h.pub("i.2");
  EXPECT_EQ(h.pub("i.1", {{"Nats-Rollup", "all"}}), "skip 3");
  EXPECT_EQ(h.live(), "| 3");
}

/// What should be there: a message is, while a consumer that wants its subject is not done with it.
class InterestModel {
 public:
  explicit InterestModel(std::uint64_t seed) : prng_(seed), h_(with(api::Retention::kInterest)) {}

  void run() {
    for (int i = 0; i < 600 && !::testing::Test::HasFailure(); ++i) {
      act();
      check();
      if (prng_.chance(1, 60)) restart();
    }
  }

 private:
  struct Model {
    std::uint32_t id;
    std::vector<std::string> filters;
    std::uint64_t cseq = 0, seen;
    std::map<std::uint64_t, bool> open;  // delivered and not finished; true: over max_deliver
    bool wants(const std::string& s) const {
      return filters.empty() || std::any_of(filters.begin(), filters.end(),
                                            [&](const std::string& f) { return subject::matches(f, s); });
    }
  };

  std::string any_subject() { return std::string(1, "abc"[prng_.below(3)]) + "." + "xy"[prng_.below(2)]; }
  std::vector<std::string> any_filters() {
    static const std::vector<std::string> kFilters = {"a.*", "b.x", "*.y", "c.>", "a.x"};
    std::vector<std::string> filters;
    if (prng_.chance(1, 2)) filters.push_back(kFilters[prng_.below(5)]);
    return filters;
  }
  std::string pick() {
    return std::next(all_.begin(), static_cast<std::ptrdiff_t>(prng_.below(all_.size())))->first;
  }

  void act() {
    std::uint64_t what = prng_.below(100);
    if (what < 40) return publish();
    if (what < 50 && all_.size() < 20) return create("c" + std::to_string(prng_.below(30)));
    if (all_.empty()) return;
    if (what < 53) {
      std::string name = pick();
      h_.drop(name);
      all_.erase(name);
    } else if (what < 60) {
      create(pick());  // with other filters
    } else {
      work(all_.at(pick()));
    }
  }
  void publish() {
    std::string s = any_subject();
    h_.publish(s);
    subjects_[++last_] = s;
  }
  void create(const std::string& name) {
    auto c = consumer(name);
    c.filter_subjects = any_filters();
    bool there = all_.contains(name);
    h_.create(c);
    if (there) {
      all_.at(name).filters = c.filter_subjects;
    } else {
      all_[name] = {h_.out.consumer_id, c.filter_subjects, 0, h_.store->state().first_seq.v - 1, {}};
      if (last_ == 0) all_[name].seen = 0;
    }
  }
  /// Delivers what comes next and finishes some of what is open.
  void work(Model& m) {
    Progress p;
    for (std::uint64_t n = prng_.below(6); n > 0; --n) {
      auto next = h_.store->next(m.filters, StreamSeq(m.seen + 1)).value();
      if (!next) break;
      m.seen = next->seq.v;
      m.open[m.seen] = false;
      p.delivered.push_back({ConsumerSeq(++m.cseq), next->seq, 1});
    }
    p.delivered_cseq = ConsumerSeq(m.cseq);
    p.delivered_sseq = p.scanned = StreamSeq(m.seen);
    for (auto it = m.open.begin(); it != m.open.end();) {
      SeqRange one = range(it->first, it->first);
      if (!it->second && prng_.chance(1, 10)) {
        p.exceeded.push_back(one);
        it->second = true;
      } else if (prng_.chance(1, 3)) {
        p.acked.push_back(one);
        it = m.open.erase(it);
        continue;
      }
      ++it;
    }
    ASSERT_EQ(h_.progress(m.id, p), "ok");
  }
  void check() {
    for (auto it = subjects_.begin(); it != subjects_.end();) {
      bool needed = std::any_of(all_.begin(), all_.end(), [&](const auto& row) {
        const Model& m = row.second;
        return m.wants(it->second) && (it->first > m.seen || m.open.contains(it->first));
      });
      it = needed ? std::next(it) : subjects_.erase(it);
    }
    std::string expected;
    for (const auto& [seq, s] : subjects_) expected += std::to_string(seq) + " ";
    ASSERT_EQ(h_.live(), expected + "| " + std::to_string(last_));
  }
  void restart() {
    h_.checkpoint();
    ASSERT_TRUE(h_.reopen());
  }

  Prng prng_;
  Harness h_;
  std::map<std::string, Model> all_;
  std::map<std::uint64_t, std::string> subjects_;
  std::uint64_t last_ = 0;
};

TEST(Interest, HoldsExactlyWhatIsNeeded) {
  for (std::uint64_t seed = 1; seed <= 60 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    InterestModel(seed).run();
  }
}

}  // namespace
}  // namespace weir::jetstream
