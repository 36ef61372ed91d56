#include "broker/server/router.h"

#include <algorithm>
#include <functional>

#include "broker/base/check.h"
#include "broker/proto/ack_subject.h"
#include "broker/proto/headers.h"
#include "broker/subject/subject.h"

namespace weir::server {

using session::Inbound;
using session::RemoteNode;
using session::Subscription;
using Matches = subject::Sublist<Subscription*>::Match;

namespace {
bool watches_acks(const Subscription& sub) {
  return (sub.client || sub.remote) && subject::overlaps(sub.subject, "$JS.ACK.>");
}
/// Other nodes know of it: what they send may go to it.
bool is_told(const Subscription& sub) {
  return sub.client || sub.told;
}
}  // namespace

void Router::add(Account& account, Subscription& sub) {
  CHECK(!walking_, "subscriptions change while a match is walked");
  auto entry = account.sublist.insert(sub.subject, sub.queue, &sub);
  if (!entry) return;  // too many: the subscription exists and hears nothing, see limits.h
  sub.entry = *entry;
  if (watches_acks(sub)) ++account.ack_watchers;
  if (sub.remote) ++account.remotes;
  if (peers_ && (is_told(sub) || sub.everywhere)) peers_->local_changed(account, sub, true);
  tell_watchers(account, sub.subject);
}

void Router::remove(Account& account, Subscription& sub) {
  CHECK(!walking_, "subscriptions change while a match is walked");
  if (sub.entry == subject::kNoEntry) return;
  account.sublist.remove(sub.entry);
  sub.entry = subject::kNoEntry;
  if (watches_acks(sub)) --account.ack_watchers;
  if (sub.remote) --account.remotes;
  if (peers_ && (is_told(sub) || sub.everywhere)) peers_->local_changed(account, sub, false);
  tell_watchers(account, sub.subject);
}

void Router::tell_watchers(Account& account, std::string_view pattern) {
  if (account.watchers.empty()) return;
  std::size_t wild = pattern.find_first_of("*>");
  std::string_view start = pattern.substr(0, wild);
  auto it = account.watchers.lower_bound(start);
  for (; it != account.watchers.end() && std::string_view(it->first).starts_with(start); ++it) {
    if (subject::matches(pattern, it->first)) it->second->interest_changed();
  }
}

bool Router::hand_over(Subscription& sub, const Inbound& m, Account& account) {
  if (sub.listener) {
    if (target_.empty()) {
      sub.listener->on_message(m);
    } else {
      // A stream that listens on a deliver subject stores what comes under that subject.
      Inbound arrived = m;
      arrived.subject = target_;
      sub.listener->on_message(arrived);
    }
    return true;
  }
  if (!sub.client->deliver(sub, m)) return false;
  account.stats.out_msgs += 1;
  account.stats.out_bytes += m.body.size();
  return true;
}

std::size_t Router::walk(const Matches& found, const Inbound& m, Account& account) {
  if (account.remotes != 0) return walk_cluster(found, m, account);
  std::size_t taken = 0;
  for (Subscription* sub : found.plain) taken += hand_over(*sub, m, account);
  for (const auto& group : found.groups) {
    std::size_t n = group.members.size();
    std::size_t start = n > 1 ? static_cast<std::size_t>(prng_.below(n)) : 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (!hand_over(*group.members[(start + i) % n], m, account)) continue;
      ++taken;
      break;
    }
  }
  return taken;
}

RemoteNode& Router::choose(RemoteNode& node) {
  if (!node.chosen) {
    node.chosen = true;
    chosen_.push_back(&node);
  }
  return node;
}

bool Router::serve_here(const Group& group, const Inbound& m, Account& account, bool from_peer) {
  members_.clear();
  for (Subscription* sub : group.members) {
    if (!sub->remote && (!from_peer || is_told(*sub))) members_.push_back(sub);
  }
  std::size_t n = members_.size();
  std::size_t start = n > 1 ? static_cast<std::size_t>(prng_.below(n)) : 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (hand_over(*members_[(start + i) % n], m, account)) return true;
  }
  return false;
}

// Always the same member, or what a client publishes could overtake itself.
RemoteNode* Router::pick_member(const Group& group) {
  RemoteNode* best = nullptr;
  std::uint64_t rank = 0;
  for (const Subscription* sub : group.members) {
    std::uint64_t its = Prng(salt_ ^ sub->remote->id.v).next();
    if (best && its <= rank) continue;
    best = sub->remote;
    rank = its;
  }
  return best;
}

std::uint64_t Router::members_away(const Group& group) {
  std::uint64_t members = 0;
  for (const Subscription* sub : group.members) members += sub->remote ? sub->weight : 0;
  return members;
}

RemoteNode* Router::pick_node(const Group& group, std::uint64_t away) {
  if (group.name == kMembersQueue) return pick_member(group);
  if (away == 0) return nullptr;
  std::uint64_t at = prng_.below(away);
  for (const Subscription* sub : group.members) {
    if (!sub->remote) continue;
    if (at < sub->weight) return sub->remote;
    at -= sub->weight;
  }
  return nullptr;
}

