// broker/server/leader_watch.h - log lines when groups of this node are without a leader, and when not any
// more.
//
// Room:    shell. Thread: the shard. Owner: JetStream, in a cluster.
// When:    a group whose replica here knows no leader for kPatience; said once, and once more when there is
//          one again. What is gone meanwhile is not mentioned again. Of the meta group also whether a
//          majority of it can be reached, after kShort.
// Sums:    more than kNamed groups at one look are one line: when a node with thousands of leaders dies
//          nobody wants a line for each.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "broker/env/env.h"
#include "broker/replica/group.h"

namespace weir::server {

class JetStream;

class LeaderWatch {
 public:
  LeaderWatch(env::Env& env, JetStream& js) : env_(env), js_(js) {}
  /// Called several times a second.
  void work();

 private:
  struct Without {
    Mono since;
    bool told = false;
    bool still = true;  // found again by the look that is under way
  };
  void look_at_streams();
  void look_at_meta();
  void tell(Level level, const std::vector<std::string>& names, const std::string& what) const;

  env::Env& env_;
  JetStream& js_;
  std::map<GroupId, Without> without_;
  Without meta_, majority_;  // of the meta group
  Mono next_{};
};

}  // namespace weir::server
