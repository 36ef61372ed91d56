#include "broker/store/journal.h"

#include <algorithm>
#include <utility>

#include "broker/base/crc32c.h"
#include "broker/store/journal_impl.h"

namespace weir::store {
namespace {

// A journal at rest writes the promise of its last frame after this time, without a sync: damage to
// that frame is then told from a torn write.
constexpr Nanos kIdlePromise = 10 * kMillisecond;
// Of one read(): each costs two reads of the disk or more.
constexpr std::size_t kReadPiecesMax = 256;

class OpenSink final : public JournalSink {
 public:
  OpenSink(JournalLedger& ledger, Log& log, const Journal::Visit& visit, const Journal::Fault& fault)
      : ledger_(ledger), log_(log), visit_(visit), fault_(fault) {}
  void file(const JournalFileFound& f) override {
    ledger_.begin_file(f.name, f.bytes, f.use, f.first_frame);
    ledger_.set_salt(f.salt);
  }
  void frame(std::uint64_t number, std::uint64_t offset) override { ledger_.begin_frame(number, offset); }
  void record(const JournalRecord& r, std::uint64_t frame) override {
    ledger_.place(r, frame);
    if (visit_) visit_(r);
  }
  void fault(const JournalFault& f) override {
    std::string text = "journal: group " + std::to_string(f.group.v) + " entries " +
                       std::to_string(f.from.v) + " to " + std::to_string(f.to.v);
    if (f.vote_lost) text += ", perhaps a vote";
    if (f.open_end) text += ", perhaps entries at the end";
    log_.error(text + ": " + f.detail);
    if (fault_) fault_(f);
  }

