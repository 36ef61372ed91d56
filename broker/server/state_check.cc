#include "broker/server/state_check.h"

#include <algorithm>
#include <utility>

#include "broker/base/state_hash.h"
#include "broker/raft/confchange.h"
#include "broker/server/cluster_side.h"
#include "broker/server/jetstream.h"

namespace weir::server {

namespace {
constexpr Nanos kRoundEvery = kSecond;
constexpr Nanos kRoundFor = 5 * kSecond;  // who has not answered by then is asked again after the next entry
constexpr Nanos kWaitFor = 30 * kSecond;
}  // namespace

replica::Group* StateCheck::find(GroupId group) const {
  replica::Group* g = js_.context().host->find(group);
  return g && g->started() && !g->why_stopped() ? g : nullptr;
}

std::string StateCheck::name_of(GroupId group) const {
  if (group == jetstream::kMetaGroup) return "meta group";
  const jetstream::MetaStream* s = js_.meta().state().find(group);
  std::string id = "group " + std::to_string(group.v);
  return s ? "stream " + s->account + "/" + s->config.name + " (" + id + ")" : id;
}

void StateCheck::send(StateSaid said, const Items& items) {
  for (const auto& [node, all] : items) {
    for (std::size_t at = 0; at < all.size(); at += kStateItemsMax) {
      auto begin = all.begin() + static_cast<std::ptrdiff_t>(at);
      auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), at + kStateItemsMax));
      // In the lane of Raft: what the leader has applied when it asks, it has not told to be committed
      // before.
      js_.context().cluster->mesh().send(node, cluster::Lane::kRaft, cluster::FrameKind::kState,
                                         encode_state_frame({said, kStateHashScheme, {begin, end}}));
    }
  }
}

void StateCheck::work() {
  answer_waits();
  end_rounds();
  if (env_.clock.now() < next_rounds_) return;
  next_rounds_ = env_.clock.now() + kRoundEvery;
  begin_rounds();
}

// ---- on the leader -----------------------------------------------------------------------------

void StateCheck::begin_rounds() {
  for (GroupId group : js_.context().host->take_changed()) changed_.insert(group);
  for (NodeId node : std::exchange(came_, {})) {
    auto concerns = [node](const replica::Group& g) {
      auto members = raft::members_of(g.conf());
      return g.leading() && std::any_of(members.begin(), members.end(),
                                        [node](NodeId replica) { return node_of(replica) == node; });
    };
    for (StreamHost* s : js_.all_streams()) {
      if (concerns(s->group())) changed_.insert(s->group_id());
    }
    if (concerns(js_.meta().group())) changed_.insert(jetstream::kMetaGroup);
  }
  Items asks;
  for (GroupId group : std::exchange(changed_, {})) begin(group, asks);
  send(StateSaid::kAsk, asks);
}

void StateCheck::begin(GroupId group, Items& asks) {
  replica::Group* here = find(group);
  if (!here || !here->leading() || here->alone()) return;
  if (rounds_.contains(group)) {
    changed_.insert(group);
    return;
  }
  StateItem item{group, here->applied(), NodeId(), 0};
  std::vector<NodeId> asked;
  for (NodeId replica : raft::members_of(here->conf())) {
    bool self = replica == here->self();
    if (!self && !js_.context().cluster->connected(replica)) continue;
    asked.push_back(replica);
    if (!self) asks[node_of(replica)].push_back(item);
  }
  Round round{{item.index, here->conf(), std::move(asked)}, here->term(), env_.clock.now() + kRoundFor};
  round.round.told(here->self(), here->state_hash());
  rounds_.emplace(group, std::move(round));
}

void StateCheck::on_told(NodeId from, const std::vector<StateItem>& items) {
  for (const StateItem& item : items) {
    auto it = rounds_.find(item.group);
    if (it == rounds_.end() || it->second.round.index() != item.index || node_of(item.replica) != from)
      continue;
    it->second.round.told(item.replica, item.hash);
    if (judge(item.group, it->second, /*over=*/false)) rounds_.erase(it);
  }
}

void StateCheck::end_rounds() {
  Mono now = env_.clock.now();
  for (auto it = rounds_.begin(); it != rounds_.end();) {
    bool ended = now >= it->second.until && judge(it->first, it->second, /*over=*/true);
    it = ended ? rounds_.erase(it) : std::next(it);
  }
  auto led = [this](GroupId group) {
    replica::Group* here = find(group);
    return here && here->leading();
  };
  std::erase_if(differences_, [&](const auto& d) { return !led(d.first); });
  if (proven_.size() >= clean_proven_at_) {
    std::erase_if(proven_, [&](const auto& p) { return !led(p.first); });
    clean_proven_at_ = 2 * proven_.size() + 64;
  }
}

bool StateCheck::judge(GroupId group, Round& r, bool over) {
  replica::Group* here = find(group);
  if (!here || !here->leading() || here->term() != r.term) return true;
  over = over || r.round.complete();
  bool majority = r.round.right().has_value();
  if (!r.round.differ()) {
    if (!over) return false;
    if (majority) {
      ++stats_.compared;
      proven_[group] = {r.term, r.round.index()};
    }
    if (r.round.complete()) {
      differences_.erase(group);
    } else {
      changed_.insert(group);  // who said nothing, as one that gets its state just now, is asked again
    }
    return true;
  }
  if (!over) return false;  // one that is odd can wait for the others' answers
  ++stats_.differed;
  found(group, *here, r.round);
  if (majority) order(group, *here, r.round);
  return true;
}

