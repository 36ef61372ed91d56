#include "broker/env/testing/sim_disk.h"

#include <algorithm>
#include <cstring>

namespace weir::env::testing {

void SparseBytes::resize(std::uint64_t size) {
  if (size < size_ && size % kPage != 0 && pages_[size / kPage]) {
    auto& page = *pages_[size / kPage];
    std::fill(page.begin() + static_cast<std::ptrdiff_t>(size % kPage), page.end(), std::uint8_t{0});
  }
  pages_.resize((size + kPage - 1) / kPage);
  size_ = size;
}

void SparseBytes::write(std::uint64_t offset, ByteSpan bytes) {
  if (offset + bytes.size() > size_) resize(offset + bytes.size());
  while (!bytes.empty()) {
    std::size_t at = offset % kPage;
    std::size_t n = std::min(bytes.size(), kPage - at);
    auto& page = pages_[offset / kPage];
    if (!page) page = std::make_unique<Page>();
    std::memcpy(page->data() + at, bytes.data(), n);
    offset += n;
    bytes = bytes.subspan(n);
  }
}

std::size_t SparseBytes::read(std::uint64_t offset, std::span<std::uint8_t> out) const {
  if (offset >= size_) return 0;
  std::size_t total = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size_ - offset));
  for (std::size_t done = 0; done < total;) {
    std::size_t at = (offset + done) % kPage;
    std::size_t n = std::min(total - done, kPage - at);
    const auto& page = pages_[(offset + done) / kPage];
    if (page) {
      std::memcpy(out.data() + done, page->data() + at, n);
    } else {
      std::memset(out.data() + done, 0, n);
    }
    done += n;
  }
  return total;
}

SparseBytes SparseBytes::clone() const {
  SparseBytes c;
  c.size_ = size_;
  c.pages_.resize(pages_.size());
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    if (pages_[i]) c.pages_[i] = std::make_unique<Page>(*pages_[i]);
  }
  return c;
}

struct SimDisk::Handle {
  InodeRef inode;
  std::string path;
  std::uint64_t generation = 0;
  bool failed = false;
  std::deque<InFlight> queue;
  Mono last_due{};
};

class SimFile final : public File {
 public:
  SimFile(SimDisk& disk, std::shared_ptr<SimDisk::Handle> handle, bool writable)
      : disk_(disk), handle_(std::move(handle)), writable_(writable) {}
  ~SimFile() override { disk_.close(*handle_); }

  void write(std::uint64_t offset, std::vector<Bytes> slices, Sync sync, DiskDone done) override {
    CHECK(writable_, "write to a file opened for reading");
    disk_.begin_write(handle_, {{offset, std::move(slices)}, sync, std::move(done)});
  }

  Result<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> out) override {
    return read_of(disk_, *handle_, offset, out);
  }

  void read_async(std::uint64_t offset, std::size_t size, DiskRead done) override {
    auto& d = disk_;
    if (!d.alive(*handle_)) return;
    Mono due = d.clock_.now() + d.between(d.options_.write_ns_min, d.options_.write_ns_max);
    // A closed file forgets its reads: the weak reference is gone with the handle.
    std::weak_ptr<SimDisk::Handle> weak = handle_;
    auto id = std::make_shared<TimerId>();
    *id = d.loop_.at(due, [&d, weak, offset, size, id, done = std::move(done)]() mutable {
      d.timers_.erase(*id);
      auto h = weak.lock();
      if (!h || !d.alive(*h)) return;
      std::string out(size, '\0');
      auto got = read_of(d, *h, offset, {reinterpret_cast<std::uint8_t*>(out.data()), size});
      if (!got) return done(got.error());
      out.resize(*got);
      done(std::move(out));
    });
    d.timers_.insert(*id);
  }

  Result<std::uint64_t> size() override {
    if (!disk_.alive(*handle_)) return Error(Code::kIo, handle_->path + ": the disk froze");
    return handle_->inode->cached.size();
  }

 private:
  static Result<std::size_t> read_of(SimDisk& d, SimDisk::Handle& h, std::uint64_t offset,
                                     std::span<std::uint8_t> out) {
    ++d.counts_.reads;
    if (!d.alive(h)) return Error(Code::kIo, h.path + ": the disk froze");
    auto [lo, hi] = d.bad_reads_.equal_range(h.path);
    for (auto it = lo; it != hi; ++it) {
      if (offset < it->second.offset + it->second.size && it->second.offset < offset + out.size()) {
        return Error(Code::kIo, h.path + ": read at " + std::to_string(offset) + ": input/output error");
      }
    }
    return h.inode->cached.read(offset, out);
  }

  SimDisk& disk_;
  std::shared_ptr<SimDisk::Handle> handle_;
  bool writable_;
};

