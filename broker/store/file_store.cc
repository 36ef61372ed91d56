#include "broker/store/file_store.h"

#include <algorithm>
#include <set>
#include <utility>

#include "broker/base/check.h"
#include "broker/store/file_store_impl.h"

namespace weir::store {
namespace {

constexpr std::string_view kSuffix = ".seg";

// Unlinks all segment files of a folder whose group was deleted by a committed record.
void unlink_segments(env::Disk& disk, Log& log, const std::string& dir) {
  auto entries = disk.list(dir);
  if (!entries) return;
  for (const auto& e : *entries) {
    if (e.is_dir || !std::string_view(e.name).ends_with(kSuffix)) continue;
    if (auto r = disk.remove(dir + "/" + e.name); !r) {
      log.warn("store: cannot unlink " + dir + "/" + e.name + ": " + r.error().to_string());
    }
  }
}

// One step: all keys of a generation go, and a note about its folder stays until the files are gone too.
void removal(const Catalog& catalog, const StoreKeys& keys, const std::string& dir,
             std::vector<CatalogEdit>& edits) {
  catalog.scan(keys.prefix, [&](const std::string& key, const std::string&) {
    edits.push_back({key, std::nullopt});
    return true;
  });
  BytesBuilder folder;
  folder.append_u8(1);
  folder.append_string(dir);
  edits.push_back({keys.destroyed, std::string(folder.text())});
}

bool has_segments(env::Disk& disk, const std::string& dir) {
  auto entries = disk.list(dir);
  return entries && std::any_of(entries->begin(), entries->end(), [](const env::DirEntry& e) {
           return !e.is_dir && std::string_view(e.name).ends_with(kSuffix);
         });
}

}  // namespace

Result<std::unique_ptr<FileStore>> FileStore::open(env::Disk& disk, Catalog& catalog, BlockCache& cache,
                                                   Log& log, Options options) {
  CHECK(options.block_bytes != 0 && options.segment_bytes != 0);
  auto store = std::make_unique<FileStoreImpl>(catalog, log, options);
  RETURN_IF_ERROR(store->recover(SegmentReader(disk, cache, options.group, std::move(options.dir))));
  return std::unique_ptr<FileStore>(std::move(store));
}

void FileStore::sweep_destroyed(env::Disk& disk, Catalog& catalog, Log& log) {
  std::vector<CatalogEdit> edits;
  std::vector<std::string> dirs;
  catalog.scan("x/", [&](const std::string& key, const std::string& value) {
    Reader r(value);
    if (r.u8() == 1) dirs.emplace_back(r.string());
    edits.push_back({key, std::nullopt});
    return true;
  });
  if (edits.empty()) return;
  // What open() showed may not be on the disk yet; an unlink cannot be taken back.
  catalog.commit({}, [&disk, &catalog, &log, dirs = std::move(dirs), edits](const Status& status) {
    if (!status) return;
    for (const auto& dir : dirs) unlink_segments(disk, log, dir);
    catalog.commit(edits, [](const Status&) {});
  });
}

void FileStore::discard(env::Disk& disk, Catalog& catalog, Log& log, const Options& options,
                        env::DiskDone done) {
  StoreKeys keys(options.group, options.generation);
  std::vector<CatalogEdit> edits;
  bool swept = catalog.get(keys.destroyed).has_value();  // sweep_destroyed() is at it
  if (!swept) {
    removal(catalog, keys, options.dir, edits);
    // Only the note: there are no keys.
    if (edits.size() == 1 && !has_segments(disk, options.dir)) edits.clear();
  }
  bool nothing = edits.empty();
  catalog.commit(std::move(edits), [&disk, &catalog, &log, nothing, dir = options.dir, key = keys.destroyed,
                                    done = std::move(done)](const Status& status) mutable {
    if (!status || nothing) return done(status);
    unlink_segments(disk, log, dir);
    catalog.commit({{key, std::nullopt}}, std::move(done));
  });
}

void FileStore::inherit(env::Disk& disk, Catalog& catalog, const Options& from, const Options& to,
                        env::DiskDone done) {
  StoreKeys old(from.group, from.generation), fresh(to.group, to.generation);
  std::vector<CatalogEdit> edits;
  Status status = disk.mkdirs(to.dir);
  catalog.scan(old.prefix, [&](const std::string& key, const std::string& value) {
    auto [kind, number] = old.parse(key);
    if (kind == 'x') return true;  // its file is going
    if (kind == 'f' && status) {
      std::string name = "/" + segment_file_name(number);
      status = disk.link(from.dir + name, to.dir + name);
    }
    edits.push_back({fresh.prefix + key.substr(old.prefix.size()), value});
    return status.has_value();
  });
  if (status && edits.empty()) status = Error(Code::kNotFound, "nothing to inherit");
  if (status) status = disk.sync_dir(to.dir);
  // A completion never runs inside the call.
  catalog.commit(status ? std::move(edits) : std::vector<CatalogEdit>(),
                 [status, done = std::move(done)](const Status& committed) mutable {
                   done(status ? committed : status);
                 });
}

std::vector<std::uint32_t> FileStore::generations(const Catalog& catalog, GroupId group) {
  std::set<std::uint32_t> found;
  auto note = [&](const std::string& key, const std::string&) {
    if (auto g = StoreKeys::generation_of(group, key)) found.insert(*g);
    return true;
  };
  StoreKeys first(group);
  catalog.scan(first.prefix.substr(0, first.prefix.size() - 1), note);
  catalog.scan(first.destroyed, note);
  return {found.begin(), found.end()};
}

Status FileStoreImpl::recover(SegmentReader reader) {
  StoreKeys keys(reader.group(), generation_);
  if (catalog_.get(keys.destroyed)) {
    return {Code::kUnavailable, "group " + keys.destroyed + " was deleted and its files are still going"};
  }
  core_.sealed() = SegmentSet(std::move(reader));
  SavedState state;
  if (auto saved = catalog_.get(keys.state)) {
    auto decoded = decode_saved_state(*saved);
    if (!decoded) return decoded.error().within("catalog key " + keys.state);
    state = *decoded;
  }
  next_file_ = state.next_file;
  std::vector<SegmentSet::Ref> segments;
  RETURN_IF_ERROR(load_segments(keys, segments));
  RETURN_IF_ERROR(tidy_folder(segments));
  SegmentSet sealed(this->reader());
  for (auto& s : segments) {
    if (sealed.last() >= s->base || s->last > state.last_seq) {
      return {Code::kCorrupt, this->reader().path(*s) + ": the catalog's segments overlap"};
    }
    s->cache_id = this->reader().cache().new_segment();
    sealed.insert(std::move(s));
  }
  RETURN_IF_ERROR(core_.restore(std::move(sealed), state.last_seq, state.last_time));
  unlink_free_files();
  return ok();
}

Status FileStoreImpl::load_segments(const StoreKeys& keys, std::vector<SegmentSet::Ref>& out) {
  Status bad;
  catalog_.scan(keys.prefix + "f", [&](const std::string& key, const std::string& value) {
    auto [kind, number] = keys.parse(key);
    auto decoded = kind == 'f' ? decode_segment_entry(value) : Error{Code::kCorrupt, "not a file number"};
    if (decoded) {
      decoded->file = number;
      auto dead = catalog_.get(keys.dead(number));
      if (dead) bad = decode_dead(*dead, *decoded);
      if (!dead && decoded->messages != std::uint64_t{decoded->span()} + 1) {
        bad = Error{Code::kCorrupt, "segment with gaps but without its dead set"};
      }
    } else {
      bad = decoded.error();
    }
    if (!bad) {
      bad = bad.error().within("catalog key " + key);
      return false;
    }
    next_file_ = std::max(next_file_, number + 1);
    out.push_back(std::make_shared<Segment>(std::move(*decoded)));
    return true;
  });
  RETURN_IF_ERROR(bad);
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a->base < b->base; });
  catalog_.scan(keys.prefix + "x", [&](const std::string& key, const std::string&) {
    if (auto [kind, number] = keys.parse(key); kind == 'x') free_files_.push_back(number);
    return true;
  });
  return ok();
}