// Every member has the same share, wherever it is: workers of one service are spread over the nodes, and a
// publisher has one of these. Who does not take it leaves it to the others.
bool Router::serve_group(const Group& group, const Inbound& m, Account& account) {
  std::uint64_t away = members_away(group);
  bool ours = away == 0 || group.name == kMembersQueue;
  if (!ours) {
    auto remote = [](const Subscription* sub) { return sub->remote != nullptr; };
    auto here = std::count_if(group.members.begin(), group.members.end(), std::not_fn(remote));
    ours = prng_.below(away + static_cast<std::uint64_t>(here)) >= away;
  }
  if (ours && serve_here(group, m, account, false)) return true;
  RemoteNode* node = pick_node(group, away);
  if (node) choose(*node).queues.push_back(group.name);
  return node != nullptr;
}

std::size_t Router::walk_cluster(const Matches& found, const Inbound& m, Account& account) {
  std::size_t taken = 0;
  for (Subscription* sub : found.plain) {
    if (sub->remote) {
      choose(*sub->remote).plain = true;
    } else {
      taken += hand_over(*sub, m, account);
    }
  }
  taken += chosen_.size();
  for (const auto& group : found.groups) taken += serve_group(group, m, account);
  if (chosen_.empty()) return taken;
  if (peers_ && peers_->forward(account, target_.empty() ? m.subject : target_, m, chosen_)) crowded_ = true;
  for (RemoteNode* node : chosen_) {
    node->chosen = node->plain = false;
    node->queues.clear();
  }
  chosen_.clear();
  return taken;
}

std::size_t Router::walk_arrival(const Matches& found, const Arrival& a, Account& account) {
  std::size_t taken = 0;
  if (a.plain) {
    for (Subscription* sub : found.plain) {
      if (is_told(*sub)) taken += hand_over(*sub, a.message, account);
    }
  }
  if (a.everywhere) {
    for (Subscription* sub : found.plain) {
      if (sub->everywhere) taken += hand_over(*sub, a.message, account);
    }
  }
  for (const auto& group : found.groups) {
    if (std::find(a.queues.begin(), a.queues.end(), group.name) == a.queues.end()) continue;
    taken += serve_here(group, a.message, account, true);
  }
  return taken;
}

std::size_t Router::arrived(Account& account, const Arrival& a) {
  CHECK(!walking_, "arrived() is not re-entered");
  walking_ = true;
  if (a.target != a.message.subject) target_ = a.target;
  std::size_t taken = 0;
  if (!a.target.starts_with(proto::kAckPrefix)) {
    taken = walk_arrival(account.sublist.match(a.target), a, account);
  } else {
    if (a.everywhere && account.acks) account.acks->on_message(a.message);
    Matches found;  // such subjects are used once
    account.sublist.match_uncached(a.target, found);
    taken = walk_arrival(found, a, account);
  }
  target_ = {};
  walking_ = false;
  if (!exhausted_.empty()) reap();
  return taken;
}

std::size_t Router::route(Account& account, const Inbound& m) {
  CHECK(!walking_, "route() is not re-entered");
  walking_ = true;
  if (m.origin) {
    account.stats.in_msgs += 1;
    account.stats.in_bytes += m.body.size();
  }
  std::size_t taken = 0;
  bool is_ack = m.subject.starts_with(proto::kAckPrefix);
  if (is_ack && account.acks) {
    account.acks->on_message(m);
    ++taken;
  }
  if (!is_ack) {
    taken += walk(account.sublist.match(m.subject), m, account);
  } else if (account.ack_watchers > 0) {
    Matches found;
    account.sublist.match_uncached(m.subject, found);
    taken += walk(found, m, account);
  }
  walking_ = false;
  if (!exhausted_.empty()) reap();
  if (taken == 0 && m.origin && !m.reply.empty() && m.origin->no_responders()) no_responders(account, m);
  return taken;
}

std::size_t Router::deliver(Account& account, std::string_view target, const Inbound& m) {
  CHECK(!walking_, "deliver() is not re-entered");
  walking_ = true;
  target_ = target;
  std::size_t taken = walk(account.sublist.match(target), m, account);
  target_ = {};
  walking_ = false;
  if (!exhausted_.empty()) reap();
  return taken;
}

void Router::no_responders(Account& account, const Inbound& m) {
  // Only the asker hears of it: other listeners of the reply subject did not ask.
  proto::HeaderBuilder h(503);
  h.add("Nats-Subject", m.subject);
  std::string block = h.take();
  Matches found;
  account.sublist.match_uncached(m.reply, found);
  Inbound answer{m.reply, {}, block, block.size(), nullptr, nullptr};
  auto tell = [&](Subscription* sub) {
    return sub->client == m.origin && sub->client->deliver(*sub, answer);
  };
  for (Subscription* sub : found.plain) {
    if (tell(sub)) return reap();
  }
  for (const auto& group : found.groups) {
    for (Subscription* sub : group.members) {
      if (tell(sub)) return reap();
    }
  }
}

std::size_t Router::send(Account& account, std::string_view subject, std::string_view reply,
                         std::string_view body, std::size_t header_size) {
  return route(account, Inbound{subject, reply, body, header_size, nullptr, nullptr});
}

std::size_t Router::send(Account& account, std::string_view subject, std::string_view reply,
                         const Bytes& body, std::size_t header_size) {
  return route(account, Inbound{subject, reply, body.text(), header_size, &body, nullptr});
}

bool Router::has_queue_interest(const Account& account, std::string_view subject, std::string_view queue) {
  Matches found;
  account.sublist.match_uncached(subject, found);
  for (const auto& group : found.groups) {
    if (group.name == queue) return true;
  }
  return false;
}

void Router::reap() {
  for (Subscription* sub : std::exchange(exhausted_, {})) sub->client->remove(*sub);
}

}  // namespace weir::server
