#include "broker/server/quorum_watch.h"

#include <optional>
#include <utility>

#include "broker/server/advisories.h"
#include "broker/server/cluster_side.h"
#include "broker/server/group_view.h"
#include "broker/server/jetstream.h"

namespace weir::server {

namespace {
constexpr Nanos kWait = 10 * kSecond;
}

bool QuorumWatch::lacks(const StreamHost* stream) const {
  return stream && !has_quorum(stream->group(), *js_.context().cluster);
}

void QuorumWatch::look() {
  std::erase_if(without_, [this](const auto& w) { return !lacks(js_.find(w.first)); });
  for (const StreamHost* s : js_.all_streams()) {
    if (lacks(s)) without_.try_emplace(s->group_id(), Without{env_.clock.now()});
  }
  arm();
}

void QuorumWatch::arm() {
  env_.loop.cancel(std::exchange(timer_, 0));
  std::optional<Mono> first;
  for (const auto& [group, w] : without_) {
    if (!w.told && (!first || w.since < *first)) first = w.since;
  }
  if (first) timer_ = env_.loop.at(*first + kWait, [this] { tell(); });
}

void QuorumWatch::tell() {
  timer_ = 0;
  std::erase_if(without_, [this](const auto& w) { return !lacks(js_.find(w.first)); });
  for (auto& [group, w] : without_) {
    if (w.told || env_.clock.now() - w.since < kWait) continue;
    w.told = true;
    StreamHost* stream = js_.find(group);
    if (speaks(*stream)) js_.context().advisories.quorum_lost(*stream);
  }
  arm();
}

bool QuorumWatch::speaks(const StreamHost& stream) const {
  for (NodeId voter : stream.group().conf().voters) {
    if (node_of(voter) < js_.self() && js_.context().cluster->connected(voter)) return false;
  }
  return true;
}

}  // namespace weir::server