namespace {
std::string folder_of(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}
bool starts_with(const std::string& s, const std::string& prefix) {
  return s.compare(0, prefix.size(), prefix) == 0;
}
Error froze(const std::string& path) {
  return {Code::kIo, path + ": the disk froze"};
}
Survivors pick(Prng& prng, Survivors s) {
  return s == Survivors::kAny ? static_cast<Survivors>(prng.below(5)) : s;
}
}  // namespace

SimDisk::SimDisk(Loop& loop, Clock& clock, std::uint64_t seed, SimDiskOptions options)
    : loop_(loop), clock_(clock), prng_(seed), options_(options) {}

SimDisk::~SimDisk() {
  drop_process();
}

bool SimDisk::operation() {
  if (frozen_) return false;
  ++counts_.operations;
  if (crash_at_ == 0 || counts_.operations < crash_at_) return true;
  frozen_ = true;
  if (on_frozen_) std::exchange(on_frozen_, nullptr)();
  return false;
}

bool SimDisk::alive(const Handle& h) const {
  return !frozen_ && h.generation == generation_;
}

Result<std::unique_ptr<File>> SimDisk::open(const std::string& path, Open mode) {
  if (frozen_) return froze(path);
  auto it = names_.find(path);
  if (mode == Open::kCreate) {
    if (!operation()) return froze(path);
    ++counts_.creates;
    if (it != names_.end() || creating_.count(path)) return Error(Code::kExists, path + ": file exists");
    if (!dirs_.count(folder_of(path))) return Error(Code::kNotFound, path + ": no such folder");
    auto inode = std::make_shared<Inode>();
    it = names_.emplace(path, inode).first;
    changes_.push_back({"", path, inode});
  }
  if (it == names_.end()) return Error(Code::kNotFound, path + ": no such file");
  auto h = std::make_shared<Handle>();
  h->inode = it->second;
  h->path = path;
  h->generation = generation_;
  std::erase_if(handles_, [](const auto& w) { return w.expired(); });
  handles_.push_back(h);
  return std::unique_ptr<File>(std::make_unique<SimFile>(*this, std::move(h), mode != Open::kRead));
}

void SimDisk::begin_write(const std::shared_ptr<Handle>& h, InFlight w) {
  if (!alive(*h) || !operation()) return;
  if (w.sync == Sync::kData && !operation()) return;
  Nanos latency = between(options_.write_ns_min, options_.write_ns_max);
  if (w.sync == Sync::kData) latency += between(options_.sync_ns_min, options_.sync_ns_max);
  h->last_due = std::max(h->last_due, clock_.now() + latency);
  w.timer = loop_.at(h->last_due, [this, h] { finish_write(h); });
  timers_.insert(w.timer);
  h->queue.push_back(std::move(w));
}

void SimDisk::finish_write(const std::shared_ptr<Handle>& h) {
  if (!alive(*h) || h->queue.empty()) return;
  timers_.erase(h->queue.front().timer);
  if (!operation()) return;  // stays in the queue: it may survive the crash
  InFlight w = std::move(h->queue.front());
  h->queue.pop_front();
  Status status = perform(*h, w);
  if (w.done) w.done(std::move(status));
}

Status SimDisk::perform(Handle& h, InFlight& w) {
  if (h.failed) return Error(Code::kIo, h.path + ": failed before, not tried again");
  ++counts_.writes;
  if (fail_write_ && starts_with(h.path, fail_write_->first)) {
    h.failed = true;
    return Error(std::exchange(fail_write_, std::nullopt)->second, h.path + ": write: injected fault");
  }
  std::uint64_t end = w.write.offset;
  for (const auto& s : w.write.slices) end += s.size();
  counts_.written_bytes += end - w.write.offset;
  std::uint64_t size = h.inode->cached.size();
  if (end > size && used_bytes() + (end - size) > options_.capacity_bytes) {
    h.failed = true;
    return Error(Code::kNoSpace, h.path + ": write: no space left on device");
  }
  if (end > w.write.offset) {
    apply(h.inode->cached, w.write);
    h.inode->unsynced.push_back(std::move(w.write));
  }
  if (w.sync != Sync::kData) return ok();
  ++counts_.syncs;
  if (fail_sync_ && starts_with(h.path, *fail_sync_)) {
    fail_sync_.reset();
    h.failed = true;
    survive(*h.inode, std::exchange(h.inode->unsynced, {}), prng_, Survivors::kRandom);
    return Error(Code::kIo, h.path + ": fdatasync: injected fault");
  }
  make_durable(*h.inode);
  return ok();
}

