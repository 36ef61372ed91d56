#include "broker/replica/host.h"

#include <algorithm>

#include "broker/replica/group.h"

namespace weir::replica {

namespace {
constexpr unsigned kRoundsPerTurn = 8;      // groups that go on and on leave the rest of the turn to others
constexpr unsigned kTicksAtOnceMax = 1000;  // after a long pause
constexpr std::size_t kEarlyMax = 1000;     // messages for groups that are not here yet
constexpr Nanos kEarlyFor = kSecond;
}  // namespace

Host::Host(env::Env& env, Peers* peers, HostTuning tuning)
    : env_(env), peers_(peers), tuning_(tuning), prng_(env.random.next()), ticked_(env.clock.now()) {}

Host::~Host() {
  env_.loop.cancel(timer_);
}

Group* Host::find(GroupId id) const {
  auto it = groups_.find(id);
  return it == groups_.end() ? nullptr : it->second;
}

void Host::add(Group& group) {
  now_current();  // what is owed so far is not owed to it
  groups_[group.id()] = &group;
  for (NodeId node : alive_) group.peer_alive(node, true);
  hand_early(group);
  mark(group);
}

void Host::forget(Group& group) {
  auto it = groups_.find(group.id());
  if (it != groups_.end() && it->second == &group) {
    groups_.erase(it);
  }
  fall_asleep(group);
  std::replace(dirty_.begin(), dirty_.end(), &group, static_cast<Group*>(nullptr));
  std::replace(running_.begin(), running_.end(), &group, static_cast<Group*>(nullptr));
}

void Host::mark(Group& group) {
  if (group.marked_) return;
  group.marked_ = true;
  dirty_.push_back(&group);
}

void Host::changed(Group& group) {
  group.changed_ = true;
  changed_.push_back(group.id());
}

std::vector<GroupId> Host::take_changed() {
  for (GroupId id : changed_) {
    if (Group* g = find(id)) g->changed_ = false;
  }
  return std::exchange(changed_, {});
}

void Host::awaken(Group& group) {
  if (group.awake_at_ != Group::kAsleep || !group.needs_ticks()) return;
  group.awake_at_ = awake_.size();
  awake_.push_back(&group);
}

void Host::fall_asleep(Group& group) {
  if (group.awake_at_ == Group::kAsleep) return;
  Group* last = awake_.back();
  awake_[group.awake_at_] = last;
  last->awake_at_ = group.awake_at_;
  awake_.pop_back();
  group.awake_at_ = Group::kAsleep;
}

void Host::step(NodeId from, GroupId id, raft::Message message) {
  // Time first: a tick that is delivered after the message would count against the promise that the message
  // renews, and a leader that was held up would answer from a lease that is over.
#ifndef WEIR_DEFECT_REPLICA_LATE_TICKS
  now_current();
#endif
  if (Group* g = find(id)) {
    g->step(from, std::move(message));
  } else {
    keep_early(from, id, std::move(message));
  }
}

void Host::keep_early(NodeId from, GroupId id, raft::Message message) {
  if (message.type != raft::MessageType::kPreVote && message.type != raft::MessageType::kVote) return;
  Mono now = env_.clock.now();
  while (!early_.empty() && (early_.size() >= kEarlyMax || now - early_.front().at > kEarlyFor)) {
    early_.pop_front();
  }
  early_.push_back({now, from, id, std::move(message)});
}

void Host::hand_early(Group& group) {
  Mono now = env_.clock.now();
  std::erase_if(early_, [&](Early& e) {
    if (e.group != group.id()) return false;
    if (now - e.at <= kEarlyFor) group.step(e.from, std::move(e.message));
    return true;
  });
}

void Host::peer_alive(NodeId node, bool alive) {
  if (alive ? !alive_.insert(node).second : alive_.erase(node) == 0) return;
  std::vector<GroupId> all;  // in order: worlds of the simulator are to be repeatable
  all.reserve(groups_.size());
  for (const auto& [id, group] : groups_) all.push_back(id);
  std::sort(all.begin(), all.end());
  for (GroupId id : all) groups_.at(id)->peer_alive(node, alive);
}

bool Host::run() {
  for (unsigned round = 0; round < kRoundsPerTurn && !dirty_.empty(); ++round) {
    running_ = std::exchange(dirty_, {});
    for (std::size_t i = 0; i < running_.size(); ++i) {
      Group* g = running_[i];
      if (!g) continue;
      g->marked_ = false;
      g->pump();  // may destroy it: then it is not in running_ any more
      if (running_[i] == nullptr) continue;
      if (g->needs_ticks()) {
        awaken(*g);
      } else {
        fall_asleep(*g);
      }
    }
    running_.clear();
  }
  arm();
  return !dirty_.empty();
}

void Host::arm() {
  if (timer_ != 0) return;
  if (awake_.empty()) {
    idle_ = true;
    return;
  }
  // Nothing was owed while everybody slept. Otherwise fractions are kept: a leader that counts slower than
  // its clock would trust its lease for too long.
  if (idle_) ticked_ = env_.clock.now();
  idle_ = false;
  timer_ = env_.loop.at(ticked_ + tuning_.tick, [this] {
    timer_ = 0;
    now_current();
    arm();
  });
}

void Host::now_current() {
  Mono now = env_.clock.now();
  if (idle_ || now - ticked_ < tuning_.tick) return;
  Nanos owed = (now - ticked_) / tuning_.tick;
  ticked_ = ticked_ + owed * tuning_.tick;
  tick_all(static_cast<unsigned>(std::min<Nanos>(owed, kTicksAtOnceMax)));
}

void Host::tick_all(unsigned ticks) {
  for (Group* g : awake_) g->tick(ticks);  // marks it, no more
}

}  // namespace weir::replica