// What open() of the catalog showed may not be on the disk yet; an unlink cannot be taken back.
void FileStoreImpl::unlink_free_files() {
  if (free_files_.empty()) return;
  alive_ = std::make_shared<FileStoreImpl*>(this);
  catalog_.commit({}, [alive = std::weak_ptr<FileStoreImpl*>(alive_)](const Status& status) {
    auto self = alive.lock();
    if (!self || !status) return;
    for (std::uint64_t file : std::exchange((*self)->free_files_, {})) (*self)->unlink(file);
  });
}

// Removes a file that a committed record gave free; remembers to take the record back.
void FileStoreImpl::unlink(std::uint64_t file) {
  std::string path = reader().dir() + "/" + segment_file_name(file);
  auto r = reader().disk().remove(path);
  if (r || r.error().code == Code::kNotFound) {
    unlinked_.push_back(file);
  } else {
    log_.warn("store: cannot unlink " + path + ", the next start tries again: " + r.error().to_string());
  }
}

// Every named file must be there with its size; the others are moved aside.
Status FileStoreImpl::tidy_folder(const std::vector<SegmentSet::Ref>& known) {
  const std::string& dir = reader().dir();
  env::Disk& disk = reader().disk();
  std::map<std::string, std::uint64_t> there;
  auto entries = disk.list(dir);
  if (!entries && entries.error().code != Code::kNotFound) return entries.error().within(dir);
  if (entries) {
    for (const auto& e : *entries) {
      if (!e.is_dir) there[e.name] = e.size;
    }
  }
  for (const auto& s : known) {
    auto it = there.find(segment_file_name(s->file));
    if (it == there.end()) return {Code::kCorrupt, reader().path(*s) + " is missing"};
    if (it->second != s->file_bytes) {
      return {Code::kCorrupt, reader().path(*s) + " has " + std::to_string(it->second) + " bytes, not " +
                                  std::to_string(s->file_bytes)};
    }
    there.erase(it);
  }
  for (std::uint64_t n : free_files_) there.erase(segment_file_name(n));
  if (there.empty()) return ok();
  std::string aside = dir + "/lost+found";
  RETURN_IF_ERROR(disk.mkdirs(aside));
  ASSIGN_OR_RETURN(auto lost, disk.list(aside));
  std::set<std::string> taken;
  for (const auto& e : lost) taken.insert(e.name);
  for (const auto& [name, size] : there) {
    std::string target = name;
    for (unsigned n = 1; taken.count(target) != 0; ++n) target = name + "." + std::to_string(n);
    taken.insert(target);
    RETURN_IF_ERROR(disk.rename(dir + "/" + name, aside + "/" + target));
    log_.warn("store: " + dir + "/" + name + " is not in the catalog; moved to lost+found/" + target);
  }
  RETURN_IF_ERROR(disk.sync_dir(aside));
  return disk.sync_dir(dir);
}

