// broker/jetstream/consumer_harness.h - drives one ConsumerLeader in tests, with a log that commits on
// demand.
//
// Room:  tests only.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/jetstream/consumer_leader.h"
#include "broker/store/mem_store.h"

namespace weir::jetstream {

struct SentMessage {
  std::string target;
  std::uint64_t sseq = 0, cseq = 0, deliveries = 0, pending = 0;
};
struct SentStatus {
  std::string target;
  std::string line;  // "408 Request Timeout"
  std::string headers;
  std::string reply;
};

class ConsumerRig {
 public:
  static api::ConsumerConfig pull_config(api::AckPolicy ack = api::AckPolicy::kExplicit) {
    api::ConsumerConfig c;
    c.durable_name = "C";
    c.ack_policy = ack;
    c.ack_wait = 30 * kSecond;
    c.max_deliver = -1;
    c.max_ack_pending = 1000;
    c.max_waiting = 512;
    return c;
  }
  static api::ConsumerConfig push_config(api::AckPolicy ack = api::AckPolicy::kExplicit) {
    api::ConsumerConfig c = pull_config(ack);
    c.max_waiting = 0;
    c.deliver_subject = "push";
    return c;
  }

  void create(const api::ConsumerConfig& config, ConsumerStart start = {}) {
    committed = ConsumerState(1, "C", config, now.wall, std::move(start));
    lead();
  }
  /// A new leader, from what is committed.
  void lead() {
    log.clear();
    held.clear();
    confirms.clear();
    committed_number = 0;
    auto c = ConsumerLeader::start(committed, options, store, now);
    ASSERT_TRUE(c);
    leader = std::move(*c);
    // The ways of the ack subject "$JS.ACK.S.C".
    ASSERT_TRUE(leader->live().name() == "C");
  }

  void publish(const std::string& subject, std::size_t size = 4, bool matches = true) {
    StreamSeq seq = store.state().last_seq + 1;
    store::Message m;
    m.seq = seq;
    m.time = now.wall;
    m.record = Bytes::copy_of(subject + std::string(size, 'x'));
    m.subject_size = static_cast<std::uint32_t>(subject.size());
    store.append(std::move(m));
    if (leader && matches) leader->on_stored(seq);
  }
  void remove(std::uint64_t seq) {
    auto m = store.load(StreamSeq(seq));
    ASSERT_TRUE(m);
    if (!*m) return;
    std::string subject((*m)->subject());
    ASSERT_TRUE(store.remove(StreamSeq(seq)));
    leader->on_removed(StreamSeq(seq), subject);
  }

  PullRequest request(const std::string& reply, std::uint64_t batch, Nanos expires = 0) {
    interest.insert(reply);
    PullRequest r;
    r.reply = Bytes::copy_of(reply);
    r.batch = batch;
    r.expires = expires;
    return r;
  }
  void pull(const std::string& reply, std::uint64_t batch, Nanos expires = 0) {
    leader->on_pull(request(reply, batch, expires), now);
  }
  void no_wait(const std::string& reply, std::uint64_t batch, Nanos expires = 0) {
    PullRequest r = request(reply, batch, expires);
    r.no_wait = true;
    leader->on_pull(r, now);
  }
  void ack(std::uint64_t seq, api::AckKind kind = api::AckKind::kAck, const std::string& reply = {},
           Nanos delay = 0) {
    AckMessage a;
    a.kind = kind;
    a.sseq = StreamSeq(seq);
    a.reply = Bytes::copy_of(reply);
    a.delay = delay;
    leader->on_ack(a, now);
  }