void SimDisk::apply(SparseBytes& to, const Write& w) {
  std::uint64_t at = w.offset;
  for (const auto& s : w.slices) {
    to.write(at, s.span());
    at += s.size();
  }
}

void SimDisk::make_durable(Inode& inode) {
  for (const auto& w : inode.unsynced) apply(inode.durable, w);
  inode.unsynced.clear();
}

// Applies the sectors of `w` for which lives() holds; it is asked once per sector, in order.
void SimDisk::apply_sectors(SparseBytes& to, const Write& w, const std::function<bool()>& lives) {
  std::uint64_t at = w.offset;
  std::uint64_t sector = ~std::uint64_t{0};
  bool live = false;
  for (const auto& slice : w.slices) {
    ByteSpan left = slice.span();
    while (!left.empty()) {
      if (at / kSectorBytes != sector) {
        sector = at / kSectorBytes;
        live = lives();
      }
      std::size_t n = std::min<std::size_t>(left.size(), kSectorBytes - at % kSectorBytes);
      if (live) to.write(at, left.first(n));
      at += n;
      left = left.subspan(n);
    }
  }
}

void SimDisk::survive(Inode& inode, std::vector<Write> writes, Prng& prng, Survivors s) {
  switch (pick(prng, s)) {
    case Survivors::kNone: break;
    case Survivors::kPrefix: writes.resize(prng.below(writes.size() + 1)); [[fallthrough]];
    case Survivors::kAll:
      for (const auto& w : writes) apply(inode.durable, w);
      break;
    case Survivors::kTorn: {
      std::size_t whole = prng.below(writes.size() + 1);
      for (std::size_t i = 0; i < whole; ++i) apply(inode.durable, writes[i]);
      if (whole == writes.size()) break;
      std::size_t bytes = 0;
      for (const auto& b : writes[whole].slices) bytes += b.size();
      std::uint64_t left = prng.below(bytes / kSectorBytes + 2);
      apply_sectors(inode.durable, writes[whole], [&] { return left != 0 && left-- != 0; });
      break;
    }
    case Survivors::kRandom:
    case Survivors::kAny:
      for (const auto& w : writes) apply_sectors(inode.durable, w, [&] { return prng.chance(1, 2); });
      break;
  }
}

void SimDisk::close(Handle& h) {
  if (!alive(h)) return;
  for (auto& w : std::exchange(h.queue, {})) {
    loop_.cancel(w.timer);
    timers_.erase(w.timer);
    if (operation()) (void)perform(h, w).has_value();
  }
}

void SimDisk::create_zeroed(const std::string& path, std::uint64_t size, DiskDone done) {
  if (!operation()) return;
  if (names_.count(path) || creating_.count(path) || !dirs_.count(folder_of(path))) {
    Error e = dirs_.count(folder_of(path)) ? Error(Code::kExists, path + ": file exists")
                                           : Error(Code::kNotFound, path + ": no such folder");
    auto generation = generation_;
    loop_.post([this, generation, e, done = std::move(done)]() mutable {
      if (generation == generation_ && !frozen_) done(e);
    });
    return;
  }
  creating_.emplace(path, Creating{size, std::move(done)});
  Nanos latency = between(options_.create_ns_min, options_.create_ns_max);
  auto id = std::make_shared<TimerId>();
  *id = loop_.at(clock_.now() + latency, [this, path, id] {
    timers_.erase(*id);
    finish_create(path);
  });
  timers_.insert(*id);
}

void SimDisk::finish_create(const std::string& path) {
  if (!operation()) return;
  ++counts_.creates;
  auto node = creating_.extract(path);
  if (node.empty()) return;
  Creating c = std::move(node.mapped());
  if (fail_write_ && starts_with(path, fail_write_->first)) {
    Code code = std::exchange(fail_write_, std::nullopt)->second;
    return c.done(Error(code, path + ": write: injected fault"));
  }
  if (used_bytes() + c.size > options_.capacity_bytes) {
    return c.done(Error(Code::kNoSpace, path + ": write: no space left on device"));
  }
  counts_.written_bytes += c.size;
  auto inode = std::make_shared<Inode>();
  inode->durable.resize(c.size);
  inode->cached.resize(c.size);
  names_[path] = inode;
  durable_names_[path] = inode;
  c.done(ok());
}

