// FileStore's checkpoints: capture, write segments, commit, take over.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/store/file_store_impl.h"

namespace weir::store {
namespace {

// A segment below this share of segment_bytes is small: rewritten together with a neighbour.
constexpr std::uint64_t kSmallShare = 4;
// The oldest segment of a stream usually dies by itself soon; it is rewritten later than others.
constexpr std::uint64_t kOldestShare = 8;

}  // namespace

Result<Removed> FileStoreImpl::remove(StreamSeq seq) {
  auto removed = core_.remove(seq);
  if (job_ && removed && removed->messages != 0) job_->removed.push_back(seq);
  return removed;
}

Result<Removed> FileStoreImpl::compact(StreamSeq first_keep) {
  auto removed = core_.compact(first_keep);
  if (job_ && removed) job_->first_keep = std::max(job_->first_keep, first_keep);
  return removed;
}

// Segments before `end` worth rewriting: the first that is mostly dead, with small neighbours, no
// more live bytes than one segment holds. One such run per checkpoint bounds its work.
std::vector<std::size_t> FileStoreImpl::choose_old(std::size_t end) const {
  const auto& all = core_.sealed().segments();
  for (std::size_t i = 0; i < end; ++i) {
    const Segment& s = *all[i];
    if (s.no_merge || s.live_bytes * (i == 0 ? kOldestShare : 2) >= s.bytes) continue;
    std::uint64_t sum = s.live_bytes;
    auto joins = [&](std::size_t k) {
      const Segment& n = *all[k];
      if (n.no_merge || sum + n.live_bytes > limits_.segment_bytes) return false;
      if (n.live_bytes * 2 >= n.bytes && n.live_bytes > limits_.segment_bytes / kSmallShare) return false;
      sum += n.live_bytes;
      return true;
    };
    std::size_t to = i + 1;
    while (to < end && joins(to)) ++to;
    std::size_t from = i;
    while (from > 0 && joins(from - 1)) --from;
    std::vector<std::size_t> run;
    for (; from < to; ++from) run.push_back(from);
    return run;
  }
  return {};
}

// Which segments are merged with the tail or with each other. The newest segments are merged with the
// tail while they are not larger than what comes after them: their number stays logarithmic, and a
// byte is rewritten a logarithmic number of times.
std::vector<Sealer::Source> FileStoreImpl::plan(Job& job) {
  const auto& all = core_.sealed().segments();
  std::vector<Sealer::Source> sources;
  std::size_t end = all.size();
  if (core_.tail().count() != 0) {
    std::uint64_t sum = core_.tail().bytes();
    while (end > 0 && !all[end - 1]->no_merge && all[end - 1]->live_bytes <= sum &&
           sum + all[end - 1]->live_bytes <= limits_.segment_bytes) {
      sum += all[--end]->live_bytes;
    }
  }
  auto add = [&](std::size_t i, Sealer::Source& to) {
    Segment& s = *all[i];
    s.in_job = true;
    to.inputs.push_back({all[i], s.dead});
    job.merged.push_back({all[i], s.dead, s.live, s.live_bytes, s.dirty});
  };
  Sealer::Source old;
  for (std::size_t i : choose_old(end)) add(i, old);
  if (!old.inputs.empty()) sources.push_back(std::move(old));
  if (core_.tail().count() != 0) {
    Sealer::Source fresh;
    for (std::size_t i = end; i < all.size(); ++i) add(i, fresh);
    fresh.messages = job.messages;
    sources.push_back(std::move(fresh));
  }
  return sources;
}

// Everything that the commit will say about this moment.
void FileStoreImpl::capture(Job& job) {
  const StoreState& s = core_.state();
  job.state.last_seq = s.last_seq;
  job.state.last_time = s.last_time;
  const MessageTail& tail = core_.tail();
  job.messages.reserve(tail.count());
  for (StreamSeq q = tail.next_live(StreamSeq(1)); q.v != 0; q = tail.next_live(q + 1)) {
    job.messages.push_back(tail.get(q));
  }
  job.doomed.swap(core_.sealed().dropped());
  job.cleared.swap(unlinked_);
  StoreKeys k = keys();
  for (const auto& x : job.doomed) {
    job.edits.push_back({k.file(x->file), std::nullopt});
    job.edits.push_back({k.dead(x->file), std::nullopt});
    job.edits.push_back({k.unlink(x->file), std::string()});
  }
  for (std::uint64_t n : job.cleared) job.edits.push_back({k.unlink(n), std::nullopt});
}

void FileStoreImpl::checkpoint(std::vector<CatalogEdit> owner_edits, env::DiskDone done) {
  CHECK(!job_ && !dead_, "one checkpoint at a time");
  job_ = std::make_shared<Job>();
  Job& job = *job_;
  job.store = this;
  job.done = std::move(done);
  job.edits = std::move(owner_edits);
  capture(job);
  auto sources = plan(job);
  StoreKeys k = keys();
  for (const auto& ref : core_.sealed().segments()) {
    Segment& s = *ref;
    if (s.dirty && !s.in_job)
      job.edits.push_back({k.dead(s.file), encode_dead(s.live, s.live_bytes, s.dead)});
    s.dirty = false;
  }
  if (sources.empty()) return commit();
  if (auto started = start_sealing(job, std::move(sources)); !started) fail_later(started.error());
}

Status FileStoreImpl::start_sealing(Job& job, std::vector<Sealer::Source> sources) {
  if (!folder_made_) {
    RETURN_IF_ERROR(reader().disk().mkdirs(reader().dir()));
    folder_made_ = true;
  }
  job.sealer =
      std::make_unique<Sealer>(reader(), limits_, next_file_, [this](const Status& s) { on_sealed(s); });
  return job.sealer->start(std::move(sources));
}

// A completion never runs inside the call that started it; an empty commit is the next turn.
void FileStoreImpl::fail_later(Error error) {
  catalog_.commit({}, [job = std::weak_ptr<Job>(job_), error = std::move(error)](const Status&) {
    if (auto j = job.lock()) j->store->on_sealed(error);
  });
}

void FileStoreImpl::on_sealed(const Status& status) {
  if (status) return commit();
  Segment* bad = nullptr;
  if (job_->sealer) {
    job_->sealer->discard();
    bad = job_->sealer->bad_input();
  }
  log_.error("store: checkpoint of group " + std::to_string(reader().group().v) +
             " failed: " + status.error().to_string());
  if (bad == nullptr) return finish_job(status);
  bad->no_merge = true;
  retry_without_merges();
}

// An old segment cannot be read. That must not keep new messages from the disk: they are written
// alone, and the old segments stay what they are.
void FileStoreImpl::retry_without_merges() {
  Job& job = *job_;
  StoreKeys k = keys();
  for (auto& m : job.merged) {
    m.segment->in_job = false;
    if (m.dirty) job.edits.push_back({k.dead(m.segment->file), encode_dead(m.live, m.live_bytes, m.dead)});
  }
  job.merged.clear();
  if (job.messages.empty()) {
    job.sealer.reset();
    return commit();
  }
  Sealer::Source fresh;
  fresh.messages = job.messages;
  std::vector<Sealer::Source> sources;
  sources.push_back(std::move(fresh));
  if (auto started = start_sealing(job, std::move(sources)); !started) {
    if (job.sealer) job.sealer->discard();
    finish_job(started);
  }
}

void FileStoreImpl::commit() {
  Job& job = *job_;
  StoreKeys k = keys();
  if (job.sealer) {
    for (auto& out : job.sealer->outputs()) {
      Segment& s = *out.segment;
      job.edits.push_back({k.file(s.file), encode_segment_entry(s)});
      if (!s.dead.empty()) job.edits.push_back({k.dead(s.file), encode_dead(s.live, s.live_bytes, s.dead)});
    }
  }
  for (const auto& m : job.merged) {
    job.edits.push_back({k.file(m.segment->file), std::nullopt});
    job.edits.push_back({k.dead(m.segment->file), std::nullopt});
    job.edits.push_back({k.unlink(m.segment->file), std::string()});
  }
  job.state.next_file = next_file_;
  job.committed = true;
  job.edits.push_back({k.state, encode_saved_state(job.state)});
  catalog_.commit(std::move(job.edits), [job = std::weak_ptr<Job>(job_)](const Status& status) {
    auto j = job.lock();
    if (!j) return;
    if (status) j->store->install();
    j->store->finish_job(status);
  });
}

// The new segments take the place of the old ones and of the tail's flushed part.
void FileStoreImpl::install() {
  Job& job = *job_;
  SegmentSet& sealed = core_.sealed();
  for (const auto& m : job.merged) {
    reader().forget(*m.segment);
    sealed.erase(m.segment.get());
    job.doomed.push_back(m.segment);
  }
  if (!job.messages.empty()) core_.tail().release(job.messages.back().seq);
  if (job.sealer) {
    for (auto& out : job.sealer->outputs()) take_over(out, job);
  }
  for (const auto& s : job.doomed) {
    reader().forget(*s);
    unlink(s->file);
  }
}

// Repeats on a new segment what was removed while it was written.
void FileStoreImpl::take_over(Sealer::Output& output, const Job& job) {
  Segment& s = *output.segment;
  s.cache_id = reader().cache().new_segment();
  auto kill = [&](const SegmentWriter::Row& row) {
    if (!s.dead.add(row.offset)) return;
    --s.live;
    s.live_bytes -= row.size;
    s.dirty = true;
  };
  for (const auto& row : output.rows) {
    if (s.base + row.offset >= job.first_keep) break;
    kill(row);
  }
  for (StreamSeq q : job.removed) {
    if (q < s.base || q > s.last) continue;
    auto row = std::lower_bound(output.rows.begin(), output.rows.end(), s.offset_of(q),
                                [](const auto& r, std::uint32_t offset) { return r.offset < offset; });
    if (row != output.rows.end() && row->offset == s.offset_of(q)) kill(*row);
  }
  if (s.live == 0) {
    core_.sealed().dropped().push_back(output.segment);
  } else {
    core_.sealed().insert(output.segment);
  }
}

void FileStoreImpl::finish_job(const Status& status) {
  JobRef job = std::move(job_);
  for (const auto& m : job->merged) m.segment->in_job = false;
  if (!status) {
    // Nothing of it counts: the next checkpoint says all of it again.
    for (const auto& s : core_.sealed().segments()) s->dirty = true;
    auto& dropped = core_.sealed().dropped();
    dropped.insert(dropped.end(), job->doomed.begin(), job->doomed.end());
    unlinked_.insert(unlinked_.end(), job->cleared.begin(), job->cleared.end());
  }
  job->done(status);
}

}  // namespace weir::store
