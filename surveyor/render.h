// surveyor/render.h - a snapshot and the surveyor's own numbers -> the text of /metrics.
//
// Room:    pure. Called once per round, never in a scrape. Which families there are, with which labels:
//          metric_table.inc.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "surveyor/exposition.h"
#include "surveyor/poll_stats.h"
#include "surveyor/snapshot.h"

namespace weir::surveyor {

struct BuildInfo {
  std::string version, revision, compiler;
};

/// What the surveyor says of itself.
struct SelfView {
  bool connected = false;
  Nanos interval = 0, timeout = 0;
  std::string connection_name;
  BuildInfo build;
};

struct RenderOptions {
  std::size_t series_limit = 0;  // per family; 0 = none
};

class Renderer {
 public:
  explicit Renderer(RenderOptions options) : options_(options) {}

  /// While not connected only the nats_up, nats_survey_* and build families are written, and those of
  /// streams that the snapshot still has.
  std::string render(const Snapshot& snapshot, const PollStats& stats, const SelfView& self);

 private:
  RenderOptions options_;
  std::map<Metric, std::uint64_t> dropped_;  // since the start
};

// The parts, each in a file of its own.
void render_servers(Exposition& out, const Snapshot& s);
void render_rollups(Exposition& out, const Snapshot& s);
void render_streams(Exposition& out, const Snapshot& s);
void render_consumers(Exposition& out, const Snapshot& s);

/// Seconds with the fraction that a double can carry.
double unix_seconds(Wall t);

}  // namespace weir::surveyor
