#include "broker/server/jetstream.h"

#include <algorithm>
#include <set>

#include "broker/base/limits.h"
#include "broker/base/text.h"
#include "broker/server/cluster_side.h"
#include "broker/server/consumer_host.h"
#include "broker/server/group_view.h"
#include "broker/server/leader_balance.h"
#include "broker/server/leader_watch.h"
#include "broker/server/replica_lives.h"
#include "broker/server/rooms.h"

namespace weir::server {

using jetstream::MetaChange;
using jetstream::MetaOutcome;
using jetstream::MetaStream;

namespace {
constexpr Nanos kDiskWatch = kSecond;
constexpr std::uint64_t kDiskReserve = 64u << 20;  // free bytes below which publishes are refused
const std::string kJournalKey = "n/journal";       // there: the journal has frames
}  // namespace

JetStream::JetStream(env::Env& env, const config::Options& options, const Tuning& tuning, Router& router,
                     Advisories& advisories, Accounts accounts)
    : env_(env),
      options_(options),
      find_account_(std::move(accounts.find)),
      each_account_(std::move(accounts.each)),
      js_{env, options, tuning, router, turn_, advisories},
      cache_(std::make_unique<store::BlockCache>()) {
  js_.cache = cache_.get();
}

JetStream::~JetStream() {
  env_.loop.cancel(disk_timer_);
  env_.loop.cancel(reconcile_timer_);
  asks_.reset();
  rooms_.reset();
  rehomer_.reset();
  quorum_watch_.reset();
  registrar_.reset();
  membership_.reset();
  state_server_.reset();
  remotes_.clear();
  streams_.clear();
  meta_.reset();
  host_.reset();
  journal_.reset();
}

Status JetStream::open(std::string server_name, std::string server_id) {
  js_.server_name = std::move(server_name);
  server_id_ = std::move(server_id);
  js_.cluster_name = options_.cluster.name;
  directory_ = options_.effective_store_dir() + "/jetstream";
  store::Catalog::Options catalog;
  catalog.roll_bytes_min = js_.tuning.catalog_roll_bytes;
  ASSIGN_OR_RETURN(catalog_, store::Catalog::open(env_.disk, env_.log, "catalog", catalog));
  js_.catalog = catalog_.get();
  RETURN_IF_ERROR(load_identity());
  ASSIGN_OR_RETURN(founding_, cluster::Membership::load(*catalog_));
  return ok();
}

Status JetStream::start(ClusterSide* cluster, replica::Peers* peers) {
  js_.cluster = cluster;
  started_ = env_.clock.wall();
  store::FileStore::sweep_destroyed(env_.disk, *catalog_, env_.log);
  ASSIGN_OR_RETURN(auto space, env_.disk.space());
  auto limit = [](std::int64_t configured, std::uint64_t otherwise) {
    return configured < 0 ? otherwise : static_cast<std::uint64_t>(configured);
  };
  js_.file_bytes_max = limit(options_.jetstream.max_file_store, space.free_bytes / 4 * 3);
  js_.memory_bytes_max = limit(options_.jetstream.max_memory_store, 256u << 20);
  host_ = std::make_unique<replica::Host>(env_, peers, js_.tuning.groups);
  js_.host = host_.get();
  js_.stream_leading = [this](StreamHost& host, bool now) { stream_leading(host, now); };
  js_.stream_useless = [this](StreamHost& host) {
    if (const MetaStream* s = meta_->state().find(host.group_id())) replica_useless(*s);
  };
  if (cluster) {
    renewals_ = std::make_unique<Renewals>(env_, *this);
    lost_ = std::make_unique<LostStreams>(env_, *this);
    state_check_ = std::make_unique<StateCheck>(env_, *this);
  }
  make_meta();
  ASSIGN_OR_RETURN(bool restored, meta_->restore());
  if (!restored) {
    if (!cluster) {
      meta_->found({js_.self});
    } else if (founding_.born) {
      start_meta();
    }
  }
  // The state of the checkpoint may be older than the end of a replica; it must know of its beginning.
  StreamHost::forget_ended(*catalog_, [this](GroupId group, NodeId replica) {
    const MetaStream* s = meta_->state().find(group);
    const auto* node = meta_->state().find_node(js_.self);
    bool known = group < meta_->state().next_group() && incarnation_of(replica) <= (node ? node->lives : 0);
    return known && (!s || s->hosted_on(js_.self) != replica);
  });
  forget_lives(*catalog_, [this](GroupId group) {
    return group < meta_->state().next_group() && !meta_->state().find(group);
  });
  meta_->state().for_each([this](const MetaStream& s) {
    place(s);
    return true;
  });
  RETURN_IF_ERROR(recover_journal());
  report_quarantine();
  watch_disk();
  return ok();
}

void JetStream::make_meta() {
  cluster::MetaGroup::Hooks hooks;
  hooks.changed = [this](const MetaOutcome& change, bool live) { stream_changed(change, live); };
  hooks.replaced = [this] { resync(); };
  hooks.leading = [this](bool now) {
    if (js_.cluster) js_.cluster->leads(jetstream::kMetaGroup, meta_->group().term(), now);
    if (now && registrar_) registrar_->look();
    if (now && rehomer_) rehomer_->look();
    if (now && js_.cluster) {
      js_.advisories.domain_elected(js_.server_name, js_.cluster_name,
                                    peer_infos(meta_->group(), *js_.cluster));
    }
  };
  hooks.leader_changed = [](NodeId, Term) {};
  hooks.fetch = [this](NodeId from, const raft::SnapshotMeta& least) { fetch_meta(from, least); };
  meta_ = std::make_unique<cluster::MetaGroup>(env_, *catalog_, *host_,
                                               cluster::MetaGroup::replica(*catalog_, js_.self),
                                               js_.tuning.meta_checkpoint_entries, std::move(hooks));
}

// The node's id is 40 random bits, given once (ADR 4).
Status JetStream::load_identity() {
  const std::string self_key = "n/self", boot_key = "n/boot";
  std::vector<store::CatalogEdit> edits;
  if (auto value = catalog_->get(self_key)) {
    auto id = parse_u64(*value);
    if (!id || node_of(NodeId(*id)).v != *id || *id == 0) {
      return {Code::kCorrupt, "catalog key n/self: " + *value};
    }
    js_.self = NodeId(*id);
  } else {
    js_.self = node_of(NodeId(env_.random.next() | (std::uint64_t{1} << 63)));
    edits.push_back({self_key, std::to_string(js_.self.v)});
  }
  auto boot = catalog_->get(boot_key);
  boot_ = (boot ? parse_u64(*boot).value_or(0) : 0) + 1;
  edits.push_back({boot_key, std::to_string(boot_)});
  catalog_->commit(std::move(edits), [this, alive = std::weak_ptr<int>(alive_)](Status s) {
    if (alive.expired()) return;
    if (!s) return env_.log.error("the node's id cannot be written: " + s.error().detail);
    identity_durable_ = true;
    check_ready();
  });
  return ok();
}

// A stream names the nodes that hold it: none may be created before this node's name is on its disk.
void JetStream::check_ready() {
  ready_ = drained_ && identity_durable_;
  if (!ready_) return;
  if (on_ready) on_ready();
  env_.loop.post([] {});
}

Status JetStream::recover_journal() {
  store::JournalOptions o;
  o.file_bytes = js_.tuning.journal_file_bytes;
  o.files_max = js_.tuning.journal_files_max;
  o.sync_always = options_.jetstream.sync_always;
  o.sync_interval_ns = options_.jetstream.sync_interval;
  bool noted = catalog_->get(kJournalKey).has_value();
  o.past = noted ? store::JournalPast::kWritten : store::JournalPast::kUnnoted;
  Mono began = env_.clock.now();
  std::uint64_t records = 0;
  ASSIGN_OR_RETURN(journal_, store::Journal::open(
                                 env_, "journal", o,
                                 [&](const store::JournalRecord& r) {
                                   ++records;
                                   replay(r);
                                 },
                                 [this](const store::JournalFault& f) { damaged(f); }));
  js_.journal = journal_.get();
  recovering_ = false;
  // Not before: a stream whose files are going is found deleted further on in the journal.
  for (const auto& [group, why] : offline_) {
    if (const MetaStream* offline = meta_->state().find(group)) log_offline(*offline);
  }
  if (!js_.cluster || founding_.born) meta_->start(journal_.get());
  drop_ended();
  for (auto& [id, stream] : streams_) stream->start();
  void_strangers();
  if (js_.cluster) start_cluster();
  journal_->drain([this, noted, alive = std::weak_ptr<int>(alive_)](Status s) {
    if (!alive.expired() && s) journal_drained(noted);
  });
  catalog_->commit({}, [this, alive = std::weak_ptr<int>(alive_)](const Status& s) {
    if (alive.expired() || !s) return;
    meta_->release_restored();
    for (auto& [id, stream] : streams_) stream->release_restored();
  });
  env_.log.info("JetStream recovered " + std::to_string(streams_.size()) + " streams, " +
                std::to_string(records) + " journal records in " + format_duration(env_.clock.now() - began));
  return ok();
}

// A journal that is gone must not pass for one that never was: that it has frames is noted once it has, and
// before anybody is told of what is in them.
void JetStream::journal_drained(bool noted) {
  drained_ = noted;
  if (noted) return check_ready();
  catalog_->commit({{kJournalKey, "1"}}, [this, alive = std::weak_ptr<int>(alive_)](Status s) {
    if (alive.expired()) return;
    if (!s) return env_.log.error("the note of the journal cannot be written: " + s.error().detail);
    drained_ = true;
    check_ready();
  });
}

void JetStream::damaged(const store::JournalFault& f) {
  env_.log.error("journal: damaged, " + f.detail);
  if (f.group == jetstream::kMetaGroup) return meta_->damaged(f);
  if (f.group.v == 0) {  // it may concern any group
    meta_->damaged(f);
    for (auto& [id, stream] : streams_) stream->damaged(f);
    for (auto& [id, found] : orphans_) found.push_back(f);
    if (f.vote_lost || f.open_end) loss_ = f;
    return;
  }
  auto it = streams_.find(f.group);
  if (it != streams_.end()) return it->second->damaged(f);
  if (waits_for_meta(f.group)) orphans_[f.group].push_back(f);
}

void JetStream::replay(const store::JournalRecord& record) {
  if (record.group == jetstream::kMetaGroup) {
    Status s = meta_->replay(record);
    if (!s) env_.log.error("meta group: " + s.error().to_string());
    return;
  }
  auto it = streams_.find(record.group);
  if (it == streams_.end()) return keep_orphan(record);
  (void)it->second->replay(record).has_value();  // an error stops the stream, which says so when it starts
}

// Given up before the process ended: the meta group's word for it is not known here to be committed yet, and
// the catalog's note may be missing.
void JetStream::drop_ended() {
  std::vector<GroupId> ended;
  for (const auto& [group, host] : streams_) {
    if (host->group().ended()) ended.push_back(group);
  }
  for (GroupId group : ended) {
    drop_host(group, true);
    if (const MetaStream* s = meta_->state().find(group)) place(*s);
  }
}

// Records of a stream that is gone, or that could not be opened, have nobody to go to. Those of a group that
// the meta group has yet to speak of wait for that.
void JetStream::keep_orphan(const store::JournalRecord& record) {
  if (record.kind == store::RecordKind::kRemoved) {
    strangers_.erase(record.group);
    orphans_.erase(record.group);
    return;
  }
  if (store::is_entry(record.kind)) strangers_.insert(record.group);
  if (waits_for_meta(record.group)) orphans_[record.group].push_back(record);
}

// A new stream, or a replica that came back to its group, of which the catalog knows already.
bool JetStream::waits_for_meta(GroupId group) const {
  if (!js_.cluster || offline_.contains(group)) return false;
  return group >= meta_->state().next_group() || catalog_->get(replica::position_key(group));
}

void JetStream::adopt(StreamHost& host, const Orphan& found) {
  if (const auto* fault = std::get_if<store::JournalFault>(&found)) return host.damaged(*fault);
  // An error stops the stream, which says so when it starts.
  (void)host.replay(std::get<store::JournalRecord>(found)).has_value();
}

void JetStream::stream_changed(const MetaOutcome& change, bool live) {
  if (live && meta_->leading()) tell(change);
  switch (change.change) {
    case MetaChange::kCreated: place(change.stream); break;
    case MetaChange::kDeleted: close_stream(change.stream); break;
    case MetaChange::kReset:
      for (GroupId former : change.groups) {
        drop_host(former, true);
        remotes_.erase(former);
        offline_.erase(former);
      }
      place(change.stream);
      break;
    case MetaChange::kUpdated:
      if (auto it = remotes_.find(change.stream.group); it != remotes_.end()) {
        it->second->resubscribe(change.stream.config.subjects);
      }
      // It travels through the stream's own log.
      if (StreamHost* host = find(change.stream.group);
          host && host->group().leading() && change.groups.empty()) {
        propose_config(*host, change.stream);
      }
      peers_changed(change);
      break;
    case MetaChange::kNodeChanged:
    case MetaChange::kPeersChanged: peers_changed(change); break;
    default: break;
  }
}

// Once in the cluster: by the leader of the meta group.
void JetStream::tell(const MetaOutcome& change) {
  using api::AssetAction;
  std::optional<AssetAction> action;
  if (change.change == MetaChange::kCreated) action = AssetAction::kCreate;
  if (change.change == MetaChange::kDeleted) action = AssetAction::kDelete;
  if (change.change == MetaChange::kUpdated) action = AssetAction::kModify;
  Account* account = find_account_(change.stream.account);
  if (action && account) js_.advisories.stream_action(*account, change.stream.config.name, *action);
}

Account& JetStream::account_of(const MetaStream& s) {
  if (Account* account = find_account_(s.account)) return *account;
  env_.log.error("stream " + s.config.name + ": account " + s.account +
                 " is not configured any more; the stream is kept and nobody reaches it");
  // Hosted all the same: its checkpoints let the journal go.
  Account& account = unconfigured_[s.account];
  account.id = kUnconfiguredAccount;
  account.name = s.account;
  return account;
}

StreamIdentity JetStream::identity_of(const MetaStream& s) const {
  return {s.group, s.config.name, s.config, s.created, s.hosted_on(js_.self), s.founders};
}

void JetStream::open_stream(const MetaStream& s) {
  remotes_.erase(s.group);
  auto host = StreamHost::open(js_, account_of(s), identity_of(s));
  if (!host) {
    offline_[s.group] = host.error().detail;
    if (!recovering_) log_offline(s);
    return replica_useless(s);
  }
  offline_.erase(s.group);
  StreamHost* opened = host->get();
  streams_[s.group] = std::move(*host);
  by_name_[{s.account, s.config.name}] = opened;
  // What the journal lost may be of a stream that this node has yet to hear of again.
  if (loss_ && s.config.storage == api::Storage::kFile && s.created < started_) opened->damaged(*loss_);
  // Also while the journal is read: there the meta group's commit follows records of what it commits.
  if (auto orphans = orphans_.extract(s.group)) {
    for (const auto& found : orphans.mapped()) adopt(*opened, found);
  }
  if (!recovering_) opened->start();
}

// The log of every stream begins with its configuration: a log that is replayed from its start must not
// meet the one that the meta group knows by then. A change of its replicas is noted there too: who leads with
// an older meta state than the log's is not to change members any more.
void JetStream::propose_config(StreamHost& host, const MetaStream& s) {
  std::uint64_t revision = std::max(s.revision, s.peers_revision);
  if (host.machine().config_revision() >= revision) return;
  host.propose_config(revision, api::encode_stream_config_json(s.config));
}

void JetStream::log_offline(const MetaStream& s) const {
  env_.log.error("stream " + s.account + "/" + s.config.name + " is offline: " + offline_.at(s.group));
}

void JetStream::close_stream(const MetaStream& s) {
  offline_.erase(s.group);
  remotes_.erase(s.group);
  orphans_.erase(s.group);
  unsettled_.erase(s.group);
  strangers_.insert(s.group);  // until its removal is seen in the journal
  auto it = streams_.find(s.group);
  if (it == streams_.end()) {
    if (!recovering_) void_strangers();
    return;
  }
  drop_host(s.group, true);
  if (!recovering_) strangers_.erase(s.group);  // destroy() took care of its records
}

void JetStream::report_quarantine() const {
  std::set<std::string> unknown;
  catalog_->scan("g/", [&](const std::string& key, const std::string&) {
    std::string id = key.substr(2, key.find('/', 2) - 2);
    auto number = parse_u64(id);
    if (number && !meta_->state().find(GroupId(static_cast<std::uint32_t>(*number)))) unknown.insert(id);
    return true;
  });
  for (const auto& id : unknown) {
    env_.log.warn("group " + id + " is in the store but belongs to no stream; it is kept and not served");
  }
}

// Records of streams that were deleted, whose removal did not reach the journal before the process
// ended: nobody would ever release them. A group id that the meta group knows stays untouched.
void JetStream::void_strangers() {
  for (GroupId id : std::exchange(strangers_, {})) {
    if (meta_->group().why_stopped() || meta_->state().find(id) || id >= meta_->state().next_group())
      continue;
    // As a replica says it of itself (Group::ended()): a checkpoint may be left, of a replica that could not
    // be used, and the next start may know the stream again until the meta group's commit is known.
    replica::end_records(*journal_, id);
  }
}

void JetStream::watch_disk() {
  auto space = env_.disk.space();
  // On a small disk the next two journal files are what must stay possible.
  std::uint64_t reserve = std::max(space ? std::min(kDiskReserve, space->total_bytes / 20) : 0,
                                   2 * js_.tuning.journal_file_bytes);
  bool full = space && space->free_bytes < reserve;
  if (full != js_.disk_full) {
    js_.disk_full = full;
    if (full) {
      env_.log.error("disk of " + directory_ + " is nearly full: publishes are refused, the rest goes on");
      js_.advisories.out_of_storage({js_.server_name, server_id_, {}, js_.cluster_name});
    } else {
      env_.log.info("disk of " + directory_ + " has room again");
    }
  }
  if (!full) catalog_->retry();
  disk_timer_ = env_.loop.at(env_.clock.now() + kDiskWatch, [this] { watch_disk(); });
}

void JetStream::end_of_turn() {
  bool more = host_->run();
  answer_unserved();
  if (ready_) turn_.consumers.run([](ConsumerHost& c) { c.step(); });
  turn_.streams.run([](StreamHost& s) { s.flush(); });
  meta_->flush();
  more = host_->run() || more;
  checkpoint_under_pressure();
  journal_->flush();
  // Consumers with more to do, or fed by what this round published, go on in the next turn.
  more = more || (ready_ && !turn_.consumers.empty()) || !turn_.streams.empty() || !js_.unserved.empty();
  if (more) env_.loop.post([] {});
}

void JetStream::checkpoint_under_pressure() {
  if (!journal_->pressed() && !journal_->full()) return;
  GroupId laggard = journal_->laggard();
  if (laggard == jetstream::kMetaGroup) return meta_->checkpoint(true);
  auto it = streams_.find(laggard);
  if (it != streams_.end()) it->second->press();
}

void JetStream::drain(UniqueFunction<void()> done) {
  end_of_turn();
  journal_->drain([done = std::move(done)](Status) mutable { done(); });
}

void JetStream::shutting_down() {
  for (auto& [id, stream] : streams_) {
    for (auto& [name, consumer] : stream->consumers()) consumer->end(jetstream::ConsumerEnd::kServerShutdown);
  }
}

void JetStream::create_stream(Account& account, const api::StreamConfig& config, MetaDone done) {
  std::vector<NodeId> nodes{js_.self};
  if (js_.cluster) {
    auto placed = cluster::place_new(config, place_nodes(), place_rules(), env_.random.next());
    if (!placed.ok()) return fail_meta(placed.error, std::move(done));
    nodes = placed.nodes;
  }
  auto most = account.js_limits.max_streams;
  meta_->create(account.name, config, nodes, most > 0 ? static_cast<std::uint64_t>(most) : 0,
                std::move(done));
}

void JetStream::update_stream(Account& account, const api::StreamConfig& config, MetaDone done) {
  std::vector<NodeId> nodes;
  const MetaStream* now = meta_->state().find(account.name, config.name);
  if (js_.cluster && now) {
    bool file = config.storage == api::Storage::kFile;
    auto full = file ? api::ErrCode::kStorageResourcesExceeded : api::ErrCode::kMemoryResourcesExceeded;
    if (!rooms_->may_grow(*now, config)) return fail_meta(api::make_error(full), std::move(done));
    std::vector<NodeId> current;
    for (NodeId peer : now->peers) current.push_back(node_of(peer));
    NodeId leader = js_.cluster->leader_of(now->group);
    cluster::Placed placed;
    if (now->config.placement != config.placement && config.placement) {
      placed = cluster::place_move(config, current, {}, place_nodes(), place_rules(), env_.random.next());
    } else if (static_cast<std::size_t>(config.num_replicas) != current.size()) {
      placed =
          cluster::place_scale(config, current, leader, place_nodes(), place_rules(), env_.random.next());
    } else {
      placed.nodes = current;
    }
    if (!placed.ok()) return fail_meta(placed.error, std::move(done));
    if (placed.nodes != current) nodes = placed.nodes;
  }
  meta_->update(account.name, config, nodes, std::move(done));
}

void JetStream::delete_stream(Account& account, std::string_view name, MetaDone done) {
  meta_->remove(account.name, name, std::move(done));
}

void JetStream::fail_meta(const api::ApiError& error, MetaDone done) {
  MetaOutcome o;
  o.error = error;
  done(o);
}

StreamHost* JetStream::find(GroupId group) {
  auto it = streams_.find(group);
  return it == streams_.end() ? nullptr : it->second.get();
}

StreamHost* JetStream::find(const Account& account, std::string_view name) {
  auto it = by_name_.find(ByName::View(account.name, name));
  return it == by_name_.end() ? nullptr : it->second;
}

std::vector<StreamHost*> JetStream::streams(const Account& account) const {
  std::vector<StreamHost*> out;
  auto it = by_name_.lower_bound(ByName::View(account.name, ""));
  for (; it != by_name_.end() && it->first.first == account.name; ++it) out.push_back(it->second);
  return out;
}

std::vector<StreamHost*> JetStream::all_streams() const {
  std::vector<StreamHost*> out;
  for (const auto& [key, host] : by_name_) out.push_back(host);
  return out;
}

JetStream::Usage JetStream::usage(const Account* account) const {
  Usage u;
  for (StreamHost* s : account ? streams(*account) : all_streams()) {
    const auto& c = s->machine().config();
    bool file = c.storage == api::Storage::kFile;
    auto reserved = c.max_bytes > 0 ? static_cast<std::uint64_t>(c.max_bytes) : 0;
    (file ? u.storage : u.memory) += s->machine().store().state().bytes;
    (file ? u.reserved_storage : u.reserved_memory) += reserved;
    ++u.streams;
    u.consumers += s->machine().consumers().size();
  }
  return u;
}

std::size_t JetStream::led_consumers(const Account& account) const {
  std::size_t n = 0;
  for (const StreamHost* s : streams(account)) {
    if (s->group().leading() || s->group().alone()) n += s->machine().consumers().size();
  }
  return n;
}

JetStream::Usage JetStream::reserved(const Account& account) const {
  Usage u;
  meta_->state().for_each(account.name, [&](const MetaStream& s) {
    auto each = s.config.max_bytes > 0 ? static_cast<std::uint64_t>(s.config.max_bytes) : 0;
    bool file = s.config.storage == api::Storage::kFile;
    (file ? u.reserved_storage : u.reserved_memory) += each * std::max<std::uint64_t>(s.peers.size(), 1);
    ++u.streams;
    return true;
  });
  return u;
}

std::optional<std::string> JetStream::offline_reason(std::string_view account, std::string_view name) const {
  const MetaStream* s = meta_->state().find(account, name);
  if (!s || streams_.contains(s->group) || remotes_.contains(s->group)) return std::nullopt;
  auto it = offline_.find(s->group);
  return it == offline_.end() ? std::string("not hosted") : it->second;
}

std::vector<JetStream::Offline> JetStream::offline_streams() const {
  std::vector<Offline> out;
  for (const auto& [group, why] : offline_) {
    if (const MetaStream* s = meta_->state().find(group)) out.push_back({s->account, s->config.name, why});
  }
  return out;
}

}  // namespace weir::server
