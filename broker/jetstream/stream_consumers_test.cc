// Expected answers were recorded from nats-server 2.15.1.
#include "broker/jetstream/stream_harness.h"

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

}  // namespace
}  // namespace weir::jetstream