Status SimDisk::mkdirs(const std::string& path) {
  if (!operation()) return froze(path);
  for (std::string p = path; !p.empty(); p = folder_of(p)) dirs_.insert(p);
  return ok();
}

Result<std::vector<DirEntry>> SimDisk::list(const std::string& path) {
  if (frozen_) return froze(path);
  if (!dirs_.count(path)) return Error(Code::kNotFound, path + ": no such folder");
  std::map<std::string, DirEntry> found;
  for (const auto& d : dirs_) {
    if (!d.empty() && folder_of(d) == path) {
      std::string name = path.empty() ? d : d.substr(path.size() + 1);
      found[name] = {name, true, 0};
    }
  }
  std::string prefix = path.empty() ? "" : path + "/";
  for (auto it = names_.lower_bound(prefix); it != names_.end() && starts_with(it->first, prefix); ++it) {
    std::string name = it->first.substr(prefix.size());
    if (name.find('/') == std::string::npos) found[name] = {name, false, it->second->cached.size()};
  }
  std::vector<DirEntry> out;
  for (auto& [name, entry] : found) out.push_back(std::move(entry));
  return out;
}

Status SimDisk::rename(const std::string& from, const std::string& to) {
  if (!operation()) return froze(from);
  ++counts_.renames;
  auto it = names_.find(from);
  if (it == names_.end()) return Error(Code::kNotFound, from + ": no such file");
  if (!dirs_.count(folder_of(to))) return Error(Code::kNotFound, to + ": no such folder");
  if (from == to) return ok();
  changes_.push_back({from, to, it->second});
  apply_change(names_, changes_.back());
  return ok();
}

Status SimDisk::link(const std::string& from, const std::string& to) {
  if (!operation()) return froze(from);
  auto it = names_.find(from);
  if (it == names_.end()) return Error(Code::kNotFound, from + ": no such file");
  if (!dirs_.count(folder_of(to))) return Error(Code::kNotFound, to + ": no such folder");
  if (names_.count(to) != 0) return Error(Code::kExists, to + ": exists");
  changes_.push_back({"", to, it->second});
  apply_change(names_, changes_.back());
  return ok();
}

Status SimDisk::remove(const std::string& path) {
  if (!operation()) return froze(path);
  ++counts_.removes;
  auto it = names_.find(path);
  if (it == names_.end()) return Error(Code::kNotFound, path + ": no such file");
  changes_.push_back({path, "", it->second});
  apply_change(names_, changes_.back());
  return ok();
}

void SimDisk::apply_change(std::map<std::string, InodeRef>& names, const DirChange& c) {
  auto it = names.find(c.from);
  if (!c.from.empty() && it != names.end() && it->second == c.inode) names.erase(it);
  if (!c.to.empty()) names[c.to] = c.inode;
}

Status SimDisk::sync_dir(const std::string& path) {
  if (!operation()) return froze(path);
  ++counts_.dir_syncs;
  if (!dirs_.count(path)) return Error(Code::kNotFound, path + ": no such folder");
  std::erase_if(changes_, [&](const DirChange& c) {
    if (folder_of(c.to.empty() ? c.from : c.to) != path) return false;
    apply_change(durable_names_, c);
    return true;
  });
  return ok();
}

Result<DiskSpace> SimDisk::space() {
  std::uint64_t used = used_bytes();
  return DiskSpace{options_.capacity_bytes,
                   options_.capacity_bytes - std::min(used, options_.capacity_bytes)};
}

void SimDisk::drop_process() {
  ++generation_;
  for (TimerId id : std::exchange(timers_, {})) loop_.cancel(id);
  creating_.clear();
  frozen_ = false;
  crash_at_ = 0;
  on_frozen_ = nullptr;
}

