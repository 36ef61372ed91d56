// broker/replica/testing/cluster_world.h - a group on several simulated nodes, each with its own journal,
// clock and place for checkpoints; a network that loses and delays; faults; and what must hold all the time.
//
// Room:   test world. Everything follows from Plan::seed.
// Meta:   who is a member is the world's wish (wish_); a steward moves the group there, learners first, as
//         ADR 4 wants it. A replica that forgot what it promised gets a new id.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/env/testing/sim_disk.h"
#include "broker/raft/invariants.h"
#include "broker/replica/group.h"
#include "broker/replica/testing/late_loop.h"

namespace weir::replica::testing {

struct Plan {
  std::uint64_t seed = 1;
  unsigned nodes = 3;     // in the world
  unsigned founders = 3;  // members at first
  bool crashes = true, partitions = true, pauses = false, members = false, damage = false, sleep = false;
  bool memory = false, lease = false, rot = false, drift = false;
  bool verbose = false;
};

class ClusterWorld;

class Member final : public Peers, public StateMachine {
 public:
  Member(ClusterWorld& world, unsigned number, std::uint64_t seed);
  ~Member() override;

  void start();
  bool up() const { return group_ != nullptr; }
  bool works() const { return group_ && group_->started() && !group_->why_stopped(); }
  bool runs() const { return host_ != nullptr; }
  NodeId node() const { return node_; }
  NodeId replica() const { return replica_; }
  std::string name() const { return "n" + std::to_string(number_ + 1); }
  Group& group() { return *group_; }
  Host& host() { return *host_; }
  LateLoop& loop() { return loop_; }
  store::Journal* journal() { return journal_.get(); }
  env::testing::SimDisk& disk() { return disk_; }
  std::uint64_t life() const { return life_; }
  std::uint64_t hash() const { return hash_; }
  const raft::ConfState& conf() const { return conf_; }
  std::string describe() const;
  std::size_t reads() const { return reads_.size(); }

  void die(bool power, Nanos back_after);
  void power_fails_at(std::uint64_t operation, Nanos back_after);
  void back_at_once() { back_at_ = std::min(back_at_, time_.now()); }
  /// Between turns: what happened inside one is carried out.
  void settle();
  /// Bits of what is durable flip. False: there is nothing to lose.
  bool rot();
  bool proposes(const std::string& text);
  void read();
  void checkpoint(bool press);
  /// Its replica id is not in the group any more.
  void retire();

  // Peers.
  void send(NodeId to, GroupId group, raft::Message message) override;
  // StateMachine.
  Status apply(RaftIndex index, Term term, const Bytes& payload, bool live) override;
  void stopped(const Error& why) override;
  void leading(bool leads) override;
  void leader_changed(NodeId, Term) override { outside_of_run("leader_changed"); }
  void members_changed(const raft::ConfState& conf) override { conf_ = conf; }
  void fetch_state(NodeId from, const raft::SnapshotMeta& least) override;

 private:
  /// A checkpoint: state and position, durable together.
  struct Saved {
    Position position;
    std::uint64_t hash = 0;
  };
  struct Read {
    RaftIndex floor;
    Mono asked;
  };
  void create();
  void open_journal();
  void begin();
  void renew();
  void turn();
  void bury(bool power);
  void serve(std::uint64_t fetch, NodeId from, RaftIndex least);
  void arrived(std::uint64_t fetch, const raft::SnapshotMeta& at, std::uint64_t hash);
  void installed(std::uint64_t fetch, const raft::SnapshotMeta& at);
  void fetch_failed(std::uint64_t fetch);
  void answered(std::uint64_t number, bool good);
  void outside_of_run(const char* what);
  void say(const std::string& what);

  ClusterWorld& world_;
  env::testing::SimTime& time_;
  unsigned number_;
  NodeId node_;
  Prng prng_;
  LateLoop loop_;
  env::testing::SimDisk disk_;
  env::testing::SimRandom random_;
  env::testing::SimProcess process_;
  env::testing::NoTransport transport_;
  env::testing::LogSink log_{Level::kFatal};
  env::Env env_;
  HostTuning tuning_;
  store::JournalOptions journal_options_;

