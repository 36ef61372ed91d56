#include "broker/store/journal_pool.h"

#include <algorithm>
#include <utility>

#include "broker/store/journal_format.h"
#include "broker/store/journal_reader.h"

namespace weir::store {

JournalPool::JournalPool(env::Env& env, Start start, std::function<void()> on_ready,
                         std::function<void(Error)> on_failed)
    : env_(env), at_(std::move(start)), on_ready_(std::move(on_ready)), on_failed_(std::move(on_failed)) {}

JournalPool::~JournalPool() {
  env_.loop.cancel(retry_);
}

void JournalPool::prepare(std::uint64_t bytes, std::uint64_t first_needed) {
  wanted_bytes_ = std::max(bytes, wanted_bytes_);
  first_needed_ = first_needed;
  if (creating_ || stamping_ || ready(wanted_bytes_)) return;
  if (ready_) {
    // Too small for an oversize frame. Its use number would be older than that of the frame's file,
    // so it must be stamped anew before frames go into it.
    free_.push_back({std::move(ready_->name), ready_->bytes});
    retire(std::move(ready_->file));
    ready_.reset();
  }
  begin();
}

void JournalPool::begin() {
  auto it =
      std::find_if(free_.begin(), free_.end(), [&](const FreeFile& f) { return f.bytes >= wanted_bytes_; });
  if (it != free_.end()) {
    FreeFile f = std::move(*it);
    free_.erase(it);
    return stamp(std::move(f.name), f.bytes);
  }
  creating_ = true;
  std::string name = journal_file_name(at_.next_file++);
  std::uint64_t bytes = std::max(at_.file_bytes, round_to_block(wanted_bytes_));
  std::weak_ptr<bool> alive = alive_;
  env_.disk.create_zeroed(at_.dir + "/" + name, bytes, [this, alive, name, bytes](Status s) {
    if (alive.expired()) return;
    creating_ = false;
    if (s) return stamp(name, bytes);
    if (s.error().code != Code::kNoSpace) return failed(s.error());
    if (!starved_) env_.log.error("journal: no space for " + name + ": " + s.error().detail);
    starved_ = true;
    env_.loop.cancel(retry_);
    retry_ = env_.loop.at(env_.clock.now() + kSecond, [this] {
      retry_ = 0;
      if (!creating_ && !stamping_ && !ready_) begin();
    });
  });
}

void JournalPool::stamp(std::string name, std::uint64_t bytes) {
  auto file = env_.disk.open(at_.dir + "/" + name, env::Open::kWrite);
  if (!file) return failed(file.error());
  JournalFileHeader h;
  do h.salt = env_.random.next();
  while (h.salt == 0);
  h.use = at_.next_use++;
  h.first_needed = first_needed_;
  h.file_bytes = bytes;
  BytesBuilder b(kJournalBlock);
  std::fill_n(b.grow(kJournalBlock), kJournalBlock, std::uint8_t{0});
  encode_file_header(h, b.data());
  stamping_ = JournalFileReady{std::move(name), bytes, h.use, h.salt, std::move(file).value()};
  // The File forgets this completion when it is closed, so `this` is alive.
  stamping_->file->write(0, {b.freeze()}, env::Sync::kData, [this](Status s) {
    if (!s) return failed(s.error());
    ready_ = std::exchange(stamping_, std::nullopt);
    starved_ = false;
    if (!ready(wanted_bytes_)) return prepare(wanted_bytes_, first_needed_);
    on_ready_();
  });
}

void JournalPool::failed(Error error) {
  // Out of the disk's callback or an inline call: always in a later turn, so that the owner's
  // completions never run inside a call of theirs.
  std::weak_ptr<bool> alive = alive_;
  env_.loop.post([this, alive, error = std::move(error)]() mutable {
    if (!alive.expired()) on_failed_(std::move(error));
  });
}

void JournalPool::retire(std::unique_ptr<env::File> file) {
  if (!file) return;
  retired_.push_back(std::move(file));
  if (retired_.size() > 1) return;
  std::weak_ptr<bool> alive = alive_;
  env_.loop.post([this, alive] {
    if (!alive.expired()) retired_.clear();
  });
}

JournalFileReady JournalPool::take() {
  CHECK(ready_.has_value());
  wanted_bytes_ = 0;
  return *std::exchange(ready_, std::nullopt);
}

void JournalPool::give_back(std::string name, std::uint64_t bytes, std::uint64_t next_frame,
                            std::uint64_t first_needed) {
  first_needed_ = first_needed;
  if (bytes == at_.file_bytes && free_.size() < kFreeMax) {
    free_.push_back({std::move(name), bytes});
    if (starved_ && !creating_ && !stamping_ && !ready_) begin();
  } else {
    doomed_.push_back({std::move(name), next_frame});
  }
}

void JournalPool::synced(std::uint64_t frame) {
  std::erase_if(doomed_, [&](const Doomed& d) {
    if (d.gate > frame) return false;
    if (auto s = env_.disk.remove(at_.dir + "/" + d.name); !s) env_.log.warn("journal: " + s.error().detail);
    return true;
  });
}

unsigned JournalPool::count() const {
  std::size_t n = free_.size() + doomed_.size() + (ready_ || stamping_ || creating_ ? 1 : 0);
  return static_cast<unsigned>(n);
}

}  // namespace weir::store
