// tests/fuzz/journal_fuzz.cc - recovery of a journal from bytes that a fuzzer made.
//
// Input: one mode byte, then
//   mode 0   the content of one file, as it is;
//   mode 1   edits of a valid two-file journal: groups of 4 bytes (file and offset, operation, value).
//            What is handed out must have been in the valid one;
//   mode 2   the same edits, then all checksums of headers, tables and entries are made right again:
//            contradictory but well-formed files. Then a whole journal is opened, written to, drained.
// Oracle: no crash, no CHECK; bounds and orders of what is reported; no payload that is not in a file.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "broker/base/crc32c.h"
#include "broker/base/varint.h"
#include "broker/env/testing/sim_disk.h"
#include "broker/store/journal.h"
#include "broker/store/journal_format.h"
#include "broker/store/journal_reader.h"

namespace {

using namespace weir;
using namespace weir::store;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "journal_fuzz: %s\n", what);
  std::abort();
}

constexpr std::uint64_t kFileBytes = 16 * 1024;
using Files = std::map<std::string, std::string>;

struct Base {
  Files files;
  std::set<std::string> payloads;
};

/// A journal of three files with every kind of record, a cut suffix, and a rewritten tail.
const Base& base() {
  static const Base made = [] {
    Base b;
    env::testing::SimEnv world(1);
    auto e = world.env();
    JournalOptions options;
    options.file_bytes = kFileBytes;
    std::unique_ptr<Journal> journal;
    auto open = [&] { journal = std::move(Journal::open(e, "j", options, nullptr, nullptr)).value(); };
    auto add = [&](std::uint32_t g, RecordKind kind, std::uint64_t index, std::string payload) {
      b.payloads.insert(payload);
      journal->append({GroupId(g), kind, Term(2), RaftIndex(index), Bytes::copy_of(payload)}, nullptr);
      journal->flush();
      world.loop.run_for(3 * kMillisecond);
    };
    open();
    for (std::uint64_t i = 1; i <= 6; ++i) {
      add(1, RecordKind::kEntry, i, "entry " + std::to_string(i));
      add(2, RecordKind::kHardState, 0, "state " + std::to_string(i));
    }
    add(1, RecordKind::kEntry, 4, std::string(300, 'c'));
    add(3, RecordKind::kEntry, 1, "three");
    add(1, RecordKind::kRepairedEntry, 2, "entry 2 again");
    add(1, RecordKind::kCut, 3, "");
    add(4, RecordKind::kNoop, 1, "");
    add(4, RecordKind::kConfig, 2, "members");
    Prng prng(1);
    world.loop.forget_all();
    world.disk.kill(prng);
    journal.reset();
    open();
    world.loop.run_for(3 * kMillisecond);
    add(3, RecordKind::kRemoved, 0, "");
    add(4, RecordKind::kReset, 50, "");
    add(4, RecordKind::kEntry, 51, "after the reset");
    add(2, RecordKind::kEntry, 1, "last");
    for (const auto& p : world.disk.files()) b.files[p] = *world.disk.content(p);
    return b;
  }();
  return made;
}

class Check final : public JournalSink {
 public:
  Check(const Files& files, const std::set<std::string>* only) : files_(files), only_(only) {}
  void file(const JournalFileFound& f) override {
    require(f.use > use_, "files are not in order of use");
    use_ = f.use;
  }
  void frame(std::uint64_t number, std::uint64_t offset) override {
    require(number >= frame_, "frames are not in order");
    require(offset % kJournalBlock == 0, "a frame that does not begin with a block");
    frame_ = number;
  }
  void record(const JournalRecord& r, std::uint64_t frame) override {
    require(frame == frame_, "a record outside of its frame");
    require(use_ != 0, "a record before its file");
    require(frame >= 1 && frame <= kJournalNumberMax, "impossible frame number");
    std::string payload(r.payload.text());
    if (only_) require(only_->count(payload) == 1, "a payload that was never written");
    bool there = payload.empty();
    for (const auto& [name, bytes] : files_) there = there || bytes.find(payload) != std::string::npos;
    require(there, "a payload that is in no file");
    ++records_;
  }
  void fault(const JournalFault& f) override {
    require(f.from <= f.to, "a fault that ends before it begins");
    require(is_entry(f.kind), "a lost entry that is none");
    require(f.term.v == 0 || f.group.v != 0 || f.from.v == 0, "a term of entries that nobody knows");
    require(!f.detail.empty(), "a fault without a word");
  }
  void finish(const JournalFound& found) const {
    require(found.void_from <= found.void_to && found.void_to <= found.next_frame,
            "void range beyond the end");
    require(found.tail.size() <= records_, "a tail larger than the content");
    require(found.next_use > use_, "use numbers would repeat");
    std::uint64_t total = 0;
    for (const auto& [name, bytes] : files_) total += bytes.size();
    require(records_ <= total / kTableEntryBytes, "more records than the files have room for");
  }

 private:
  const Files& files_;
  const std::set<std::string>* only_;
  std::uint64_t use_ = 0;
  std::uint64_t frame_ = 0;
  std::uint64_t records_ = 0;
};