  // Durable.
  std::optional<Saved> saved_;
  NodeId replica_;  // what the meta state calls it; 0: no replica here

  // Of one life.
  std::uint64_t life_ = 0;
  std::unique_ptr<Host> host_;
  std::unique_ptr<store::Journal> journal_;
  std::unique_ptr<Group> group_;
  bool running_ = false;  // inside Host::run()
  bool drained_ = false;
  std::uint64_t hash_ = 0;
  RaftIndex applied_;
  raft::ConfState conf_;
  std::map<RaftIndex, Term> proposed_;
  std::optional<Saved> committing_;  // on its way to the disk
  std::uint64_t commits_ = 0, fetch_ = 0;
  bool fetching_ = false;
  std::map<std::uint64_t, Read> reads_;
  std::uint64_t next_read_ = 0;
  std::optional<raft::Invariants> invariants_;

  bool dying_ = false, power_ = false, cut_off_ = false;
  Nanos back_after_ = 0;
  Mono back_at_;
  Mono well_since_;
  friend class ClusterWorld;
};

class ClusterWorld {
 public:
  explicit ClusterWorld(const Plan& plan);
  ~ClusterWorld();
  /// Empty, or what went wrong first.
  std::string run();

  struct Counts {
    std::uint64_t acked = 0, reads = 0, refused = 0, deaths = 0, renewed = 0, rotten = 0, installs = 0,
                  checkpoints = 0, elections = 0, changes = 0, transfers = 0, pauses = 0, sleeps = 0,
                  hurt = 0;
    Counts& operator+=(const Counts& o);
  } counts;
  std::uint64_t trace() const { return trace_; }

 private:
  friend class Member;
  void fail(const std::string& what);
  void say(const std::string& what);
  void run_for(Nanos d);
  bool run_until(const std::function<bool()>& stop, Nanos limit);
  void step();
  void post(NodeId from, raft::Message message);
  bool linked(NodeId a, NodeId b) const { return cut_.count({node_of(a), node_of(b)}) == 0; }
  Member* member(NodeId id);
  Member* leader();
  Member& any();
  NodeId wished(NodeId node) const;  // replica id of that node; 0: none
  NodeId renew(NodeId node);
  void restarted(NodeId node);

  void chaos();
  void disturb_one(Member& m);
  void rot_one(Member& m);
  bool all_sound();
  void steward();
  void steer(Member& lead);
  void change_wish();
  void attack_lease();
  void attack_rot();
  void partition();
  void views_of_peers();
  void heal();
  void propose_last();
  std::string unhealthy();

  // Checks, called by members.
  void saw_apply(Member& m, RaftIndex index, Term term, std::uint64_t hash);
  void saw_state(Member& m, RaftIndex at, std::uint64_t hash);
  void saw_message(const raft::Message& m);
  void acked(RaftIndex index) {
    ++counts.acked;
    acked_ = std::max(acked_, index);
  }

  Plan plan_;
  Prng prng_;
  env::testing::SimTime time_;
  env::testing::SimLoop outside_;
  std::vector<std::unique_ptr<Member>> members_;
  std::set<std::pair<NodeId, NodeId>> cut_;
  std::map<std::pair<NodeId, NodeId>, Mono> last_due_;
  std::vector<NodeId> founders_;
  std::map<NodeId, NodeId> wish_;  // node -> replica id
  std::set<NodeId> retired_;
  std::set<NodeId> hurt_;  // nodes whose damage is not over
  std::uint64_t revision_ = 0;
  bool quiet_ = false, ended_ = false;
  Mono attack_at_;
  unsigned attack_step_ = 0;
  NodeId attacked_, friend_;
  bool no_proposals_ = false;
  std::string failed_;
  std::uint64_t trace_ = 1, payload_ = 0;

  std::map<RaftIndex, std::pair<Term, std::uint64_t>> truth_;
  std::map<RaftIndex, std::uint64_t> states_;
  std::map<Term, NodeId> leaders_;
  std::map<std::pair<NodeId, Term>, NodeId> votes_;
  RaftIndex acked_;
};

}  // namespace weir::replica::testing
