// broker/store/catalog_reader.h - what the files of a catalog say at a start.
//
// Room:     reads through env::Disk; makes the folder if there is none, changes nothing else.
// Errors:   kCorrupt, kUnsupported, kIo as in catalog.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "broker/base/log.h"
#include "broker/base/result.h"
#include "broker/env/disk.h"

namespace weir::store {

using CatalogContent = std::map<std::string, std::string>;

struct CatalogFound {
  CatalogContent content;
  std::uint64_t newest = 0;         // number of the newest complete file; 0 none
  std::uint64_t next = 1;           // number for a new file
  std::vector<std::string> others;  // names of files that are to go once a new copy is durable
};

/// "0000002a.cat" is file 42.
std::string catalog_file_name(std::uint64_t number);

Result<CatalogFound> read_catalog(env::Disk& disk, Log& log, const std::string& dir);

}  // namespace weir::store
