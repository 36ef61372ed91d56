#include "broker/server/quorum_watch.h"

#include "broker/server/advisories.h"
#include "broker/server/cluster_side.h"
#include "broker/server/group_view.h"
#include "broker/server/jetstream.h"

namespace weir::server {

namespace {
constexpr Nanos kWait = 10 * kSecond;
}

void QuorumWatch::peer_up() {
  std::erase_if(told_, [this](GroupId group) {
    const StreamHost* s = js_.find(group);
    return !s || has_quorum(s->group(), *js_.context().cluster);
  });
}

void QuorumWatch::peer_down() {
  env_.loop.cancel(timer_);
  timer_ = env_.loop.at(env_.clock.now() + kWait, [this] {
    timer_ = 0;
    look();
  });
}

void QuorumWatch::look() {
  for (StreamHost* s : js_.all_streams()) {
    if (has_quorum(s->group(), *js_.context().cluster) || !told_.insert(s->group_id()).second) continue;
    if (speaks(*s)) js_.context().advisories.quorum_lost(*s);
  }
}

bool QuorumWatch::speaks(const StreamHost& stream) const {
  for (NodeId voter : stream.group().conf().voters) {
    if (node_of(voter) < js_.self() && js_.context().cluster->connected(voter)) return false;
  }
  return true;
}

}  // namespace weir::server
