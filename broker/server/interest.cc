#include "broker/server/interest.h"

#include <algorithm>
#include <bit>

#include "broker/base/check.h"
#include "broker/base/limits.h"
#include "broker/cluster/mesh.h"

namespace weir::server {

using cluster::FrameKind;
using cluster::Lane;
using session::RemoteNode;
using session::Subscription;

namespace {
std::size_t half_of(const cluster::MeshTuning& t, Lane lane) {
  return t.lane_bytes_max[static_cast<std::size_t>(lane)] / 2;
}
/// What peers are told of `sub`.
std::string_view queue_of(const Subscription& sub) {
  return sub.everywhere ? kMembersQueue : std::string_view(sub.queue);
}
std::string count_text(std::uint64_t n, const char* what) {
  return std::to_string(n) + " " + what;
}
}  // namespace

Interest::Interest(Log& log, Router& router, std::deque<Account>& accounts, cluster::Mesh& mesh,
                   InterestLimits limits)
    : log_(log),
      router_(router),
      accounts_(accounts),
      mesh_(mesh),
      limits_(limits),
      locals_(accounts.size()) {
  for (Account& a : accounts_) by_name_.emplace(a.name, &a);
  router_.set_peers(this);
}

Interest::~Interest() {
  router_.set_peers(nullptr);
  while (!peers_.empty()) peer_down(peers_.begin()->first);
}

// ---- what is here ----------------------------------------------------------------------------

void Interest::count_all() {
  for (std::size_t i = 0; i < accounts_.size(); ++i) {
    auto count = [&](std::string_view subject, std::string_view queue) {
      Local& l = locals_[i].try_emplace({std::string(subject), std::string(queue)}).first->second;
      l.told = ++l.count;  // by the whole interest that is due
    };
    auto take = [&](std::string_view subject, std::string_view, const Subscription* sub) {
      if (sub->client || sub->told || sub->everywhere) count(subject, queue_of(*sub));
    };
    accounts_[i].sublist.for_each(take);
    if (accounts_[i].acks) count("$JS.ACK.>", kMembersQueue);  // taken without a subscription
  }
}

void Interest::local_changed(const Account& account, const Subscription& sub, bool added) {
  if (peers_.empty() || account.id == kUnconfiguredAccount) return;
  Locals& locals = locals_[account.id.v];
  auto it = locals.find(KeyView(sub.subject, queue_of(sub)));
  if (it == locals.end()) it = locals.try_emplace({sub.subject, std::string(queue_of(sub))}).first;
  Local& l = it->second;
  CHECK(added || l.count > 0, "a subscription that was not counted ends");
  l.count += added ? 1u : ~0u;
  if (l.dirty) return;
  l.dirty = true;
  dirty_.emplace_back(account.id.v, it);
}

std::uint32_t Interest::told_weight(const Key& key, const Local& l) const {
  return key.second.empty() ? std::min(l.told, 1u) : l.told;
}

void Interest::flush() {
  if (!dirty_.empty()) tell_changes();
  for (auto& [id, peer] : peers_) {
    if (peer->whole.due) tell_whole(*peer);
  }
}

void Interest::tell_changes() {
  InterestWriter all, outside;
  for (auto& [account, it] : std::exchange(dirty_, {})) {
    bool members = it->first.second == kMembersQueue;
    InterestWriter& out = members ? outside : all;
    Local& l = it->second;
    l.dirty = false;
    std::uint32_t before = told_weight(it->first, l);
    l.told = l.count;
    std::uint32_t weight = told_weight(it->first, l);
    if (weight != before) out.add({accounts_[account].name, it->first.first, it->first.second, weight});
    if (l.count == 0) locals_[account].erase(it);
    if (out.full()) tell_all(out.finish(), members);
  }
  if (!all.empty()) tell_all(all.finish(), false);
  if (!outside.empty()) tell_all(outside.finish(), true);
}

void Interest::tell_all(Bytes frame, bool outside) {
  for (auto& [id, peer] : peers_) {
    if (outside && peer->jetstream) continue;
    // No room: it gets everything again when there is some.
    if (!mesh_.send(id, Lane::kInterest, FrameKind::kInterest, frame)) peer->whole = Whole{};
  }
}

bool Interest::fill_whole(Peer& peer, InterestWriter& out) const {
  Whole& whole = peer.whole;
  for (; whole.account < locals_.size(); ++whole.account, whole.last.reset()) {
    const Locals& locals = locals_[whole.account];
    auto it = whole.last ? locals.upper_bound(*whole.last) : locals.begin();
    for (; it != locals.end(); ++it) {
      if (out.full()) return false;
      const auto& [key, local] = *it;
      bool hidden = peer.jetstream && key.second == kMembersQueue;
      if (local.told && !hidden) {
        out.add({accounts_[whole.account].name, key.first, key.second, told_weight(key, local)});
      }
      whole.last = key;
    }
  }
  return true;
}

void Interest::tell_whole(Peer& peer) {
  std::size_t room = half_of(limits_.mesh, Lane::kInterest);
  while (peer.whole.due) {
    if (mesh_.lane_bytes(peer.id, Lane::kInterest) > room) return;  // goes on when some of it has left
    InterestWriter out;
    bool end = fill_whole(peer, out);
    if (!mesh_.send(peer.id, Lane::kInterest, FrameKind::kInterest, out.finish(!peer.whole.begun, end))) {
      peer.whole = Whole{};
      return;
    }
    peer.whole.begun = true;
    peer.whole.due = !end;
  }
}

// ---- peers -----------------------------------------------------------------------------------

void Interest::peer_up(const cluster::NodeInfo& info) {
  NodeId id = cluster::node_of(info.id);
  peer_down(id);  // a link that came twice starts anew
  if (peers_.empty()) count_all();
  auto peer = std::make_unique<Peer>();
  peer->id = id;
  peer->name = info.name;
  peer->jetstream = info.jetstream;
  peers_.emplace(id, std::move(peer));
}

void Interest::peer_down(NodeId node) {
  auto it = peers_.find(cluster::node_of(node));
  if (it == peers_.end()) return;
  Remotes& remotes = it->second->remotes;
  while (!remotes.empty()) drop(remotes, remotes.begin());
  peers_.erase(it);
  if (!peers_.empty()) return;
  dirty_.clear();
  for (Locals& l : locals_) l.clear();
}

void Interest::frame(NodeId from, FrameKind kind, const Bytes& payload) {
  auto it = peers_.find(cluster::node_of(from));
  if (it == peers_.end()) return;
  if (kind == FrameKind::kInterest) on_interest(*it->second, payload);
  if (kind == FrameKind::kMessage) on_message(*it->second, payload);
}

void Interest::bad_frame(Peer& peer, const char* kind, const Error& why) {
  ++stats_.bad_frames;
  if (!std::has_single_bit(++peer.bad_frames)) return;
  log_.warn("peer " + peer.name + " sent " + kind + " that cannot be: " + why.to_string() + " (" +
            count_text(peer.bad_frames, "on this link)"));
}

Account* Interest::find(Peer& peer, std::string_view account) {
  auto it = by_name_.find(account);
  if (it != by_name_.end()) return it->second;
  constexpr std::size_t kNamesKept = 64;
  if (peer.unknown_accounts.size() < kNamesKept && peer.unknown_accounts.emplace(account).second) {
    log_.warn("peer " + peer.name + " has an account \"" + std::string(account) +
              "\" that is not configured here: its messages do not cross");
  }
  return nullptr;
}

void Interest::on_interest(Peer& peer, const Bytes& payload) {
  auto decoded = decode_interest(payload.span());
  if (!decoded) return bad_frame(peer, "interest", decoded.error());
  if (decoded->begin) ++peer.round;
  std::string_view named;
  Account* account = nullptr;
  for (const InterestChange& c : decoded->changes) {
    if (c.account != named) account = find(peer, named = c.account);
    if (account) apply(peer, *account, c);
  }
  if (!decoded->end) return;
  for (auto it = peer.remotes.begin(); it != peer.remotes.end();) {
    auto here = it++;
    if ((*here)->round != peer.round) drop(peer.remotes, here);  // gone while nothing could be told
  }
}

void Interest::apply(Peer& peer, Account& account, const InterestChange& c) {
  auto it = peer.remotes.find(RemoteView(account.id.v, c.subject, c.queue));
  if (c.weight == 0) {
    if (it != peer.remotes.end()) drop(peer.remotes, it);
    return;
  }
  if (it != peer.remotes.end()) {
    (*it)->sub.weight = c.weight;
    (*it)->round = peer.round;
    return;
  }
  if (peer.remotes.size() >= limits_.subscriptions_max) {
    if (std::has_single_bit(++peer.over_limit)) {
      log_.error("peer " + peer.name + " has more than " + std::to_string(limits_.subscriptions_max) +
                 " subscriptions: " + count_text(peer.over_limit, "get no messages from this node"));
    }
    return;
  }
  auto remote = std::make_unique<Remote>();
  remote->account = &account;
  remote->round = peer.round;
  remote->sub.subject = c.subject;
  remote->sub.queue = c.queue;
  remote->sub.remote = &peer;
  remote->sub.weight = c.weight;
  router_.add(account, remote->sub);
  peer.remotes.insert(std::move(remote));
}

void Interest::drop(Remotes& from, Remotes::iterator it) {
  router_.remove(*(*it)->account, (*it)->sub);
  from.erase(it);
}

const Interest::Peer* Interest::peer(NodeId id) const {
  auto it = peers_.find(cluster::node_of(id));
  return it == peers_.end() ? nullptr : it->second.get();
}

std::size_t Interest::subscriptions(NodeId id) const {
  const Peer* p = peer(id);
  return p ? p->remotes.size() : 0;
}

std::vector<std::string> Interest::subjects(NodeId id) const {
  std::vector<std::string> out;
  if (const Peer* p = peer(id)) {
    for (const auto& r : p->remotes) out.push_back(r->sub.subject);
  }
  return out;
}

// ---- messages --------------------------------------------------------------------------------

bool Interest::forward(const Account& account, std::string_view target, const session::Inbound& m,
                       std::span<RemoteNode* const> to) {
  bool small = m.body.size() <= limits::kCopyPayloadBytesMax;
  Bytes body;
  if (!small) body = m.shared ? *m.shared : Bytes::copy_of(m.body);
  bool crowds = false;
  for (RemoteNode* node : to) {
    auto& peer = static_cast<Peer&>(*node);
    MessageFrame f;
    f.account = account.name;
    f.target = target;
    f.subject = m.subject;
    f.reply = m.reply;
    f.plain = node->plain;
    f.queues.swap(node->queues);
    f.header_size = m.header_size;
    BytesBuilder head(64 + target.size() + m.subject.size() + m.reply.size() + (small ? m.body.size() : 0));
    encode_message_head(head, f);
    f.queues.swap(node->queues);
    if (small) head.append(m.body);
    std::vector<Bytes> payload;
    payload.push_back(head.freeze());
    if (!small) payload.push_back(body);
    if (mesh_.send(peer.id, Lane::kMessages, FrameKind::kMessage, std::move(payload))) {
      ++stats_.sent;
      stats_.sent_bytes += m.body.size();
    } else {
      ++stats_.lost;
      if (std::has_single_bit(++peer.lost)) {
        log_.warn("peer " + peer.name +
                  " does not keep up: " + count_text(peer.lost, "messages to it were lost on this link"));
      }
    }
    crowds |= crowded(peer.id);
  }
  return crowds;
}

bool Interest::crowded(NodeId peer) const {
  return mesh_.lane_bytes(peer, Lane::kMessages) > half_of(limits_.mesh, Lane::kMessages);
}

bool Interest::crowded() const {
  for (const auto& [id, peer] : peers_) {
    if (crowded(id)) return true;
  }
  return false;
}

void Interest::on_message(Peer& peer, const Bytes& payload) {
  auto decoded = decode_message(payload.span());
  if (!decoded) return bad_frame(peer, "a message", decoded.error());
  const MessageFrame& f = *decoded;
  Account* account = find(peer, f.account);
  if (!account) return;
  ++stats_.received;
  stats_.received_bytes += f.body.size();
  Bytes body = payload.sub_of(f.body);
  Arrival a;
  a.target = f.target;
  a.message = {f.subject, f.reply, f.body, f.header_size, &body, nullptr};
  a.plain = f.plain;
  a.queues = f.queues;
  a.everywhere = std::find(f.queues.begin(), f.queues.end(), kMembersQueue) != f.queues.end();
  router_.arrived(*account, a);
}

}  // namespace weir::server
