// broker/platform/posix_disk.h - env::Disk over one folder of the machine.
//
// Room:    edge; the only code that opens files for the store.
// Thread:  the loop's; blocking work runs on DiskWorkers and comes back through the loop's mailbox.
// Walls:   paths are walked part by part without following symbolic links; "..", "." and absolute
//          paths are kInvalid. Nothing outside the root can be reached.
// Lock:    one process per root (flock on "<root>/.lock", which list() does not show).
// Order:   jobs of one File run one after the other. Several waiting writes that ask for a sync share
//          one fdatasync; each completes after it.
#pragma once

#include <memory>
#include <string>

#include "broker/env/disk.h"
#include "broker/platform/asio_loop.h"

namespace weir::platform {

constexpr unsigned kDiskThreads = 4;

/// Makes the root (and parents) if needed and locks it. Errors: kInvalid "storage directory is not a
/// directory"; kUnavailable when another process holds the lock; kNoSpace, kIo.
/// The destructor finishes all work under way; the loop outlives it.
Result<std::unique_ptr<env::Disk>> open_posix_disk(AsioLoop& loop, const std::string& root,
                                                   unsigned threads = kDiskThreads);

/// For a node without a store: every call fails with kUnavailable.
std::unique_ptr<env::Disk> make_no_disk(AsioLoop& loop);

}  // namespace weir::platform