std::size_t FileStoreImpl::unflushed_bytes() const {
  return core_.tail().bytes() + core_.tail().count() * 56;
}

void FileStoreImpl::destroy(std::vector<CatalogEdit> owner_edits, env::DiskDone done) {
  CHECK(!dead_, "destroyed twice");
  dead_ = true;
  StoreKeys k = keys();
  std::vector<CatalogEdit> edits = std::move(owner_edits);
  removal(catalog_, k, reader().dir(), edits);
  env::DiskDone checkpoint_done;
  if (job_) {
    // Once the catalog was told, its files stay until the commit below is durable.
    if (job_->sealer && !job_->committed) job_->sealer->discard();
    checkpoint_done = std::move(job_->done);
    job_.reset();
  }
  // The object may be gone when the commit completes: the completion owns what it needs.
  catalog_.commit(
      std::move(edits),
      [&disk = reader().disk(), &catalog = catalog_, &log = log_, dir = reader().dir(), key = k.destroyed,
       checkpoint_done = std::move(checkpoint_done), done = std::move(done)](const Status& status) mutable {
        if (status) {
          unlink_segments(disk, log, dir);
          catalog.commit({{key, std::nullopt}}, [](const Status&) {});
        }
        if (checkpoint_done) checkpoint_done(Error{Code::kUnavailable, "the stream was deleted"});
        done(status);
      });
}

}  // namespace weir::store
