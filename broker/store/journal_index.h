// broker/store/journal_index.h - where in the journal's files the entries of a group are.
//
// Room:     pure bookkeeping; part of JournalLedger, which tells it everything.
// Cost:     place, cut and release O(1) amortised; 24 bytes per (group, frame) with unreleased entries,
//           16 bytes per frame of a live file. A group without unreleased entries costs nothing.
// Content:  the entries that count: superseded, cut and released ones are forgotten at once.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/store/journal.h"

namespace weir::store {

/// Consecutive entries of one group in one frame.
struct JournalPiece {
  RaftIndex first;
  std::uint64_t count = 0;
  bool repair = false;  // the record is a repair of that entry
  std::uint64_t frame = 0;
  std::uint64_t offset = 0;  // of the frame in `file`
  std::uint64_t salt = 0;    // of the file's use
  std::string file;
};

class JournalIndex {
 public:
  /// Frames and files are told in order.
  void begin_file(std::string name, std::uint64_t first_frame);
  void set_salt(std::uint64_t salt) { files_.back().salt = salt; }
  void begin_frame(std::uint64_t frame, std::uint64_t offset);
  void drop_oldest_file();

  void place(const JournalRecord& record, std::uint64_t frame);
  void release(GroupId group, RaftIndex upto);

  /// Where `from` and its successors up to `upto` are: as far as they are known without a gap, in at
  /// most `pieces_max` pieces. Frames above `frame_max` are left out.
  struct Want {
    GroupId group;
    RaftIndex from, upto;
    std::uint64_t frame_max = 0;
    std::size_t pieces_max = 0;
  };
  std::vector<JournalPiece> find(const Want& want) const;
  /// Runs kept for all groups; for tests.
  std::size_t size() const;

 private:
  struct Run {
    std::uint64_t first;
    std::uint64_t frame;
    std::uint32_t count;
    std::uint64_t end() const { return first + count; }
  };
  struct Repair {
    std::uint64_t index;
    std::uint64_t frame;
  };
  struct Group {
    std::vector<Run> runs;  // from `head` on: ascending, without overlap
    std::size_t head = 0;
    std::vector<Repair> repairs;  // few, in any order
    bool empty() const { return head == runs.size() && repairs.empty(); }
  };
  struct FrameAt {
    std::uint64_t number;
    std::uint64_t offset;
  };
  struct File {
    std::string name;
    std::uint64_t salt = 0;
    std::uint64_t first_frame = 0;
    std::vector<FrameAt> frames;
  };
  static void cut(Group& g, std::uint64_t from);
  static void add(Group& g, std::uint64_t index, std::uint64_t frame);
  bool locate(JournalPiece& piece) const;

  std::deque<File> files_;
  std::unordered_map<GroupId, Group> groups_;
};

}  // namespace weir::store