  void pass(Nanos d) {
    now.mono = now.mono + d;
    now.wall = now.wall + d;
  }
  /// Steps until nothing more is to be done now. What may go goes to `sent` and so on.
  void run() {
    do {
      step();
    } while (out.more);
  }
  void step() {
    const std::function<bool(std::string_view)> ask = [this](std::string_view s) {
      return interest.count(std::string(s)) > 0;
    };
    ASSERT_TRUE(leader->step({store, now, budget, ask}, out));
    if (!out.progress.empty()) log.emplace_back(out.progress_number, out.progress);
    for (auto& c : out.confirmations) {
      ASSERT_LE(c.after, last_proposed());
      if (c.after == 0)
        confirmed.push_back(std::string(c.reply.text()));
      else
        confirms.emplace_back(c.after, std::string(c.reply.text()));
    }
    for (auto& a : out.advisories) advisories.push_back(a);
    Held h;
    h.after = out.send_after;
    std::size_t s = 0;
    for (std::size_t i = 0; i <= out.deliveries.size(); ++i) {
      for (; s < out.statuses.size() && out.statuses[s].after == i; ++s) h.add(out.statuses[s]);
      if (i < out.deliveries.size()) h.add(out.deliveries[i]);
    }
    ASSERT_EQ(s, out.statuses.size()) << "statuses out of order";
    held.push_back(std::move(h));
    release();
    if (auto_commit) commit_all();
  }
  /// Runs at each deadline up to `until` from now.
  void run_for(Nanos until) {
    Mono end = now.mono + until;
    run();
    while (out.next_deadline <= end) {
      if (out.next_deadline > now.mono) pass(out.next_deadline - now.mono);
      run();
    }
    if (end > now.mono) pass(end - now.mono);
    run();
  }
  void commit_one() {
    ASSERT_FALSE(log.empty());
    auto [number, body] = log.front();
    log.pop_front();
    Status s = committed.apply_progress(body, now.wall, finished);
    ASSERT_TRUE(s) << s.error().to_string();
    all_finished.insert(all_finished.end(), finished.begin(), finished.end());
    committed_number = number;
    leader->on_committed(number);
    for (auto it = confirms.begin(); it != confirms.end();) {
      if (it->first <= number) {
        confirmed.push_back(it->second);
        it = confirms.erase(it);
      } else {
        ++it;
      }
    }
    release();
  }
  void commit_all() {
    while (!log.empty()) commit_one();
  }
  /// Everything proposed and committed.
  void settle() {
    for (int i = 0; i < 20; ++i) {
      pass(ConsumerLeader::kMergeDelay);
      run();
      commit_all();
    }
  }

  std::vector<std::uint64_t> take_seqs() {
    std::vector<std::uint64_t> seqs;
    for (auto& m : sent) seqs.push_back(m.sseq);
    sent.clear();
    return seqs;
  }
  std::vector<std::string> take_lines() {
    std::vector<std::string> lines;
    for (auto& s : statuses) lines.push_back(s.target + ": " + s.line);
    statuses.clear();
    return lines;
  }

  store::MemStore store;
  ConsumerState committed;
  ConsumerLeaderOptions options = default_options();
  std::unique_ptr<ConsumerLeader> leader;
  Now now{Mono{kHour}, Wall{1'700'000'000 * kSecond}};
  std::size_t budget = 1000;
  bool auto_commit = true;
  std::set<std::string> interest;

  ConsumerOutput out;
  std::vector<SentMessage> sent;
  std::vector<SentStatus> statuses;
  std::vector<ConsumerAdvisory> advisories;
  std::vector<std::string> confirmed;
  std::vector<SeqRange> all_finished;
  std::deque<std::pair<std::uint64_t, std::string>> log;  // proposed, not committed

 private:
  struct Held {
    std::uint64_t after = 0;
    std::vector<SentMessage> messages;
    std::vector<SentStatus> statuses;
    void add(const StatusMessage& s) {
      std::string line = s.headers.substr(9, s.headers.find("\r\n") - 9);
      statuses.push_back({std::string(s.target.text()), line, s.headers, s.reply});
    }
    void add(const Delivery& d) {
      messages.push_back(
          {std::string(d.target.text()), d.message.seq.v, d.cseq.v, d.deliveries, d.num_pending});
    }
  };
  static ConsumerLeaderOptions default_options() {
    ConsumerLeaderOptions o;
    o.stream = "S";
    o.ack_prefix_size = 11;  // "$JS.ACK.S.C"
    return o;
  }
  std::uint64_t last_proposed() const { return log.empty() ? committed_number : log.back().first; }
  void release() {
    while (!held.empty() && (held.front().after == 0 || held.front().after <= committed_number)) {
      Held& h = held.front();
      sent.insert(sent.end(), h.messages.begin(), h.messages.end());
      statuses.insert(statuses.end(), h.statuses.begin(), h.statuses.end());
      held.pop_front();
    }
  }
  std::deque<Held> held;
  std::vector<std::pair<std::uint64_t, std::string>> confirms;
  std::uint64_t committed_number = 0;
  std::vector<SeqRange> finished;
};

}  // namespace weir::jetstream
