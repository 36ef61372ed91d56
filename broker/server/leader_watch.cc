#include "broker/server/leader_watch.h"

#include <algorithm>

#include "broker/base/text.h"
#include "broker/server/cluster_side.h"
#include "broker/server/group_view.h"
#include "broker/server/jetstream.h"

namespace weir::server {

namespace {
constexpr Nanos kPeriod = kSecond;
constexpr Nanos kPatience = 5 * kSecond;
constexpr Nanos kShort = 3 * kSecond;  // links need a moment when a node starts
constexpr std::size_t kNamed = 3;

std::string name_of(const StreamHost& s) {
  return s.account().name + "/" + s.name() + " (group " + std::to_string(s.group_id().v) + ")";
}

/// "2 of 3 voters are reached: n1, n3"
std::string reach_of(const replica::Group& group, const ClusterSide& cluster) {
  std::string names;
  std::size_t reached = 0;
  for (NodeId voter : group.conf().voters) {
    if (voter != group.self() && !cluster.connected(voter)) continue;
    ++reached;
    names += (names.empty() ? ": " : ", ") + cluster.name_of(voter);
  }
  return std::to_string(reached) + " of " + std::to_string(group.conf().voters.size()) +
         " voters are reached" + names;
}
}  // namespace

void LeaderWatch::work() {
  if (env_.clock.now() < next_) return;
  next_ = env_.clock.now() + kPeriod;
  look_at_meta();
  look_at_streams();
}

void LeaderWatch::look_at_meta() {
  const replica::Group& group = js_.meta().group();
  const ClusterSide& cluster = *js_.context().cluster;
  if (!group.started() || group.why_stopped() || group.conf().voters.empty()) return;
  Mono now = env_.clock.now();
  bool has = group.leader().v != 0;
  if (has || meta_.since.ns == 0) {
    if (has && meta_.told)
      env_.log.info("the meta group has a leader again, " + cluster.name_of(group.leader()) + ", after " +
                    format_duration(now - meta_.since));
    meta_ = {has ? Mono() : now};
  } else if (!meta_.told && now - meta_.since >= kPatience) {
    meta_.told = true;
    env_.log.warn("the meta group has had no leader for " + format_duration(now - meta_.since) + ": " +
                  reach_of(group, cluster) + "; streams can be used, not created or changed");
  }
  bool majority = has_quorum(group, cluster);
  if (majority || majority_.since.ns == 0) {
    if (majority && majority_.told)
      env_.log.info("the meta group has its majority again: " + reach_of(group, cluster));
    majority_ = {majority ? Mono() : now};
  } else if (!majority_.told && now - majority_.since >= kShort) {
    majority_.told = true;
    env_.log.warn("the meta group has lost its majority: " + reach_of(group, cluster));
  }
}

void LeaderWatch::look_at_streams() {
  Mono now = env_.clock.now();
  std::vector<std::string> lost, back;
  for (auto& [group, w] : without_) w.still = false;
  for (const StreamHost* s : js_.all_streams()) {
    const replica::Group& group = s->group();
    if (!group.started() || group.why_stopped() || group.alone()) continue;
    if (group.leader().v != 0) {
      auto it = without_.find(s->group_id());
      if (it == without_.end()) continue;
      if (it->second.told)
        back.push_back(name_of(*s) + ": " + js_.context().cluster->name_of(group.leader()) + ", after " +
                       format_duration(now - it->second.since));
      continue;
    }
    Without& w = without_.try_emplace(s->group_id(), Without{now}).first->second;
    w.still = true;
    if (w.told || now - w.since < kPatience) continue;
    w.told = true;
    lost.push_back(name_of(*s) + ", " + reach_of(group, *js_.context().cluster));
  }
  std::erase_if(without_, [](const auto& w) { return !w.second.still; });
  tell(Level::kWarn, lost, "no leader for " + format_duration(kPatience));
  tell(Level::kInfo, back, "a leader again");
}

void LeaderWatch::tell(Level level, const std::vector<std::string>& names, const std::string& what) const {
  if (!env_.log.enabled(level)) return;
  if (names.size() <= kNamed) {
    for (const std::string& name : names) env_.log.write(level, "stream with " + what + ": " + name);
    return;
  }
  std::string some;
  for (std::size_t i = 0; i < kNamed; ++i) some += names[i] + "; ";
  env_.log.write(level, std::to_string(names.size()) + " streams with " + what + ", among them " + some +
                            "and " + std::to_string(names.size() - kNamed) + " more");
}

}  // namespace weir::server