 private:
  JournalLedger& ledger_;
  Log& log_;
  const Journal::Visit& visit_;
  const Journal::Fault& fault_;
};

JournalFault all_lost(const std::string& dir) {
  JournalFault f;
  f.vote_lost = f.open_end = true;
  f.detail =
      dir + ": frames were written here, and all of them are gone. To undo that, stop and put back the " +
      "whole folder as it was; to go on without them, once the streams with other replicas are back, " +
      "stop and remove " + dir + "/" + kJournalLostName;
  return f;
}

bool noted_as_lost(const std::vector<env::DirEntry>& entries) {
  return std::any_of(entries.begin(), entries.end(),
                     [](const env::DirEntry& e) { return e.name == kJournalLostName; });
}

// Durable before anything new is written: that must not hide what is missing.
Status note_as_lost(env::Disk& disk, const std::string& dir) {
  auto file = disk.open(dir + "/" + kJournalLostName, env::Open::kCreate);
  if (!file) return file.error();
  return disk.sync_dir(dir);
}

// Spare files whose header cannot be read. Nothing was lost with them, but somebody may want to look.
Status move_aside(env::Env& env, const std::string& dir, const std::vector<std::string>& names) {
  if (names.empty()) return ok();
  ASSIGN_OR_RETURN(auto there, env.disk.list(dir));
  for (const std::string& name : names) {
    std::string base = name.substr(0, name.find('.')) + kJournalAside, to = base;
    auto taken = [&](const env::DirEntry& e) { return e.name == to; };
    for (int n = 2; std::any_of(there.begin(), there.end(), taken); ++n) to = base + std::to_string(n);
    env.log.error("journal: " + name + ": its header cannot be read, and no frame was ever written there: " +
                  "nothing is lost, the file is kept as " + to + " and not used");
    RETURN_IF_ERROR(env.disk.rename(dir + "/" + name, dir + "/" + to));
  }
  return ok();
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(env::Env& env, std::string dir, JournalOptions options,
                                               const Visit& visit, const Fault& fault) {
  if (options.file_bytes < 4 * kJournalBlock || options.file_bytes % kJournalBlock != 0 ||
      options.files_max < 2) {
    return Error(Code::kInvalid,
                 "journal: file_bytes must be a multiple of 4096 from 16384, files_max at least 2");
  }
  auto listed = env.disk.list(dir);
  if (!listed && listed.error().code == Code::kNotFound) {
    RETURN_IF_ERROR(env.disk.mkdirs(dir));
  }
  JournalLedger ledger;
  OpenSink sink(ledger, env.log, visit, fault);
  bool lost = listed && noted_as_lost(*listed);
  if (lost) sink.fault(all_lost(dir));
  ASSIGN_OR_RETURN(auto found, read_journal(env.disk, env.log, dir, sink));
  if (found.empty && !lost && options.past == JournalPast::kWritten) {
    RETURN_IF_ERROR(note_as_lost(env.disk, dir));
    sink.fault(all_lost(dir));
  }
  RETURN_IF_ERROR(move_aside(env, dir, found.aside));
  // A process that was killed may have left a file whose name is in the page cache only.
  RETURN_IF_ERROR(env.disk.sync_dir(dir));
  return std::unique_ptr<Journal>(std::make_unique<JournalImpl>(env, std::move(dir), std::move(options),
                                                                std::move(ledger), std::move(found)));
}

JournalImpl::JournalImpl(env::Env& env, std::string dir, JournalOptions options, JournalLedger ledger,
                         JournalFound found)
    : env_(env),
      options_(std::move(options)),
      ledger_(std::move(ledger)),
      pool_(
          env_, {std::move(dir), options_.file_bytes, found.next_use, found.next_file}, [this] { start(); },
          [this](Error e) { fail(std::move(e)); }),
      next_frame_(found.next_frame),
      first_needed_(found.first_needed),
      synced_through_(found.synced_through),
      last_promise_(found.synced_through),
      last_data_frame_(found.synced_through),
      void_from_(found.void_from),
      void_to_(found.void_to),
      doubts_(std::move(found.doubts)),
      tail_(std::move(found.tail)) {
  BytesBuilder b(kJournalBlock);
  std::fill_n(b.grow(kJournalBlock), kJournalBlock, std::uint8_t{0});
  zeros_ = b.freeze();
  options_.frame_bytes_max = std::min(options_.frame_bytes_max, options_.file_bytes - kJournalBlock);
  for (auto& f : found.free) pool_.give_back(std::move(f.name), f.bytes, next_frame_, first_needed_);
  // What is written behind a hole counts only if the hole is promised. An empty journal that has to prove
  // itself needs one frame, whatever is in it.
  bool first = found.empty && options_.past != JournalPast::kUnknown;
  if (!tail_.empty() || found.ends_in_hole || first) {
    start_state_ = tail_.empty() && !found.ends_in_hole ? Start::kSettle : Start::kTail;
    appended_ = 1;  // what drain() waits for: the frame that settles the start
    start();
  } else {
    pool_.prepare(options_.file_bytes, first_needed_);
  }
}

JournalImpl::~JournalImpl() {
  env_.loop.cancel(sync_timer_);
  env_.loop.cancel(promise_timer_);
  // A clean stop leaves the promise behind; the file finishes the write when it is closed.
  closing_ = true;
  bool here = current_ && current_->pos + kJournalBlock <= current_->at.bytes;
  if (!error_ && !writing_ && promise_is_due() && (here || pool_.ready(2 * kJournalBlock))) write_promise();
}

void JournalImpl::append(JournalRecord record, env::DiskDone done) {
  CHECK(record.group.v != 0);
  std::optional<Error> refused = error_;
  if (!refused && record.payload.size() > limits::kRecordBytesMax) {
    refused = Error(Code::kLimit, "journal: record of " + std::to_string(record.payload.size()) + " bytes");
  }
  if (refused) {
    env_.loop.post([done = std::move(done), e = *refused]() mutable {
      if (done) done(std::move(e));
    });
    return;
  }
  ++appended_;
  queue_.push_back({std::move(record), std::move(done)});
}

JournalImpl::Plan JournalImpl::plan() {
  Plan p;
  auto add = [&p](const JournalRecord& r) { p.bytes += kTableEntryBytes + r.payload.size(); };
  if (start_state_ == Start::kTail) {
    // One frame, whatever its size: it replaces the old ones in one step or not at all.
    p.records = tail_;
    for (const auto& r : p.records) add(r);
    return p;
  }
  if (carry_) {
    p.records = ledger_.hard_states_of_oldest(options_.frame_bytes_max / 2);
    for (const auto& r : p.records) add(r);
  }
  for (const auto& q : queue_) {
    std::uint64_t more = kTableEntryBytes + q.record.payload.size();
    if (p.queued + p.records.size() > 0 && p.bytes + more > options_.frame_bytes_max) break;
    p.bytes += more;
    ++p.queued;
  }
  return p;
}

void JournalImpl::start() {
  if (error_ || writing_) return;
  Plan p = plan();
  if (p.records.empty() && p.queued == 0 && start_state_ == Start::kDone) return;
  if (!room(round_to_block(p.bytes))) return;
  bool durable = options_.sync_always || start_state_ != Start::kDone;
  write_frame(std::move(p), durable ? env::Sync::kData : env::Sync::kNone);
}

bool JournalImpl::room(std::uint64_t bytes) {
  if (current_ && current_->pos + bytes <= current_->at.bytes) return true;
  bool unsynced = current_ && current_->last_frame > synced_through_;
  // A frame in the next file must not become durable before an older one in this file does: recovery
  // would cut at the older one. Relaxed mode may, for one file: there nothing was acknowledged as
  // durable, and a cut is what its users chose.
  if ((unsynced && options_.sync_always) || !dirty_.empty()) {
    sync_now();
    return false;
  }
  // roll() would close the file, and nobody would hear of the end of its sync.
  if (syncing_ && !unsynced) return false;
  std::uint64_t need = bytes + kJournalBlock;
  if (!pool_.ready(need)) {
    pool_.prepare(std::max(need, options_.file_bytes), first_needed_);
    return false;
  }
  roll();
  return true;
}

void JournalImpl::roll() {
  if (current_) {
    bool unsynced = current_->last_frame > synced_through_;
    if (unsynced) {
      dirty_.push_back(std::move(*current_));
    } else {
      close_later(std::move(*current_));
    }
  }
  Active next;
  next.at = pool_.take();
  current_ = std::move(next);
  ledger_.begin_file(current_->at.name, current_->at.bytes, current_->at.use, next_frame_);
  ledger_.set_salt(current_->at.salt);
  if (!dirty_.empty()) sync_now();
  reap();
  // At a start, files of before come free in a moment: no new one is made until then.
  if (start_state_ == Start::kDone) prepare_next();
}

void JournalImpl::prepare_next() {
  if (!closing_ && live_files() < options_.files_max) pool_.prepare(options_.file_bytes, first_needed_);
}

// What is in doubt still, with this record: a copy answers nothing, a record of the owner may.
std::uint8_t JournalImpl::doubts(const JournalRecord& record, bool again) {
  if (doubts_.empty()) return 0;
  auto it = doubts_.find(record.group);
  if (it == doubts_.end()) return 0;
  if (again) return it->second;
  std::uint8_t left = it->second = doubts_after(it->second, record.kind);
  if (left == 0) doubts_.erase(it);
  return left;
}

// The first `again` of the records are copies that the journal makes by itself.
std::vector<Bytes> JournalImpl::encode(const std::vector<JournalRecord>& records, std::size_t again,
                                       std::uint64_t number) {
  JournalFrameHeader h;
  h.salt = current_->at.salt;
  h.use = current_->at.use;
  h.number = number;
  h.synced_through = std::min(synced_through_, number - 1);
  h.void_from = void_from_;
  h.void_to = void_to_;
  h.first_needed = first_needed_;
  h.count = static_cast<std::uint32_t>(records.size());
  std::uint32_t seed = frame_seed(h.salt, number);
  std::size_t table_bytes = records.size() * kTableEntryBytes;
  BytesBuilder head(kFrameHeaderBytes + table_bytes);
  std::uint8_t* p = head.grow(kFrameHeaderBytes + table_bytes);
  std::uint64_t offset = kFrameHeaderBytes + table_bytes;
  std::vector<Bytes> slices(1);
  slices.reserve(records.size() + 2);
  std::uint8_t* entry = p + kFrameHeaderBytes;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const JournalRecord& r = records[i];
    JournalTableEntry e;
    e.group = r.group;
    e.doubts = doubts(r, i < again);
    e.kind = r.kind;
    e.term = r.term;
    e.index = r.index;
    e.prev_frame = ledger_.chain(r.group);
    e.offset = static_cast<std::uint32_t>(offset);
    e.length = static_cast<std::uint32_t>(r.payload.size());
    encode_table_entry(e, seed, r.payload.span(), entry);
    entry += kTableEntryBytes;
    offset += r.payload.size();
    if (!r.payload.empty()) slices.push_back(r.payload);
    ledger_.place(r, number);
  }
  CHECK(offset <= 0xffff'ffffu, "a frame over 4 GiB");
  h.length = static_cast<std::uint32_t>(offset);
  h.table_crc = crc32c({p + kFrameHeaderBytes, table_bytes}, seed);
  encode_frame_header(h, p);
  slices[0] = head.freeze();
  std::size_t pad = static_cast<std::size_t>(round_to_block(offset) - offset);
  if (pad != 0) slices.push_back(zeros_.sub(0, pad));
  last_promise_ = h.synced_through;
  return slices;
}

void JournalImpl::write_frame(Plan plan, env::Sync sync) {
  Frame frame;
  frame.number = next_frame_++;
  frame.sync = sync;
  frame.begun = env_.clock.now();
  auto records = std::move(plan.records);
  std::size_t again = records.size();
  if (carry_ && start_state_ != Start::kTail && !records.empty()) carry_frame_ = frame.number;
  for (std::size_t i = 0; i < plan.queued; ++i) {
    records.push_back(std::move(queue_.front().record));
    frame.dones.push_back(std::move(queue_.front().done));
    queue_.pop_front();
  }
  tail_.clear();
  frame.appended = start_state_ == Start::kTail ? 0 : appended_ - queue_.size();
  ledger_.begin_frame(frame.number, current_->pos);
  auto slices = encode(records, again, frame.number);
  void_from_ = void_to_ = 0;
  if (!records.empty()) last_data_frame_ = frame.number;
  std::uint64_t bytes = round_to_block(plan.bytes);
  ++stats_.frames;
  stats_.records += records.size();
  stats_.bytes += bytes;
  std::uint64_t at = std::exchange(current_->pos, current_->pos + bytes);
  writing_ = std::move(frame);
  carry_ = false;
  // The File forgets the completion when it is closed, so `this` is alive.
#ifdef WEIR_DEFECT_SKIP_JOURNAL_SYNC
  sync = env::Sync::kNone;  // seeded defect, docs/testing.md
#endif
  current_->at.file->write(at, std::move(slices), sync, [this](Status s) { frame_done(std::move(s)); });
}

void JournalImpl::frame_done(Status status) {
  if (error_) return;
  if (!status) return fail(status.error());
  Frame f = *std::exchange(writing_, std::nullopt);
  current_->last_frame = f.number;
  covered_.push_back({f.number, f.appended});
  std::vector<env::DiskDone> dones = std::move(f.dones);
  if (f.sync == env::Sync::kData) {
    Nanos took = env_.clock.now() - f.begun;
    ++stats_.syncs;
    stats_.sync_ns_total += static_cast<std::uint64_t>(took);
    stats_.sync_ns_max = std::max(stats_.sync_ns_max, static_cast<std::uint64_t>(took));
    on_synced(f.number);
    if (start_state_ == Start::kSettle) prepare_next();
    start_state_ = start_state_ == Start::kTail ? Start::kSettle : Start::kDone;
  }
  start();  // the disk works while the completions run
  if (!options_.sync_always && !drains_.empty()) sync_now();
  arm_sync_timer();
  arm_promise_timer();
  std::weak_ptr<bool> alive = alive_;
  for (auto& done : dones) {
    if (done) done(ok());
    if (alive.expired()) return;
  }
}

void JournalImpl::sync_now() {
  if (error_) return;
  if (syncing_) {
    sync_again_ = true;
    return;
  }
  Active* target = !dirty_.empty() ? &dirty_.front() : current_ ? &*current_ : nullptr;
  if (!target || target->last_frame <= synced_through_) return;
  if (!target->syncer) {
    auto f = env_.disk.open(pool_.path(target->at.name), env::Open::kWrite);
    if (!f) {
      std::weak_ptr<bool> alive = alive_;
      env_.loop.post([this, alive, e = f.error()] {
        if (!alive.expired()) fail(e);
      });
      return;
    }
    target->syncer = std::move(f).value();
  }
  syncing_ = target->last_frame;
  std::uint64_t frame = target->last_frame;
  Mono begun = env_.clock.now();
  target->syncer->write(0, {}, env::Sync::kData, [this, frame, begun](Status s) {
    auto took = static_cast<std::uint64_t>(env_.clock.now() - begun);
    ++stats_.syncs;
    stats_.sync_ns_total += took;
    stats_.sync_ns_max = std::max(stats_.sync_ns_max, took);
    sync_done(frame, std::move(s));
  });
}

void JournalImpl::sync_done(std::uint64_t frame, Status status) {
  if (error_) return;
  syncing_.reset();
  if (!status) return fail(status.error());
  bool again = std::exchange(sync_again_, false) || !dirty_.empty();
  while (!dirty_.empty() && dirty_.front().last_frame <= frame) {
    close_later(std::move(dirty_.front()));
    dirty_.pop_front();
  }
  std::weak_ptr<bool> alive = alive_;
  on_synced(frame);
  if (again || !drains_.empty()) sync_now();
  arm_sync_timer();
  arm_promise_timer();
  start();
}

void JournalImpl::on_synced(std::uint64_t frame) {
  synced_through_ = std::max(synced_through_, frame);
  while (!covered_.empty() && covered_.front().frame <= synced_through_) {
    durable_ = covered_.front().appended;
    covered_.pop_front();
  }
  pool_.synced(synced_through_);
  reap();
  std::vector<env::DiskDone> ready;
  std::erase_if(drains_, [&](Drain& d) {
    if (d.appended > durable_) return false;
    ready.push_back(std::move(d.done));
    return true;
  });
  for (auto& done : ready) {
    env_.loop.post([done = std::move(done)]() mutable { done(ok()); });
  }
}

void JournalImpl::release(GroupId group, RaftIndex upto) {
  ledger_.release(group, upto);
  reap();
  if (carry_) start();
}

void JournalImpl::read(GroupId group, RaftIndex from, RaftIndex upto, std::size_t bytes_max, ReadDone done) {
  std::uint64_t whole = writing_ ? writing_->number - 1 : next_frame_ - 1;
  auto pieces = ledger_.index().find({group, from, upto, whole, kReadPiecesMax});
  std::uint64_t id = ++last_read_;
  Reading& r = reads_[id];
  r.done = std::move(done);
  Status started(Error(Code::kNotFound, "not in the journal"));
  if (!pieces.empty()) {
    r.fetch = std::make_unique<JournalFetch>(env_.disk, pool_.dir(), group, std::move(pieces), bytes_max);
    started = r.fetch->start([this, id](auto result) { read_done(id, std::move(result)); });
  }
  if (started) return;
  std::weak_ptr<bool> alive = alive_;
  env_.loop.post([this, alive, id, e = started.error()] {
    if (!alive.expired()) read_done(id, Error(Code::kNotFound, e.detail));
  });
}

void JournalImpl::read_done(std::uint64_t id, Result<std::vector<JournalRecord>> result) {
  Reading r = std::move(reads_.extract(id).mapped());
  std::weak_ptr<bool> alive = alive_;
  if (r.fetch) {
    if (!r.fetch->trouble().empty()) env_.log.warn("journal: read back: " + r.fetch->trouble());
    // This is inside a completion of its file.
    if (read_before_.empty()) {
      env_.loop.post([this, alive] {
        if (!alive.expired()) read_before_.clear();
      });
    }
    read_before_.push_back(std::move(r.fetch));
  }
  r.done(std::move(result));
}

// Gives back files from the oldest on. What made a file idle (a newer entry, hard state or removal)
// must be durable first: the frames placed by then are the gate.
void JournalImpl::reap() {
  if (error_) return;
  while (ledger_.oldest_released()) {
    const auto& oldest = ledger_.files().front();
    if (current_ && oldest.use == current_->at.use) return;
    if (!ledger_.oldest_idle()) {
      carry_ = carry_frame_ <= synced_through_;
      return;
    }
    if (oldest.gate == 0) ledger_.set_oldest_gate(next_frame_ - 1);
    if (oldest.gate > synced_through_) return;
    auto freed = ledger_.pop_oldest();
    first_needed_ = ledger_.files().empty() ? next_frame_ : ledger_.files().front().first_frame;
    pool_.give_back(std::move(freed.name), freed.bytes, next_frame_, first_needed_);
  }
}

GroupId JournalImpl::laggard() const {
  if (ledger_.files().empty()) return GroupId(0);
  if (current_ && ledger_.files().front().use == current_->at.use) return GroupId(0);
  return ledger_.laggard();
}

const JournalStats& JournalImpl::stats() const {
  stats_.files = static_cast<unsigned>(live_files()) + pool_.count();
  return stats_;
}

void JournalImpl::drain(env::DiskDone done) {
  if (error_ || durable_ >= appended_) {
    Status s = error_ ? Status(*error_) : ok();
    env_.loop.post([done = std::move(done), s = std::move(s)]() mutable { done(std::move(s)); });
    return;
  }
  drains_.push_back({appended_, std::move(done)});
  start();
  if (!options_.sync_always) sync_now();
}

void JournalImpl::arm_sync_timer() {
  if (error_ || options_.sync_always || options_.sync_interval_ns <= 0 || sync_timer_ != 0) return;
  if (covered_.empty()) return;
  sync_timer_ = env_.loop.at(env_.clock.now() + options_.sync_interval_ns, [this] {
    sync_timer_ = 0;
    sync_now();
    arm_sync_timer();
  });
}

bool JournalImpl::promise_is_due() const {
  return last_data_frame_ > last_promise_ && last_data_frame_ <= synced_through_;
}

void JournalImpl::arm_promise_timer() {
  if (error_ || promise_timer_ != 0 || writing_ || !promise_is_due()) return;
  promise_timer_ = env_.loop.at(env_.clock.now() + kIdlePromise, [this] {
    promise_timer_ = 0;
    if (!error_ && !writing_ && queue_.empty() && promise_is_due()) write_promise();
    arm_promise_timer();
  });
}

void JournalImpl::write_promise() {
  if (room(kJournalBlock)) write_frame(Plan{}, env::Sync::kNone);
}

void JournalImpl::close_later(Active active) {
  pool_.retire(std::move(active.at.file));
  pool_.retire(std::move(active.syncer));
}

void JournalImpl::fail(Error error) {
  if (error_) return;
  error_ = Error(error.code, "journal: " + error.detail);
  env_.log.write(Level::kFatal, error_->detail + ": no further write is tried");
  env_.loop.cancel(std::exchange(sync_timer_, 0));
  env_.loop.cancel(std::exchange(promise_timer_, 0));
  std::vector<env::DiskDone> dones;
  if (writing_) dones = std::move(writing_->dones);
  writing_.reset();
  for (auto& q : std::exchange(queue_, {})) dones.push_back(std::move(q.done));
  for (auto& d : std::exchange(drains_, {})) dones.push_back(std::move(d.done));
  std::weak_ptr<bool> alive = alive_;
  Error e = *error_;
  for (auto& done : dones) {
    if (done) done(e);
    if (alive.expired()) return;
  }
}

}  // namespace weir::store
