// broker/store/segment_writer.h - turns messages into the bytes of one segment file, piece by piece.
//
// Room:     pure; the Sealer writes the pieces one after the other. Thread: one shard.
// Order:    add()... take_block(), repeated; then take_pages() until empty; then finish().
// Memory:   while it lives: the block under way, a tree of all subjects, 16 bytes per message.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "broker/store/segment_reader.h"
#include "broker/subject/subject_tree.h"

namespace weir::store {

class SegmentWriter {
 public:
  struct Row {
    std::uint32_t offset = 0;  // sequence minus base
    std::uint32_t size = 0;    // file_stored_size
  };

  SegmentWriter(GroupId group, std::uint64_t file) : group_(group), file_(file) {}

  /// False: a message with this sequence needs a new segment (a wide gap).
  bool accepts(StreamSeq seq) const;
  void add(const Message& m);
  /// Content of the block under way.
  std::size_t block_bytes() const { return block_.content_bytes(); }
  bool block_empty() const { return block_.empty(); }
  /// Bytes taken so far.
  std::uint64_t file_bytes() const { return offset_; }

  Bytes take_block();
  /// About `limit` bytes of dictionary; empty when there is no more.
  Bytes take_pages(std::size_t limit);
  /// Footer and trailer. Call once, last.
  Bytes finish();

  /// After finish(): what memory keeps of the segment (without a cache id), every message live.
  std::shared_ptr<Segment> segment() const;
  /// By offset.
  std::vector<Row>& rows() { return rows_; }

 private:
  GroupId group_;
  std::uint64_t file_;
  std::uint64_t offset_ = 0;
  BlockBuilder block_;
  SegmentFooter footer_;
  FooterPlace place_;
  std::vector<Row> rows_;

  // The dictionary: subjects are numbered in order of first use.
  struct Subject {
    std::uint64_t name_at = 0;  // in names_
    std::uint32_t name_bytes = 0;
    std::uint32_t count = 0;
    std::size_t first = 0;  // in offsets_, when sorted
  };
  void sort_dictionary();

  subject::SubjectTree<std::uint32_t> numbers_;
  std::vector<Subject> subjects_;
  std::vector<std::uint32_t> row_subjects_;  // by row
  std::string names_;
  bool sorted_ = false;
  std::vector<std::uint32_t> order_;    // numbers in byte order of subjects
  std::vector<std::uint32_t> offsets_;  // of all rows, subject by subject
  std::size_t written_ = 0;             // of order_
};

}  // namespace weir::store
