// broker/server/tuning.h - sizes of the store that users do not set. The defaults are the product's;
// the simulator makes them tiny, so that files roll, fill up and are checkpointed within seconds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "broker/base/limits.h"
#include "broker/replica/host.h"

namespace weir::server {

struct Tuning {
  std::uint64_t journal_file_bytes = 16u << 20;  // multiple of 4096, at least 16 KiB
  unsigned journal_files_max = 128;
  std::size_t tail_bytes_max = limits::kTailBytesMax;  // unflushed messages of a stream before a flush
  std::size_t block_bytes = limits::kBlockBytes;
  std::size_t segment_bytes = limits::kSegmentBytes;
  std::uint64_t catalog_roll_bytes = 16u << 20;  // never roll a smaller log
  std::uint64_t meta_checkpoint_entries = 1024;
  std::size_t state_part_bytes = 1u << 20;  // of a stream's cut in one answer: less urgent, not in the way
  replica::HostTuning groups;
};

}  // namespace weir::server
