// broker/app/machine.h - what the machine offers, for options that are derived from it.
#pragma once

#include <cstdint>

#include "broker/config/options.h"
#include "broker/env/disk.h"

namespace weir::app {

/// Bytes of memory that this process may use: the machine's, or its control group's limit if lower.
std::uint64_t usable_memory_bytes();

/// Lifts the soft limit of open files to the hard one (each client is one).
void raise_file_limit();

/// Fills JetStream sizes that are kUnset: three quarters of memory and of free disk, as nats-server.
void derive_sizes(config::Options& options, env::Disk& disk);

}  // namespace weir::app