void edit(Files& files, ByteSpan edits) {
  std::vector<std::string*> order;
  for (auto& [name, bytes] : files) order.push_back(&bytes);
  for (; edits.size() >= 4; edits = edits.subspan(4)) {
    // 6 bits: file and block; 10 bits: place within the first 1 KiB of the block, where the fields are.
    std::string& bytes = *order[(edits[0] & 3u) % order.size()];
    std::size_t block = (edits[0] >> 2) % (bytes.size() / kJournalBlock);
    std::size_t at = block * kJournalBlock + ((std::size_t{edits[1]} | std::size_t{edits[2]} << 8) & 0x3ff);
    switch (edits[2] >> 5) {
      case 0: bytes[at] = static_cast<char>(edits[3]); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << (edits[3] & 7))); break;
      case 2: bytes[at] = static_cast<char>(bytes[at] + 1); break;
      case 3: bytes[at] = static_cast<char>(bytes[at] - 1); break;
      case 4:
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(block * kJournalBlock), kJournalBlock, '\0');
        break;
      case 5: {  // a block put where another one was: a misdirected write
        std::size_t to = edits[3] % (bytes.size() / kJournalBlock);
        bytes.replace(to * kJournalBlock, kJournalBlock, bytes.substr(block * kJournalBlock, kJournalBlock));
        break;
      }
      case 6: bytes.resize(bytes.size() > kJournalBlock ? bytes.size() - kJournalBlock : bytes.size()); break;
      default: std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 1, '\xff'); break;
    }
  }
}

void make_checksums_right(std::string& bytes) {
  auto* p = reinterpret_cast<std::uint8_t*>(bytes.data());
  if (bytes.size() < kJournalBlock) return;
  put_u32(p + 60, crc32c({p, 60}));
  for (std::size_t at = kJournalBlock; at + kJournalBlock <= bytes.size(); at += kJournalBlock) {
    std::uint8_t* f = p + at;
    if (f[0] != 'W') continue;
    std::uint32_t seed = frame_seed(get_u64(f + 8), get_u64(f + 24));
    std::uint64_t count = get_u32(f + 68);
    std::size_t room = bytes.size() - at;
    if (kFrameHeaderBytes + count * kTableEntryBytes <= room) {
      for (std::size_t i = 0; i < count; ++i) {
        std::uint8_t* e = f + kFrameHeaderBytes + i * kTableEntryBytes;
        auto d = decode_table_entry(e);
        if (std::uint64_t{d.offset} + d.length > room) continue;
        put_u32(e + 40, crc32c({f + d.offset, d.length}, crc32c({e, 40}, seed)));
      }
      put_u32(f + 72, crc32c({f + kFrameHeaderBytes, count * kTableEntryBytes}, seed));
    }
    put_u32(f + 76, crc32c({f, 76}));
  }
}

void read_files(const Files& files, const std::set<std::string>* only) {
  env::testing::SimEnv world(1);
  for (const auto& [name, bytes] : files) world.disk.put(name, bytes);
  Check check(files, only);
  auto found = read_journal(world.disk, world.log, "j", check);
  if (found) {
    check.finish(*found);
  } else {
    require(found.error().code == Code::kUnsupported, "an error that bytes must not cause");
  }
}

void open_whole(const Files& files) {
  env::testing::SimEnv world(1);
  for (const auto& [name, bytes] : files) world.disk.put(name, bytes);
  auto e = world.env();
  JournalOptions options;
  options.file_bytes = kFileBytes;
  std::size_t records = 0;
  auto journal = Journal::open(
      e, "j", options, [&](const JournalRecord&) { ++records; }, nullptr);
  if (!journal) return;
  bool drained = false;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    (*journal)->append(
        {GroupId(7), RecordKind::kEntry, Term(9), RaftIndex(i), Bytes::copy_of(std::string(3000, 'n'))},
        nullptr);
  }
  for (std::uint32_t g = 0; g < 8; ++g) (*journal)->release(GroupId(g), RaftIndex(3));
  for (std::uint32_t g = 0; g < 8; ++g) {
    for (std::uint64_t i = 0; i < 60; ++i) {
      (*journal)->read(GroupId(g), RaftIndex(i), RaftIndex(~std::uint64_t{0}), 100, [i](auto got) {
        if (got) require(!got->empty() && got->front().index.v == i, "not what was asked for");
      });
    }
  }
  (*journal)->drain([&](Status s) { drained = s.has_value(); });
  world.loop.run_for(kSecond);
  require(drained, "a journal that was opened cannot be written to");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  ByteSpan rest(data + 1, size - 1);
  if (data[0] % 3 == 0) {
    Files files{{"j/00000001.jnl", std::string(as_text(rest))}};
    read_files(files, nullptr);
    return 0;
  }
  Files files = base().files;
  edit(files, rest);
  if (data[0] % 3 == 1) {
    read_files(files, &base().payloads);
    return 0;
  }
  for (auto& [name, bytes] : files) make_checksums_right(bytes);
  read_files(files, nullptr);
  open_whole(files);
  return 0;
}
