#include "broker/store/catalog.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "broker/store/catalog_format.h"
#include "broker/store/catalog_reader.h"

namespace weir::store {
namespace {

constexpr std::size_t kChunkBytes = 256 * 1024;   // of a copy: one write, then the loop gets its turn
constexpr std::size_t kWriteBytesMax = 4u << 20;  // commits that share one write
constexpr std::size_t kEditOverhead = 12;

class CatalogImpl final : public Catalog {
 public:
  CatalogImpl(env::Disk& disk, Log& log, std::string dir, Options options, CatalogFound found)
      : disk_(disk),
        log_(log),
        dir_(std::move(dir)),
        options_(options),
        content_(std::move(found.content)),
        next_(found.next),
        before_(found.newest),
        obsolete_(std::move(found.others)) {
    for (const auto& [k, v] : content_) live_bytes_ += k.size() + v.size() + kEditOverhead;
  }
  ~CatalogImpl() override;

  Status begin();  // the copy of the start

  void commit(std::vector<CatalogEdit> edits, env::DiskDone done) override;
  std::optional<std::string> get(const std::string& key) const override;
  void scan(const std::string& prefix,
            const std::function<bool(const std::string&, const std::string&)>& visit) const override;
  bool busy() const override { return !error_ && (writing_ || !queue_.empty() || !primary_); }
  bool waits_for_space() const override { return !stuck_.empty(); }
  void retry() override;

 private:
  struct LogFile {
    std::string name;
    std::uint64_t number = 0;
    std::unique_ptr<env::File> file;
    std::uint64_t size = 0;
    std::uint64_t extent = 0;   // bytes that are there; zeros from `size` on
    std::uint64_t batches = 0;  // number of the last one
    std::uint64_t synced = 0;   // batch
  };
  enum class Phase : unsigned char { kCopy, kPresync, kReady, kFinish };
  struct Roll {
    LogFile to;
    std::string cursor;  // keys up to here (exclusive) are copied
    bool writing = false;
    Phase phase = Phase::kCopy;
  };
  struct Commit {
    Bytes body;
    std::uint32_t count = 0;
    env::DiskDone done;
  };

  void apply(const CatalogEdit& e);
  std::vector<Commit> take_queue();
  static void add(BytesBuilder& out, LogFile& to, BatchKind kind, const Commit& c);
  bool grown(LogFile& file, std::uint64_t need);
  void grow(LogFile& file, std::uint64_t need, env::DiskDone done);
  std::uint64_t queued_bytes() const;
  void write();
  void written(std::uint64_t batch, std::vector<env::DiskDone> dones, Status status);
  Status start_roll();
  void step_roll();
  void copy_chunk();
  void append_to_roll(Bytes bytes, env::Sync sync, env::DiskDone done);
  void finish_roll();
  void switch_over(std::vector<env::DiskDone> dones);
  void roll_failed(const Error& error);
  void fail(Error error, std::vector<env::DiskDone> dones);
  void wait_for_space(std::vector<env::DiskDone> dones);
  void remove_obsolete();
  env::File& any_file() { return primary_ ? *primary_->file : *roll_->to.file; }