void SimDisk::crash(Prng& prng, Survivors survivors) {
  std::map<Inode*, std::vector<Write>> flying;
  for (auto& weak : handles_) {
    auto h = weak.lock();
    if (!h || h->generation != generation_) continue;
    for (auto& w : std::exchange(h->queue, {})) {
      if (!h->failed) flying[h->inode.get()].push_back(std::move(w.write));
    }
  }
  Survivors of_names = pick(prng, survivors);
  std::size_t whole = of_names == Survivors::kNone ? 0 : changes_.size();
  if (of_names == Survivors::kPrefix || of_names == Survivors::kTorn) whole = prng.below(changes_.size() + 1);
  for (std::size_t i = 0; i < whole; ++i) {
    if (of_names != Survivors::kRandom || prng.chance(1, 2)) apply_change(durable_names_, changes_[i]);
  }
  changes_.clear();
  for (auto& [path, c] : creating_) {
    Survivors s = pick(prng, survivors);
    if (s == Survivors::kNone) continue;
    auto inode = std::make_shared<Inode>();
    inode->durable.resize(s == Survivors::kAll ? c.size
                                               : prng.below(c.size / kSectorBytes + 1) * kSectorBytes);
    durable_names_[path] = inode;
  }
  for (auto& [path, inode] : durable_names_) {
    auto writes = std::exchange(inode->unsynced, {});
    auto it = flying.find(inode.get());
    if (it != flying.end()) {
      for (auto& w : it->second) writes.push_back(std::move(w));
    }
    survive(*inode, std::move(writes), prng, survivors);
    inode->cached = inode->durable.clone();
  }
  names_ = durable_names_;
  drop_process();
}

void SimDisk::kill(Prng& prng) {
  for (auto& weak : handles_) {
    auto h = weak.lock();
    if (!h || h->generation != generation_ || h->failed) continue;
    auto queue = std::exchange(h->queue, {});
    std::size_t n = prng.below(queue.size() + 1);
    for (std::size_t i = 0; i < n; ++i) (void)perform(*h, queue[i]).has_value();
  }
  for (auto& [path, c] : creating_) {
    if (prng.chance(1, 3)) continue;
    auto inode = std::make_shared<Inode>();
    std::uint64_t size = prng.chance(1, 2) ? c.size : prng.below(c.size + 1);
    inode->durable.resize(size);
    inode->cached.resize(size);
    names_[path] = inode;
    changes_.push_back({"", path, inode});
  }
  drop_process();
}

void SimDisk::wipe() {
  names_.clear();
  durable_names_.clear();
  changes_.clear();
  dirs_ = {""};
  clear_faults();
}

void SimDisk::crash_at(std::uint64_t operation) {
  crash_at_ = operation == 0 ? 0 : counts_.operations + operation;
}

void SimDisk::fail_reads(const std::string& path, std::uint64_t offset, std::uint64_t size) {
  std::uint64_t from = offset / kSectorBytes * kSectorBytes;
  std::uint64_t to = (offset + size + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
  bad_reads_.emplace(path, BadRead{from, to - from});
}

bool SimDisk::flip_bit(const std::string& path, std::uint64_t offset, unsigned bit) {
  auto it = names_.find(path);
  if (it == names_.end() || offset >= it->second->cached.size()) return false;
  for (SparseBytes* b : {&it->second->durable, &it->second->cached}) {
    std::uint8_t byte = 0;
    if (b->read(offset, {&byte, 1}) == 0) continue;
    byte = static_cast<std::uint8_t>(byte ^ (1u << (bit & 7)));
    b->write(offset, {&byte, 1});
  }
  return true;
}

std::optional<std::string> SimDisk::content(const std::string& path) const {
  auto it = names_.find(path);
  if (it == names_.end()) return std::nullopt;
  std::string out(it->second->cached.size(), '\0');
  (void)it->second->cached.read(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
  return out;
}

void SimDisk::put(const std::string& path, std::string_view bytes) {
  auto inode = std::make_shared<Inode>();
  inode->durable.write(0, as_span(bytes));
  inode->cached.write(0, as_span(bytes));
  names_[path] = inode;
  durable_names_[path] = inode;
  for (std::string p = folder_of(path); !p.empty(); p = folder_of(p)) dirs_.insert(p);
}

std::vector<std::string> SimDisk::files() const {
  std::vector<std::string> out;
  for (const auto& [path, inode] : names_) out.push_back(path);
  return out;
}

std::uint64_t SimDisk::used_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [path, inode] : names_) sum += inode->cached.size();
  for (const auto& [path, c] : creating_) sum += c.size;
  return sum;
}

}  // namespace weir::env::testing