void StateCheck::found(GroupId group, const replica::Group& here, const StateRound& round) {
  std::string who, what;
  for (const auto& [replica, hash] : round.answers()) {
    what += (what.empty() ? "" : ", ") + js_.context().cluster->name_of(replica) + " " + hash_text(hash);
  }
  if (round.right()) {
    for (NodeId replica : round.odd())
      who += (who.empty() ? "" : ", ") + js_.context().cluster->name_of(replica);
    who += " differs from a majority and begins anew";
  } else {
    who = "no majority agrees, nothing is done";
  }
  std::string shown =
      "replicas differ at entry " + std::to_string(round.index().v) + " (" + what + "): " + who;
  std::string& before = differences_[group];
  bool known = before.ends_with(who);
  before = shown;
  if (!known)
    env_.log.error(name_of(group) + ", led by " + js_.context().cluster->name_of(here.self()) + ": " + shown);
  changed_.insert(group);  // until it is over
}

void StateCheck::order(GroupId group, const replica::Group& here, const StateRound& round) {
  Items orders;
  for (NodeId replica : round.odd()) {
    StateItem item{group, round.index(), replica, round.answers().at(replica)};
    if (replica == here.self()) {
      begin_anew(group, *find(group), item);
    } else {
      orders[node_of(replica)].push_back(item);
    }
  }
  send(StateSaid::kOdd, orders);
}

// ---- on members --------------------------------------------------------------------------------

void StateCheck::on_ask(NodeId from, const std::vector<StateItem>& items) {
  Items answers;
  for (const StateItem& item : items) {
    replica::Group* here = find(item.group);
    if (!here || here->leading() || here->applied() > item.index) continue;  // the next round will do
    if (here->applied() == item.index) {
      answers[from].push_back({item.group, item.index, here->self(), here->state_hash()});
      continue;
    }
    auto it = waits_.find(item.group);
    bool waits = it != waits_.end() && it->second.leader == from && it->second.replica == here->self();
    if (waits) continue;  // one that is far behind gets there
    here->note_state(item.index);
    waits_[item.group] = {from, here->self(), item.index, env_.clock.now() + kWaitFor};
  }
  send(StateSaid::kTold, answers);
}

void StateCheck::answer_waits() {
  Items answers;
  std::erase_if(waits_, [&](const auto& w) {
    const Wait& wait = w.second;
    replica::Group* here = find(w.first);
    if (!here || here->self() != wait.replica || env_.clock.now() >= wait.until) return true;
    auto noted = here->noted_state();
    if (!noted) return here->applied() > wait.index;  // what came from another replica was beyond it
    answers[wait.leader].push_back({w.first, wait.index, here->self(), *noted});
    return true;
  });
  send(StateSaid::kTold, answers);
}

void StateCheck::on_odd(NodeId from, const std::vector<StateItem>& items) {
  for (const StateItem& item : items) {
    replica::Group* here = find(item.group);
    if (here && here->self() == item.replica && node_of(here->leader()) == from)
      begin_anew(item.group, *here, item);
  }
}

void StateCheck::begin_anew(GroupId group, replica::Group& here, const StateItem& told) {
  if (odd_here_.insert({group, here.self()}).second) {
    ++stats_.given_up;
    env_.log.error(name_of(group) + ": the state of this replica at entry " + std::to_string(told.index.v) +
                   " (" + hash_text(told.hash) + ") is not what a majority has; it begins anew");
  }
  if (group != jetstream::kMetaGroup) {
    // It goes on voting until it is replaced: what is wrong is its state, not its log.
    if (StreamHost* host = js_.find(group)) js_.replica_damaged(*host);
    return;
  }
  if (here.leading()) return js_.hand_over(here);
  here.give_up(Error(Code::kCorrupt,
                     "its state differs from that of a majority at entry " + std::to_string(told.index.v)));
}

// ---- frames and pages --------------------------------------------------------------------------

Status StateCheck::frame(NodeId from, const Bytes& payload) {
  ASSIGN_OR_RETURN(StateFrame frame, decode_state_frame(payload.span()));
  if (frame.scheme != kStateHashScheme) return ok();  // of another version: nothing can be compared
  switch (frame.said) {
    case StateSaid::kAsk: on_ask(from, frame.items); break;
    case StateSaid::kTold: on_told(from, frame.items); break;
    case StateSaid::kOdd: on_odd(from, frame.items); break;
  }
  return ok();
}

std::string StateCheck::difference(GroupId group) const {
  replica::Group* here = find(group);
  if (here && odd_here_.contains({group, here->self()}))
    return "the state of this replica is not what a majority has, it begins anew";
  auto it = differences_.find(group);
  return it == differences_.end() ? std::string() : it->second;
}

RaftIndex StateCheck::proven(GroupId group) const {
  auto it = proven_.find(group);
  replica::Group* here = find(group);
  bool led = it != proven_.end() && here && here->leading() && here->term() == it->second.first;
  return led ? it->second.second : RaftIndex(0);
}

}  // namespace weir::server