  env::Disk& disk_;
  Log& log_;
  std::string dir_;
  Options options_;
  CatalogContent content_;
  std::uint64_t live_bytes_ = 0;
  std::uint64_t next_;
  std::uint64_t before_;
  std::vector<std::string> obsolete_;
  std::optional<LogFile> primary_;  // none until the copy of the start is done
  std::optional<Roll> roll_;
  std::vector<std::unique_ptr<env::File>> closed_;  // may be inside one of their completions
  std::deque<Commit> queue_;
  bool writing_ = false;  // to the primary, or the last write of a roll; or there was no space for it
  std::vector<env::DiskDone> stuck_;  // of commits that the primary had no space for
  std::uint64_t roll_at_ = 0;
  std::optional<Error> error_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

CatalogImpl::~CatalogImpl() {
  // A clean stop leaves a promise of the last batch; the file finishes the write when it is closed.
  if (error_ || !primary_ || writing_ || primary_->batches == 0) return;
  BytesBuilder out;
  add(out, *primary_, BatchKind::kLive, Commit{});
  if (!grown(*primary_, primary_->size + out.size())) return;
  primary_->file->write(primary_->size, {out.freeze()}, env::Sync::kNone, nullptr);
}

Status CatalogImpl::begin() {
  RETURN_IF_ERROR(start_roll());
  step_roll();
  return ok();
}

void CatalogImpl::apply(const CatalogEdit& e) {
  auto it = content_.find(e.key);
  if (it != content_.end()) live_bytes_ -= it->first.size() + it->second.size() + kEditOverhead;
  if (!e.value) {
    if (it != content_.end()) content_.erase(it);
    return;
  }
  live_bytes_ += e.key.size() + e.value->size() + kEditOverhead;
  if (it != content_.end()) {
    it->second = *e.value;
  } else {
    content_.emplace(e.key, *e.value);
  }
}

void CatalogImpl::commit(std::vector<CatalogEdit> edits, env::DiskDone done) {
  if (error_) {
    // The file fails every write after the first failure, in a later turn: that is the answer.
    any_file().write(0, {}, env::Sync::kNone, [done = std::move(done), e = *error_](Status) mutable {
      if (done) done(std::move(e));
    });
    return;
  }
  Commit c;
  BytesBuilder body;
  for (const auto& e : edits) {
    append_edit(body, e.key, e.value ? &*e.value : nullptr);
    apply(e);
  }
  c.body = body.freeze();
  c.count = static_cast<std::uint32_t>(edits.size());
  c.done = std::move(done);
  queue_.push_back(std::move(c));
  write();
}

std::optional<std::string> CatalogImpl::get(const std::string& key) const {
  auto it = content_.find(key);
  return it == content_.end() ? std::nullopt : std::optional(it->second);
}

void CatalogImpl::scan(const std::string& prefix,
                       const std::function<bool(const std::string&, const std::string&)>& visit) const {
  for (auto it = content_.lower_bound(prefix); it != content_.end(); ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0 || !visit(it->first, it->second)) return;
  }
}

std::vector<CatalogImpl::Commit> CatalogImpl::take_queue() {
  std::vector<Commit> out;
  std::size_t bytes = 0;
  while (!queue_.empty() && (out.empty() || bytes + queue_.front().body.size() <= kWriteBytesMax)) {
    bytes += queue_.front().body.size();
    out.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return out;
}

void CatalogImpl::add(BytesBuilder& out, LogFile& to, BatchKind kind, const Commit& c) {
  CatalogBatch b;
  b.kind = kind;
  b.file = to.number;
  b.number = ++to.batches;
  b.synced_through = to.synced;
  b.count = c.count;
  b.body = c.body.text();
  append_batch(out, b);
}

// A file that ends within a step has lost its end (scan_catalog): nothing is written there before the step is
// synced, and a copy does not count before its end is written.
bool CatalogImpl::grown(LogFile& file, std::uint64_t need) {
  file.extent = std::max(file.extent, file.size);
  return need <= file.extent && file.extent % options_.grow_bytes == 0;
}

void CatalogImpl::grow(LogFile& file, std::uint64_t need, env::DiskDone done) {
  std::uint64_t to = (need + options_.grow_bytes - 1) / options_.grow_bytes * options_.grow_bytes;
  BytesBuilder zeros;
  std::size_t size = static_cast<std::size_t>(to - file.extent);
  std::memset(zeros.grow(size), 0, size);
  file.file->write(file.extent, {zeros.freeze()}, env::Sync::kData, std::move(done));
  file.extent = to;
}

/// What the queued commits need at most, with an end behind them.
std::uint64_t CatalogImpl::queued_bytes() const {
  std::uint64_t bytes = kCatalogAlign;
  for (const Commit& c : queue_) bytes += kCatalogBatchHeader + c.body.size() + kCatalogAlign;
  return bytes;
}

void CatalogImpl::write() {
  bool held = roll_ && roll_->phase >= Phase::kReady;  // the last step of a roll takes them along
  if (error_ || writing_ || !primary_ || queue_.empty() || held) return;
  if (std::uint64_t need = primary_->size + queued_bytes(); !grown(*primary_, need)) {
    writing_ = true;
    return grow(*primary_, need, [this](Status s) { written(primary_->synced, {}, std::move(s)); });
  }
  auto commits = take_queue();
  BytesBuilder out, mirror;
  std::vector<env::DiskDone> dones;
  for (auto& c : commits) {
    add(out, *primary_, BatchKind::kLive, c);
    if (roll_) add(mirror, roll_->to, BatchKind::kMirror, c);
    dones.push_back(std::move(c.done));
  }
  // The copy passes a commit's keys before or after it; with the commit in the copy's file as well,
  // and before its end, the order does not matter and no commit is there by half.
  if (roll_) append_to_roll(mirror.freeze(), env::Sync::kNone, nullptr);
  writing_ = true;
  std::uint64_t at = primary_->size;
  primary_->size += out.size();
  std::uint64_t last = primary_->batches;
  primary_->file->write(at, {out.freeze()}, env::Sync::kData,
                        [this, last, dones = std::move(dones)](Status s) mutable {
                          written(last, std::move(dones), std::move(s));
                        });
}

void CatalogImpl::written(std::uint64_t batch, std::vector<env::DiskDone> dones, Status status) {
  writing_ = false;
  closed_.clear();
  if (!status && status.error().code == Code::kNoSpace) {
    wait_for_space(std::move(dones));
    return step_roll();  // a copy under way takes them along
  }
  if (!status) return fail(status.error(), std::move(dones));
  primary_->synced = batch;
  std::uint64_t limit = std::max({options_.roll_bytes_min, options_.roll_ratio * live_bytes_, roll_at_});
  if (!roll_ && primary_->size > limit) {
    if (auto s = start_roll(); !s) roll_failed(s.error());
  }
  write();
  step_roll();
  std::weak_ptr<bool> alive = alive_;
  for (auto& done : dones) {
    if (done) done(ok());
    if (alive.expired()) return;
  }
}

Status CatalogImpl::start_roll() {
  Roll r;
  r.to.number = next_++;
  r.to.name = catalog_file_name(r.to.number);
  ASSIGN_OR_RETURN(r.to.file, disk_.open(dir_ + "/" + r.to.name, env::Open::kCreate));
  roll_ = std::move(r);
  append_to_roll(encode_catalog_header(roll_->to.number, before_, options_.grow_bytes), env::Sync::kNone,
                 nullptr);
  return ok();
}

// All writes of one file are done in the order of the calls, and a failed one fails all after it: it
// is enough to look at the completion of those that the next step waits for.
void CatalogImpl::append_to_roll(Bytes bytes, env::Sync sync, env::DiskDone done) {
  std::uint64_t at = roll_->to.size;
  roll_->to.size += bytes.size();
  std::vector<Bytes> slices;
  if (!bytes.empty()) slices.push_back(std::move(bytes));
  roll_->to.file->write(at, std::move(slices), sync, std::move(done));
}

void CatalogImpl::step_roll() {
  if (error_ || !roll_ || roll_->writing) return;
  auto next = [this](Status s) {
    roll_->writing = false;
    if (!s) return roll_failed(s.error());
    step_roll();
  };
  if (roll_->phase == Phase::kCopy) {
    copy_chunk();
  } else if (roll_->phase == Phase::kPresync) {
    // The bulk reaches the disk while commits go on; the last step is short.
    roll_->writing = true;
    std::uint64_t upto = roll_->to.batches;
    append_to_roll({}, env::Sync::kData, [this, upto, next](Status s) {
      if (s) {
        roll_->to.synced = upto;
        roll_->phase = Phase::kReady;
      }
      next(std::move(s));
    });
  } else if (roll_->phase == Phase::kReady && (!writing_ || waits_for_space())) {
    std::uint64_t need = roll_->to.size + queued_bytes();
    if (grown(roll_->to, need)) return finish_roll();
    roll_->writing = true;
    grow(roll_->to, need + options_.grow_bytes, next);
  }
}

void CatalogImpl::copy_chunk() {
  Commit chunk;
  BytesBuilder body;
  auto it = content_.lower_bound(roll_->cursor);
  for (; it != content_.end() && body.size() < kChunkBytes; ++it) {
    append_edit(body, it->first, &it->second);
    ++chunk.count;
  }
  if (it == content_.end()) {
    roll_->phase = Phase::kPresync;
  } else {
    roll_->cursor = it->first;
  }
  chunk.body = body.freeze();
  BytesBuilder out;
  add(out, roll_->to, BatchKind::kCopy, chunk);
  roll_->writing = true;
  append_to_roll(out.freeze(), env::Sync::kNone, [this](Status s) {
    roll_->writing = false;
    if (!s) return roll_failed(s.error());
    step_roll();
  });
}

// No write of the primary is under way. What is queued goes into the new file only, before its end.
void CatalogImpl::finish_roll() {
  roll_->phase = Phase::kFinish;
  roll_->writing = true;
  writing_ = true;
  std::vector<Commit> commits;
  for (auto& c : std::exchange(queue_, {})) commits.push_back(std::move(c));
  BytesBuilder out;
  std::vector<env::DiskDone> dones = std::exchange(stuck_, {});  // the copy has what they changed
  for (auto& c : commits) {
    add(out, roll_->to, BatchKind::kMirror, c);
    dones.push_back(std::move(c.done));
  }
  add(out, roll_->to, BatchKind::kEnd, Commit{});
  append_to_roll(out.freeze(), env::Sync::kData, [this, dones = std::move(dones)](Status s) mutable {
    roll_->writing = false;
    writing_ = false;
    // A file without its end never counts.
    if (!s && s.error().code == Code::kNoSpace && primary_) {
      wait_for_space(std::move(dones));
      return roll_failed(s.error());
    }
    if (s) s = disk_.sync_dir(dir_);
    // The commits taken along may or may not be on disk: nobody can tell, so this is final.
    if (!s) return fail(s.error(), std::move(dones));
    switch_over(std::move(dones));
  });
}

void CatalogImpl::switch_over(std::vector<env::DiskDone> dones) {
  if (primary_) {
    obsolete_.push_back(primary_->name);
    closed_.push_back(std::move(primary_->file));
  }
  roll_->to.synced = roll_->to.batches;
  before_ = roll_->to.number;
  primary_ = std::move(roll_->to);
  roll_.reset();
  roll_at_ = 0;
  remove_obsolete();
  write();
  std::weak_ptr<bool> alive = alive_;
  for (auto& done : dones) {
    if (done) done(ok());
    if (alive.expired()) return;
  }
}

// A file that failed takes no more writes, so these commits reach the disk with the next copy. Nobody was
// told anything of them, and whether the old file has them makes no difference.
void CatalogImpl::wait_for_space(std::vector<env::DiskDone> dones) {
  if (stuck_.empty()) log_.error("catalog: no space on the disk: checkpoints wait until there is some");
  for (auto& done : dones) stuck_.push_back(std::move(done));
  if (stuck_.empty()) stuck_.push_back(nullptr);
  writing_ = true;  // nothing is written to the old file any more
}

void CatalogImpl::retry() {
  if (error_ || !waits_for_space() || roll_) return;
  if (auto s = start_roll(); !s) return roll_failed(s.error());
  step_roll();
}

// The old file is whole: go on with it.
void CatalogImpl::roll_failed(const Error& error) {
  if (!primary_) return fail(error, {});
  log_.warn("catalog: copy given up, tried again later: " + error.detail);
  if (roll_) {
    closed_.push_back(std::move(roll_->to.file));
    obsolete_.push_back(roll_->to.name);
    roll_.reset();
    remove_obsolete();
  }
  roll_at_ = primary_->size + options_.roll_bytes_min;
  write();
}

void CatalogImpl::remove_obsolete() {
  for (const auto& name : std::exchange(obsolete_, {})) {
    if (auto s = disk_.remove(dir_ + "/" + name); !s) log_.warn("catalog: " + s.error().detail);
  }
}

void CatalogImpl::fail(Error error, std::vector<env::DiskDone> dones) {
  if (!error_) {
    error_ = Error(error.code, "catalog: " + error.detail);
    log_.write(Level::kFatal, error_->detail + ": no further write is tried");
  }
  for (auto& c : std::exchange(queue_, {})) dones.push_back(std::move(c.done));
  std::weak_ptr<bool> alive = alive_;
  Error e = *error_;
  for (auto& done : dones) {
    if (done) done(e);
    if (alive.expired()) return;
  }
}

}  // namespace

Result<std::unique_ptr<Catalog>> Catalog::open(env::Disk& disk, Log& log, std::string dir, Options options) {
  ASSIGN_OR_RETURN(auto found, read_catalog(disk, log, dir));
  if (found.newest == 0) {
    // Attempts of a first start that did not get through: begin again with number 1.
    for (const auto& name : found.others) RETURN_IF_ERROR(disk.remove(dir + "/" + name));
    if (!found.others.empty()) RETURN_IF_ERROR(disk.sync_dir(dir));
    found.others.clear();
    found.next = 1;
  }
  auto c = std::make_unique<CatalogImpl>(disk, log, std::move(dir), options, std::move(found));
  RETURN_IF_ERROR(c->begin());
  return std::unique_ptr<Catalog>(std::move(c));
}

}  // namespace weir::store
