#include "broker/cluster/membership.h"

#include <algorithm>

namespace weir::cluster {

namespace {
const std::string kKey = "n/cluster";  // value: encode_founding_state
constexpr Nanos kSeedPoll = 100 * kMillisecond;
constexpr Nanos kSayEvery = 10 * kSecond;
}  // namespace

Result<FoundingState> Membership::load(const store::Catalog& catalog) {
  auto value = catalog.get(kKey);
  if (!value) return FoundingState{};
  return decode_founding_state(*value);
}

Membership::Membership(env::Env& env, Mesh& mesh, store::Catalog& catalog, Founder self, FoundingState state,
                       Born born)
    : env_(env),
      mesh_(mesh),
      catalog_(catalog),
      self_(self.id),
      founding_(std::move(self), std::move(state), env.random.next()),
      on_born_(std::move(born)),
      told_(founding_.born().has_value()) {}

Membership::~Membership() {
  env_.loop.cancel(timer_);
  env_.loop.cancel(seed_timer_);
}

void Membership::start() {
  if (born()) return;
  said_ = env_.clock.now();
  look_for_seeds();
  arm();
}

void Membership::look_for_seeds() {
  seed_timer_ = 0;
  if (born()) return;
  Mesh::Seeds found = mesh_.seeds();
  FoundingSeeds seeds;
  seeds.unresolved = found.unresolved;
  for (NodeId id : found.known) {
    if (!without_jetstream_.contains(id)) seeds.known.push_back(id);
  }
  seeds.known.push_back(self_);
  std::sort(seeds.known.begin(), seeds.known.end());
  seeds.known.erase(std::unique(seeds.known.begin(), seeds.known.end()), seeds.known.end());
  if (seeds_ != seeds) {
    seeds_ = seeds;
    carry_out(founding_.set_seeds(std::move(seeds)));
  }
  seed_timer_ = env_.loop.at(env_.clock.now() + kSeedPoll, [this] { look_for_seeds(); });
}

void Membership::arm() {
  env_.loop.cancel(timer_);
  timer_ = 0;
  if (born()) return;
  timer_ = env_.loop.at(env_.clock.now() + founding_.delay(), [this] {
    timer_ = 0;
    carry_out(founding_.timer());
    say_waiting();
    arm();
  });
}

void Membership::say_waiting() {
  if (born() || env_.clock.now() - said_ < kSayEvery) return;
  said_ = env_.clock.now();
  env_.log.info("JetStream waits for a cluster: links to " + std::to_string(mesh_.peers().size()) +
                " other nodes, and a majority of those that cluster.routes lead to is needed");
}

void Membership::peer_up(const NodeInfo& peer) {
  if (!peer.jetstream) {
    without_jetstream_.insert(peer.id);
    return;
  }
  carry_out(founding_.peer_up(peer.id));
}

void Membership::peer_down(NodeId peer) {
  if (!without_jetstream_.contains(peer)) founding_.peer_down(peer);
}

void Membership::frame(NodeId from, const Bytes& payload) {
  auto message = decode_founding(payload.span());
  if (!message) return env_.log.warn("founding: message cannot be read: " + message.error().detail);
  if (!without_jetstream_.contains(from)) carry_out(founding_.step(from, *message));
}

void Membership::carry_out(Founding::Output out) {
  if (!out.persist) {
    if (writing_ == 0) return send(out.messages);
    waiting_.back().insert(waiting_.back().end(), out.messages.begin(), out.messages.end());
    return;
  }
  ++writing_;
  waiting_.push_back(std::move(out.messages));
  auto done = [this, alive = std::weak_ptr<int>(alive_)](Status s) {
    if (alive.expired()) return;
    --writing_;
    auto messages = std::move(waiting_.front());
    waiting_.pop_front();
    if (!s) return env_.log.error("founding: its state cannot be written: " + s.error().detail);
    send(messages);
    if (writing_ == 0) tell_born();
  };
  catalog_.commit({{kKey, encode_founding_state(founding_.state())}}, std::move(done));
}

void Membership::send(const std::vector<Founding::Envelope>& messages) {
  for (const auto& m : messages) {
    mesh_.send(m.to, Lane::kRequests, FrameKind::kFounding, encode_founding(m.message));
  }
}

void Membership::tell_born() {
  if (told_ || !born()) return;
  told_ = true;
  env_.loop.cancel(timer_);
  timer_ = 0;
  env_.log.info("cluster " + born()->cluster_id + " is founded by " + std::to_string(born()->members.size()) +
                " nodes");
  on_born_(*born());
}

}  // namespace weir::cluster
