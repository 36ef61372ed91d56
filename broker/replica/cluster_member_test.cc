// One simulated node of group_cluster_test.cc.
#include <algorithm>
#include <cstdlib>

#include "broker/raft/confchange.h"
#include "broker/replica/testing/cluster_world.h"
#include "broker/store/journal_format.h"

namespace weir::replica::testing {

namespace {
constexpr GroupId kGroup{7};

std::uint64_t mix(std::uint64_t h, std::uint64_t v) {
  h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
  return h * 0xff51afd7ed558ccdu;
}

std::uint64_t hash_of(RaftIndex index, Term term, const Bytes& payload) {
  std::uint64_t h = mix(mix(1, index.v), term.v);
  for (std::uint8_t c : payload.span()) h = mix(h, c);
  return h;
}

/// A frame that the journal's promise covers (docs/formats/journal.md).
struct FrameAt {
  std::string file;
  std::uint64_t offset, number, length;
};

std::vector<FrameAt> promised_frames(const env::testing::SimDisk& disk) {
  std::vector<FrameAt> out;
  std::uint64_t promise = 0;
  for (const std::string& path : disk.files()) {
    std::string bytes = disk.content(path).value_or("");
    auto file = store::decode_file_header(as_span(bytes));
    for (std::size_t at = store::kJournalBlock; file && at < bytes.size(); at += store::kJournalBlock) {
      auto h = store::decode_frame_header(as_span(std::string_view(bytes).substr(at)), bytes.size() - at);
      if (!h || h->salt != file->salt || h->use != file->use) continue;
      out.push_back({path, at, h->number, h->length});
      promise = std::max(promise, h->synced_through);
    }
  }
  std::erase_if(out, [&](const FrameAt& f) { return f.number > promise; });
  std::sort(out.begin(), out.end(), [](const FrameAt& a, const FrameAt& b) { return a.number < b.number; });
  return out;
}
}  // namespace

Member::Member(ClusterWorld& world, unsigned number, std::uint64_t seed)
    : world_(world),
      time_(world.time_),
      number_(number),
      node_(NodeId((std::uint64_t{number} + 1) << kIncarnationBits)),
      prng_(seed),
      loop_(time_),
      disk_(loop_, loop_, prng_.next()),
      random_(prng_.next()),
      transport_(loop_),
      env_{loop_, loop_, disk_, transport_, random_, process_, log_} {
  tuning_.tick = 20 * kMillisecond;
  tuning_.hibernate_ticks = world.plan_.sleep ? 8 : 0;
  tuning_.memory_bytes_max = prng_.chance(1, 2) ? 400 : 1u << 20;
  if (world.plan_.drift) loop_.set_rate(static_cast<Nanos>(prng_.between(900, 1100)));
  if (prng_.chance(1, 4)) {  // a slow disk: what others commit is applied before it is durable here
    env::testing::SimDiskOptions slow;
    slow.sync_ns_min = 2 * kMillisecond;
    slow.sync_ns_max = 40 * kMillisecond;
    disk_.set_options(slow);
  }
  journal_options_.file_bytes = 32 * 1024;
  journal_options_.files_max = 12;
  back_at_ = time_.now();
  if (number_ < world.plan_.founders) replica_ = node_;
}

Member::~Member() {
  group_.reset();
  journal_.reset();
  host_.reset();
  loop_.forget_all();
}

void Member::say(const std::string& what) {
  world_.say(name() + " " + what);
}

void Member::outside_of_run(const char* what) {
  if (!running_) world_.fail(std::string(what) + " outside of Host::run()");
}

std::string Member::describe() const {
  if (!host_) return "down";
  if (!group_ || !group_->core()) return "no group";
  raft::View v = group_->core()->view();
  std::string s = "replica " + std::to_string(incarnation_of(replica_)) + " role " +
                  std::to_string(static_cast<int>(v.role)) + " term " + std::to_string(v.term.v) +
                  " leader " + std::to_string(v.leader.v >> kIncarnationBits) + "." +
                  std::to_string(incarnation_of(v.leader)) + " base " + std::to_string(v.base.index.v) +
                  " last " + std::to_string(v.last.index.v) + "/" + std::to_string(v.last.term.v) +
                  " stable " + std::to_string(v.stable.v) + " commit " + std::to_string(v.commit.v) +
                  " applied " + std::to_string(v.applied.v) + " faults " + std::to_string(v.faults) +
                  (v.head_unknown ? " head unknown" : "") + (v.asleep ? " asleep" : "") +
                  (fetching_ ? " fetching" : "") + (journal_ && journal_->full() ? " full" : "");
  auto list = [&](const char* what, const std::vector<NodeId>& ids) {
    s += what;
    for (NodeId id : ids)
      s += " " + std::to_string(id.v >> kIncarnationBits) + "." + std::to_string(incarnation_of(id));
  };
  list(" voters", group_->conf().voters);
  list(" out", group_->conf().outgoing);
  list(" learners", group_->conf().learners);
  return s;
}

// ---- life and death --------------------------------------------------------------------------

void Member::start() {
  ++life_;
  cut_off_ = dying_ = false;
  host_ = std::make_unique<Host>(env_, this, tuning_);
  if (replica_.v == 0) replica_ = world_.wished(node_);
  say("starts, life " + std::to_string(life_) + ", replica " + std::to_string(incarnation_of(replica_)));
  if (replica_.v != 0) create();
  if (prng_.chance(1, 6) && world_.plan_.crashes && !world_.quiet_) {
    power_fails_at(prng_.between(1, 30), static_cast<Nanos>(prng_.between(1, 300)) * kMillisecond);
  }
  open_journal();
}

void Member::create() {
  group_ = std::make_unique<Group>(kGroup, *host_, *this);
  hash_ = 0;
  applied_ = RaftIndex(0);
  conf_ = {};
  proposed_.clear();
  reads_.clear();
  invariants_.emplace();
  ++fetch_;
  ++commits_;
  fetching_ = false;
  committing_.reset();
  bool founder = incarnation_of(replica_) == 0;
  if (saved_ && saved_->position.self == replica_) {
    group_->restore(saved_->position);
    say("state of " + std::to_string(saved_->position.at.index.v) +
        (saved_->position.installed ? ", installed" : ""));
    hash_ = saved_->hash;
    applied_ = saved_->position.at.index;
    conf_ = saved_->position.conf;
  } else if (founder) {
    group_->found(replica_, world_.founders_);
    conf_.voters = world_.founders_;
  } else {
    group_->join(replica_, saved_ ? saved_->position.generation + 1 : 0);
  }
}

void Member::open_journal() {
  if (world_.plan_.memory) {
    loop_.set_end_of_turn([this] { turn(); });
    if (group_) begin();
    return;
  }
  auto opened = store::Journal::open(
      env_, "j", journal_options_,
      [this](const store::JournalRecord& r) {
        say("record " + std::to_string(static_cast<int>(r.kind)) + " @" + std::to_string(r.index.v) + "/" +
            std::to_string(r.term.v));
        if (group_ && r.group == kGroup && !group_->replay(r) && !group_->needs_new_id()) {
          world_.fail(name() + " replay: " + group_->why_stopped()->detail);
        }
      },
      [this](const store::JournalFault& f) {
        say("fault of " + std::to_string(f.group.v) + ": " + std::to_string(f.from.v) + "-" +
            std::to_string(f.to.v) + " term " + std::to_string(f.term.v) + (f.vote_lost ? " vote" : "") +
            (f.open_end ? " end" : ""));
        if (group_ && (f.group == kGroup || f.group.v == 0)) group_->damaged(f);
      });
  if (!opened) {
    if (!disk_.frozen()) world_.fail("journal: " + opened.error().detail);
    return;
  }
  journal_ = std::move(*opened);
  loop_.set_end_of_turn([this] { turn(); });
  journal_->drain([this](Status s) {
    if (s && group_ && !group_->started()) begin();
    drained_ = true;
  });
}

void Member::begin() {
  group_->start(journal_.get());
  if (saved_ && saved_->position.self == replica_) group_->release_restored();
}

/// What it promised is lost: it comes back as somebody else.
void Member::renew() {
  ++world_.counts.renewed;
  world_.hurt_.insert(node_);
  NodeId old = replica_;
  group_.reset();
  replica_ = world_.renew(node_);
  say("comes back as " + std::to_string(incarnation_of(replica_)) + " instead of " +
      std::to_string(incarnation_of(old)));
  if (replica_.v == 0) return;
  create();
  begin();
}

void Member::retire() {
  say("is retired");
  group_->retire();
  if (journal_) end_records(*journal_, group_->id());
  group_.reset();
  saved_.reset();
  committing_.reset();
  ++commits_;
  ++fetch_;
  reads_.clear();
  replica_ = NodeId(0);
}

void Member::turn() {
  if (!host_) return;
  running_ = true;
  bool more = host_->run();
  running_ = false;
  if (more) loop_.post([] {});
  if (journal_) journal_->flush();
  if (!works()) return;
  world_.counts.sleeps += group_->core()->asleep() ? 1u : 0u;
  if (Status s = invariants_->check(group_->core()->view()); !s) {
    world_.fail(name() + ": " + s.error().detail);
  }
}

void Member::die(bool power, Nanos back_after) {
  if (!host_ || dying_) return;
  dying_ = cut_off_ = true;
  power_ = power;
  back_after_ = back_after;
}

void Member::power_fails_at(std::uint64_t operation, Nanos back_after) {
  if (!host_ || dying_) return;
  disk_.on_frozen([this, back_after] { die(true, back_after); });
  disk_.crash_at(operation);
}

void Member::settle() {
  if (dying_) return bury(power_ || disk_.frozen());
  if (!host_) {
    if (time_.now() >= back_at_) start();
    return;
  }
  if (group_ && group_->started() && group_->needs_new_id()) return renew();
  if (group_ && world_.retired_.count(replica_) > 0) return retire();
  if (!group_ && drained_ && (journal_ || world_.plan_.memory) && world_.wished(node_).v != 0) {
    replica_ = world_.wished(node_);
    create();
    begin();
  }
}

void Member::bury(bool power) {
  say(power ? "loses power" : "is killed");
  ++world_.counts.deaths;
  disk_.on_frozen(nullptr);
  disk_.crash_at(1);
  (void)disk_.mkdirs("x");
  if (committing_ && prng_.chance(1, 2)) saved_ = committing_;
  group_.reset();
  journal_.reset();
  host_.reset();
  if (power) {
    using env::testing::Survivors;
    Survivors how[] = {Survivors::kNone, Survivors::kTorn, Survivors::kAny};
    disk_.crash(prng_, how[prng_.below(3)]);
  } else {
    disk_.kill(prng_);
  }
  loop_.forget_all();
  disk_.clear_faults();
  disk_.crash_at(0);
  reads_.clear();
  dying_ = drained_ = running_ = false;
  back_at_ = time_.now() + back_after_;
  world_.restarted(node_);
  if (!world_.plan_.memory) return;
  saved_.reset();
  if (replica_.v != 0) {
    world_.hurt_.insert(node_);
    replica_ = world_.renew(node_);
  }
}

bool Member::rot() {
  auto frames = promised_frames(disk_);
  if (frames.empty()) return false;
  std::size_t newest = std::min<std::size_t>(frames.size(), 12);
  std::uint64_t kind = prng_.below(4);
  std::size_t count = kind == 3 ? prng_.between(2, 5) : 1;
  std::size_t first = frames.size() - 1 - prng_.below(newest);
  for (std::size_t n = 0; n < count; ++n) {
    const FrameAt& f = frames[first - std::min<std::size_t>(first, n)];
    std::uint64_t flips = kind == 2 ? 6 : 1;
    for (std::uint64_t i = 0; i < flips; ++i) {
      std::uint64_t at = kind == 0 ? f.length - 1 - prng_.below(std::min<std::uint64_t>(f.length - 80, 40))
                                   : prng_.below(f.length);
      (void)disk_.flip_bit(f.file, f.offset + at, static_cast<unsigned>(prng_.below(8)));
    }
    say("frame " + std::to_string(f.number) + " rots");
  }
  return true;
}

// ---- work ------------------------------------------------------------------------------------

bool Member::proposes(const std::string& text) {
  if (!works() || (journal_ && journal_->full())) return false;
  auto id = group_->propose(Bytes::copy_of(text));
  if (!id) return false;
  proposed_[id->index] = id->term;
  return true;
}

void Member::read() {
  if (!works()) return;
  std::uint64_t number = ++next_read_;
  reads_[number] = {world_.acked_, time_.now()};
  group_->read_point([this, number](bool good) { answered(number, good); });
}

void Member::answered(std::uint64_t number, bool good) {
  auto it = reads_.find(number);
  if (it == reads_.end()) return world_.fail("a read is answered twice");
  if (good && group_->applied() < it->second.floor) {
    world_.fail(name() + " reads at " + std::to_string(group_->applied().v) + ", acknowledged was " +
                std::to_string(it->second.floor.v));
  }
  ++(good ? world_.counts.reads : world_.counts.refused);
  reads_.erase(it);
}

void Member::send(NodeId to, GroupId, raft::Message message) {
  if (cut_off_) return;
  if (std::getenv("WEIR_MESSAGES")) {
    say("-> " + std::to_string(to.v >> kIncarnationBits) + " " +
        std::to_string(static_cast<int>(message.type)) + " term " + std::to_string(message.term.v) + " @" +
        std::to_string(message.index.v) + "/" + std::to_string(message.log_term.v) + " commit " +
        std::to_string(message.commit.v) + " +" + std::to_string(message.entries.size()) +
        (message.reject ? " reject" : ""));
  }
  if (message.to != to) world_.fail("a message to two receivers");
  world_.saw_message(message);
  world_.post(node_, std::move(message));
}

Status Member::apply(RaftIndex index, Term term, const Bytes& payload, bool live) {
  if (live) outside_of_run("apply");
  if (index <= applied_) world_.fail("entry " + std::to_string(index.v) + " is applied twice");
  if (fetching_) world_.fail("applied while a state is fetched");
  if (!live) say("replays " + std::to_string(index.v));
  applied_ = index;
  std::uint64_t h = hash_of(index, term, payload);
  hash_ = mix(hash_, h);
  world_.saw_apply(*this, index, term, h);
  auto it = proposed_.find(index);
  if (it != proposed_.end() && it->second == term && live) world_.acked(index);
  proposed_.erase(proposed_.begin(), proposed_.upper_bound(index));
  return ok();
}

void Member::stopped(const Error& why) {
  say("stops: " + why.detail);
  if (!group_->needs_new_id() && !dying_ && !disk_.frozen()) {
    world_.fail(name() + " stopped: " + why.detail);
  }
}

void Member::leading(bool leads) {
  outside_of_run("leading");
  if (!leads) return;
  ++world_.counts.elections;
  auto [it, fresh] = world_.leaders_.emplace(group_->term(), replica_);
  if (it->second != replica_) world_.fail("two leaders in term " + std::to_string(group_->term().v));
  say("leads term " + std::to_string(group_->term().v));
}

// ---- checkpoints and states ------------------------------------------------------------------

void Member::checkpoint(bool press) {
  if (!works() || committing_) return;
  auto position = group_->checkpoint_position();
  if (!position) return;
  ++world_.counts.checkpoints;
  world_.saw_state(*this, position->at.index, hash_);
  committing_ = Saved{*position, hash_};
  loop_.at(loop_.now() + static_cast<Nanos>(prng_.between(1, 12)) * kMillisecond,
           [this, press, number = ++commits_] {
             if (number != commits_ || !group_ || dying_) return;
             saved_ = std::exchange(committing_, std::nullopt);
             if (prng_.chance(3, 4)) group_->compact(saved_->position.at.index, press);
           });
}

void Member::fetch_state(NodeId from, const raft::SnapshotMeta& least) {
  outside_of_run("fetch_state");
  if (fetching_) world_.fail("two states are fetched at once");
  fetching_ = true;
  say("fetches " + std::to_string(least.index.v));
  loop_.at(loop_.now() + static_cast<Nanos>(prng_.between(1, 40)) * kMillisecond,
           [this, from, number = ++fetch_, least = least.index] { serve(number, from, least); });
}

void Member::serve(std::uint64_t fetch, NodeId from, RaftIndex least) {
  if (fetch != fetch_) return;
  Member* source = world_.member(from);
  bool there = source && source->works() && source->group().self() == from && !source->loop().paused() &&
               world_.linked(node_, from) && world_.linked(from, node_);
  if (!there || (!world_.quiet_ && prng_.chance(1, 5)) || source->group().applied() < least ||
      source->group().applied() <= group_->applied()) {
    return fetch_failed(fetch);
  }
  raft::SnapshotMeta at{source->group().applied(), source->group().applied_term(), source->conf()};
  loop_.at(loop_.now() + static_cast<Nanos>(prng_.between(1, 40)) * kMillisecond,
           [this, fetch, at, hash = source->hash()] { arrived(fetch, at, hash); });
}

void Member::arrived(std::uint64_t fetch, const raft::SnapshotMeta& at, std::uint64_t hash) {
  if (fetch != fetch_ || !works()) return;
  if (at.index <= group_->applied()) return fetch_failed(fetch);
  ++commits_;  // a checkpoint under way would name the old state once more
  committing_ = Saved{group_->position_at(at, group_->generation() + 1), hash};
  loop_.at(loop_.now() + static_cast<Nanos>(prng_.between(1, 12)) * kMillisecond,
           [this, fetch, at] { installed(fetch, at); });
}

void Member::installed(std::uint64_t fetch, const raft::SnapshotMeta& at) {
  if (fetch != fetch_ || !works() || dying_) return;
  saved_ = std::exchange(committing_, std::nullopt);
  hash_ = saved_->hash;
  world_.saw_state(*this, at.index, hash_);
  applied_ = at.index;
  fetching_ = false;
  ++world_.counts.installs;
  say("has the state of " + std::to_string(at.index.v));
  group_->state_installed(at, saved_->position.generation);
}

void Member::fetch_failed(std::uint64_t fetch) {
  if (fetch != fetch_) return;
  fetching_ = false;
  if (works()) group_->state_failed();
}

}  // namespace weir::replica::testing
