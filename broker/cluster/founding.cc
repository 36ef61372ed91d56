#include "broker/cluster/founding.h"

#include <algorithm>
#include <utility>

#include "broker/base/text.h"

namespace weir::cluster {
namespace {

constexpr Nanos kDelay = 200 * kMillisecond;
constexpr unsigned kBackOffMax = 4;  // doublings
// A lone node would found another cluster whenever it comes back with an empty disk and names only itself.
constexpr std::size_t kFoundersMin = 2;

bool holds(const std::vector<NodeId>& sorted, NodeId node) {
  return std::binary_search(sorted.begin(), sorted.end(), node);
}

}  // namespace

bool FoundingRecord::has(NodeId node) const {
  return std::any_of(members.begin(), members.end(), [&](const Founder& f) { return f.id == node_of(node); });
}

Founding::Founding(Founder self, FoundingState durable, std::uint64_t seed)
    : self_(std::move(self)), state_(std::move(durable)), prng_(seed), highest_(state_.promised.round) {}

Founding::Output Founding::set_seeds(FoundingSeeds seeds) {
  Output out;
  if (seeds_ == seeds) return out;
  seeds_ = std::move(seeds);
  if (!state_.born) to_peers(out, make(FoundingType::kHello));
  return out;
}

Founding::Output Founding::peer_up(NodeId peer) {
  Output out;
  peers_[peer] = std::nullopt;
  if (!state_.born && seeds_) out.messages.push_back({peer, make(FoundingType::kHello)});
  return out;
}

void Founding::peer_down(NodeId peer) {
  peers_.erase(peer);
}

Founding::Output Founding::step(NodeId from, const FoundingMessage& m) {
  if (m.type == FoundingType::kLearn) return m.value ? learn(*m.value, from) : Output();
  bool request =
      m.type == FoundingType::kHello || m.type == FoundingType::kPrepare || m.type == FoundingType::kAccept;
  if (state_.born) {
    Output out;
    if (request) out.messages.push_back({from, make(FoundingType::kLearn)});
    return out;
  }
  // Who does not count itself is not understood.
  if (!seeds_ || !holds(m.seeds.known, from)) return {};
  if (auto peer = peers_.find(from); peer != peers_.end()) peer->second = m.seeds;
  highest_ = std::max({highest_, m.ballot.round, m.accepted.round});
  switch (m.type) {
    case FoundingType::kPrepare: return on_prepare(from, m);
    case FoundingType::kAccept: return on_accept(from, m);
    case FoundingType::kPromise: return on_promise(from, m);
    case FoundingType::kAccepted: return on_accepted(from, m);
    case FoundingType::kRefuse:
      if (phase_ != Phase::kIdle && m.ballot == ballot_) {
        phase_ = Phase::kIdle;
        others_active_ = true;
        ++failures_;
      }
      return {};
    default: return {};
  }
}

Founding::Output Founding::on_prepare(NodeId from, const FoundingMessage& m) {
  Output out;
  if (m.ballot.node != from) return out;
  FoundingMessage answer = make(FoundingType::kPromise);
  answer.ballot = m.ballot;
  if (m.ballot < state_.promised) {
    answer.type = FoundingType::kRefuse;
    answer.accepted = state_.promised;
  } else {
    out.persist = m.ballot > state_.promised;
    state_.promised = m.ballot;
    answer.accepted = state_.accepted;
    answer.value = state_.value;
    phase_ = Phase::kIdle;  // its own round, if any, has a lower ballot
    others_active_ = true;
  }
  out.messages.push_back({from, std::move(answer)});
  return out;
}

Founding::Output Founding::on_accept(NodeId from, const FoundingMessage& m) {
  Output out;
  if (m.ballot.node != from || !m.value) return out;
  // One ballot, one value. Who says otherwise may have been believed already: no answer is right.
  if (m.ballot == state_.accepted && m.value != state_.value) return out;
  FoundingMessage answer = make(FoundingType::kAccepted);
  answer.ballot = m.ballot;
  if (m.ballot < state_.promised) {
    answer.type = FoundingType::kRefuse;
    answer.accepted = state_.promised;
  } else {
    out.persist = m.ballot > state_.accepted || m.ballot > state_.promised;
    state_.promised = state_.accepted = m.ballot;
    state_.value = m.value;
    phase_ = Phase::kIdle;
    others_active_ = true;
  }
  out.messages.push_back({from, std::move(answer)});
  return out;
}

Founding::Output Founding::on_promise(NodeId from, const FoundingMessage& m) {
  if (phase_ != Phase::kPrepare || m.ballot != ballot_) return {};
  answers_[from] = {m.name, m.seeds};
  if (m.value && m.accepted > best_) {
    best_ = m.accepted;
    value_ = *m.value;
  }
  // With a value to be finished there is nobody to wait for.
  bool ready = quorum(answers_) && (best_.round > 0 || all_answered());
  return ready ? propose() : Output();
}

Founding::Output Founding::on_accepted(NodeId from, const FoundingMessage& m) {
  if (phase_ != Phase::kAccept || m.ballot != ballot_) return {};
  answers_[from] = {m.name, m.seeds};
  return quorum(answers_) ? learn(value_, NodeId(0)) : Output();
}

// `from` 0: this node saw that it was chosen, and tells everybody.
Founding::Output Founding::learn(const FoundingRecord& record, NodeId from) {
  Output out;
  if (state_.born) return out;
  state_.born = record;
  out.persist = true;
  phase_ = Phase::kIdle;
  if (from.v == 0) to_peers(out, make(FoundingType::kLearn));
  return out;
}

Founding::Output Founding::timer() {
  if (state_.born || !seeds_) return {};
  if (phase_ == Phase::kPrepare && quorum(answers_)) return propose();
  if (phase_ != Phase::kIdle) ++failures_;
  bool give_way = std::exchange(others_active_, false) && phase_ == Phase::kIdle;
  phase_ = Phase::kIdle;
  if (!give_way && hopeful()) return begin_round();
  Output out;
  to_peers(out, make(FoundingType::kHello));
  return out;
}

Nanos Founding::delay() {
  Nanos most = kDelay << std::min(failures_, kBackOffMax);
  return most / 2 + static_cast<Nanos>(prng_.below(static_cast<std::uint64_t>(most)));
}

Founding::Output Founding::begin_round() {
  Output out;
  ballot_ = {++highest_, self_.id};
  phase_ = Phase::kPrepare;
  // The own promise makes the ballot one that no later life of this node uses again.
  state_.promised = ballot_;
  out.persist = true;
  answers_.clear();
  answers_[self_.id] = {self_.name, *seeds_};
  best_ = state_.accepted;
  if (state_.value) value_ = *state_.value;
  FoundingMessage m = make(FoundingType::kPrepare);
  m.ballot = ballot_;
  to_peers(out, m);
  return out;
}

Founding::Output Founding::propose() {
  if (best_.round == 0) value_ = fresh_record();
  phase_ = Phase::kAccept;
  state_.accepted = ballot_;
  state_.value = value_;
  answers_.clear();
  answers_[self_.id] = {self_.name, *seeds_};
  Output out;
  out.persist = true;
  FoundingMessage m = make(FoundingType::kAccept);
  m.ballot = ballot_;
  m.value = value_;
  to_peers(out, m);
  return out;
}

bool Founding::quorum(const std::map<NodeId, Answer>& answers) const {
  if (answers.size() < kFoundersMin) return false;
  auto majority = [&](const auto& known, std::uint64_t unresolved) {
    std::uint64_t there = 0;
    for (NodeId node : known) there += answers.count(node);
    // Without adding: an unresolved count may be anything.
    std::uint64_t others = known.size() - there;
    return there > others && there - others > unresolved;
  };
  std::set<NodeId> all;
  std::uint64_t strangers = 0;
  auto add = [&](const FoundingSeeds& seeds) {
    all.insert(seeds.known.begin(), seeds.known.end());
    strangers = std::max(strangers, seeds.unresolved);
  };
  for (const auto& [node, answer] : answers) {
    if (!majority(answer.seeds.known, answer.seeds.unresolved)) return false;
    add(answer.seeds);
  }
  if (!majority(seeds_->known, seeds_->unresolved)) return false;
  add(*seeds_);
  for (const auto& [node, seeds] : peers_)
    if (seeds) add(*seeds);
  return majority(all, strangers);
}

bool Founding::hopeful() const {
  if (peers_.empty()) return false;
  std::uint64_t there = 0;
  for (NodeId node : seeds_->known) there += node == self_.id ? 1 : peers_.count(node);
  std::uint64_t others = seeds_->known.size() - there;
  return there > others && there - others > seeds_->unresolved;
}

bool Founding::all_answered() const {
  return std::all_of(peers_.begin(), peers_.end(),
                     [&](const auto& peer) { return answers_.count(peer.first) > 0; });
}

FoundingRecord Founding::fresh_record() {
  FoundingRecord record;
  record.cluster_id = make_nuid(prng_);
  for (const auto& [node, answer] : answers_) {
    if (record.members.size() < kFoundersMax) record.members.push_back({node, answer.name});
  }
  return record;
}

FoundingMessage Founding::make(FoundingType type) const {
  FoundingMessage m;
  m.type = type;
  m.name = self_.name;
  if (seeds_) m.seeds = *seeds_;
  if (type == FoundingType::kLearn) m.value = state_.born;
  return m;
}

void Founding::to_peers(Output& out, const FoundingMessage& message) const {
  for (const auto& [peer, seeds] : peers_) out.messages.push_back({peer, message});
}

}  // namespace weir::cluster
