// broker/server/js_context.h - what every stream and consumer of the shard is built on.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/ids.h"
#include "broker/config/options.h"
#include "broker/env/env.h"
#include "broker/server/router.h"
#include "broker/server/tuning.h"
#include "broker/server/turn.h"
#include "broker/store/catalog.h"
#include "broker/store/journal.h"

namespace weir::store {
class BlockCache;
}
namespace weir::replica {
class Host;
}

namespace weir::server {

class Advisories;
class ClusterSide;
class StreamHost;

/// References outlive every stream. `journal` is null until recovery is over.
struct JsContext {
  env::Env& env;
  const config::Options& options;
  const Tuning& tuning;
  Router& router;
  Turn& turn;
  Advisories& advisories;
  store::Catalog* catalog = nullptr;
  store::BlockCache* cache = nullptr;
  store::Journal* journal = nullptr;
  replica::Host* host = nullptr;
  NodeId self = NodeId();          // this node's id (ADR 4)
  ClusterSide* cluster = nullptr;  // null without a cluster
  /// A stream's group began or ceased to be led here.
  std::function<void(StreamHost&, bool)> stream_leading = {};
  /// A stream's group can go on under a new replica id only (replica::Group::needs_new_id).
  std::function<void(StreamHost&)> stream_useless = {};
  /// Publishers that found no leader: their reply subjects get a 503 at the end of the turn.
  std::vector<std::pair<Account*, std::string>> unserved = {};
  std::string server_name = {};
  std::string cluster_name = {};
  /// The store cannot take more: publishes are refused, everything else goes on.
  bool disk_full = false;
  std::uint64_t file_bytes = 0;    // of all streams, against max_file_store
  std::uint64_t memory_bytes = 0;  // against max_memory_store
  std::uint64_t file_bytes_max = 0;
  std::uint64_t memory_bytes_max = 0;
};

}  // namespace weir::server
